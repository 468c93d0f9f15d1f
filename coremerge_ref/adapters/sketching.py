"""A matrix by a few directions that hold most of it, and exactly how much they do not hold."""

import math
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from coremerge_ref.core import linalg
from coremerge_ref.core.arrays import Array
from coremerge_ref.core.updates import LowRankUpdate

_ROWS = 2**22  # entries of the residual that are there at a time
OVERSAMPLING, ITERATIONS = 10, 4  # directions drawn beyond the rank asked for, and rounds of power iteration


def sketch(D: Array, size: int, key: str) -> tuple[LowRankUpdate, float]:
    """(Q QᵀD as the product of Q (m, l) and QᵀD (l, n), ‖D − Q QᵀD‖_F) for D (m, n), l = `size`.

    Q spans (D Dᵀ)^ITERATIONS D Ω, Ω (n, l) normal numbers drawn for `key`: Halko, Martinsson & Tropp (2011, SIAM Review
    53), algorithm 4.4. How good Q is depends on Ω; the second result does not: it is the norm of the residual itself,
    which is orthogonal to the first, so that errors of what is cut from that add to it as squares.
    """
    xp = array_namespace(D)
    rng = np.random.Generator(np.random.Philox(key=int.from_bytes(key.encode()[-16:].rjust(16, b"\0"), "big")))
    drawn: Any = rng.standard_normal((D.shape[1], size))
    Q = _orthonormal(D @ xp.asarray(drawn, dtype=D.dtype, device=getattr(D, "device", None)))
    Dh = xp.matrix_transpose(D)
    for _ in range(ITERATIONS):
        Q = _orthonormal(D @ _orthonormal(Dh @ Q))
    inner = xp.matrix_transpose(Q) @ D  # (l, n)
    step = max(1, _ROWS // D.shape[1])
    rest = [float(linalg.norm(D[i : i + step] - Q[i : i + step] @ inner)) for i in range(0, D.shape[0], step)]
    return LowRankUpdate(Q, inner), math.hypot(*rest)


def _orthonormal(X: Array) -> Array:
    return array_namespace(X).linalg.qr(X)[0]
