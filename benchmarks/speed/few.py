"""Leading singular triplets alone, as CART asks for them, beside whole SVDs: python -m benchmarks.speed.few

Subspace iteration on a block of 32 columns, by products and small QRs, until the residual of the k first triplets is
rounding; the block Jacobi that GPUs get; LAPACK. What the residual does not say, that no larger triplet was missed, is
not in its time: `squarings` is how many products of 96 × 96 it takes to bound the rest's norm below σ_k. Processor time
of one thread, NumPy; the least of five.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from coremerge_ref.core.linalg import jacobi

T, R, WIDTH, BLOCK, MOST = 6, 16, 1024, 32, 60
DECAY = {"random tasks": 1.0, "singular values falling to 3 %": 0.03}


def deviations(layers: int, least: float) -> np.ndarray:
    """M_t − M̄ (L, T·R, T·R) of random tasks whose factors' columns fall from 1 to `least`."""
    rng, found = np.random.default_rng(0), []
    for _ in range(layers):
        B = np.geomspace(1, least, R) * rng.standard_normal((T, WIDTH, R))
        A = rng.standard_normal((T, WIDTH, R))
        left, right = (np.linalg.qr(np.concatenate(X, axis=1))[1].reshape(-1, T, R) for X in (list(B), list(A)))
        M = np.einsum("itr,jtr->tij", left, right)
        found.append(M - M.mean(axis=0))
    return np.concatenate(found)


def leading(X: np.ndarray, k: int) -> int:
    """Steps of subspace iteration until the k first triplets of X (L, m, m) have residuals that are rounding."""
    L, m, _ = X.shape
    Q = np.broadcast_to(np.linalg.qr(np.random.default_rng(1).standard_normal((m, BLOCK)))[0], (L, m, BLOCK))
    for step in range(1, MOST + 1):
        Z = np.linalg.qr(X @ Q)[0]
        Q = np.linalg.qr(X.mT @ Z)[0]
        P, S, Vh = np.linalg.svd(X @ Q, full_matrices=False)
        rest = X.mT @ P[..., :k] - Q @ Vh.mT[..., :k] * S[:, None, :k]
        if (np.linalg.norm(rest, axis=(1, 2)) <= 4 * 2.0**-52 * m**0.5 * S[:, 0]).all():
            return step
    return MOST


def seconds(function: Callable[[], Any]) -> float:
    """The least processor time of five."""
    times = []
    for _ in range(5):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
    return min(times)


def main() -> None:
    """Prints a line for each spectrum and k."""
    for name, least in DECAY.items():
        X = deviations(4, least)
        S = np.linalg.svd(X, compute_uv=False)
        whole, blocks = seconds(lambda X=X: np.linalg.svd(X)), seconds(lambda X=X: jacobi.thin_svd(X, False))
        for k in (4, 8):
            gap = float(np.max(S[:, k] / S[:, k - 1]))
            squarings = math.ceil(math.log2(math.log(X.shape[-1]) / -math.log(gap))) - 1
            few = seconds(lambda X=X, k=k: leading(X, k))
            print(
                f"{name}, k = {k}: σ_(k+1)/σ_k up to {gap:.4f}, {leading(X, k)} steps, {squarings} squarings; "
                f"{1e3 * few:.0f} ms, block Jacobi {1e3 * blocks:.0f} ms, LAPACK {1e3 * whole:.0f} ms"
            )


if __name__ == "__main__":
    main()
