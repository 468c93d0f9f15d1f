"""Iso-C (arXiv 2502.04959): all singular values of the merged matrix at their mean."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mpmath import mp, mpf

from ..linalg import Matrix, product, svd
from ..spectral import leading
from ..table import defines, walks
from ..walk import FLAT, SAFETY, as_float

if TYPE_CHECKING:
    from ..pipeline import State
    from ..walk_spectra import SpectrumWalk


@defines("iso", "post", support="rank")
def iso(stack: list[Matrix], noise: list[mpf], *, support: str) -> tuple[Matrix, mpf]:
    """σ̄ P Qᵀ. "rank": over the singular values above the noise; "size": over all of them."""
    (matrix,), (level,) = stack, noise
    p, s, q = leading(matrix, min(matrix.rows, matrix.cols), level if support == "rank" else mpf(-1))
    if not s:
        return mp.matrix(matrix.rows, matrix.cols), level
    return (mp.fsum(s) / len(s)) * product(p, q.T), level


@walks("iso")
def walk_iso(walk: SpectrumWalk, state: State) -> None:
    """The polar factor turns by 3 / σ_min; the mean moves with the norm."""
    noise, delta = as_float(state.noise[0]), walk.bound
    s = [as_float(x) for x in svd(state.stack[0])[1]]
    live = [x for x in s if x > noise]
    if not live:
        return
    mean = math.fsum(live) / len(live)
    if state.params["support"] == "size" and len(live) < len(s):
        walk.ill(f"isotropization over null vectors: rank {len(live)} of {len(s)}", FLAT)
    if len(live) < walk.spanned and delta * walk.eps > noise:
        walk.ill(f"the tasks cancel: rank {len(live)} of {walk.spanned} is within rounding")
    for x in s:
        if 1e-30 * s[0] < x and noise / SAFETY < x <= noise + SAFETY * walk.eps * delta:
            walk.ill(f"a singular value {x:.1e} at the level of rounding")
    if delta * walk.eps * SAFETY > 0.1 * live[-1]:
        walk.ill(f"the smallest singular value {live[-1]:.1e} is within rounding")
    walk.bound = delta * (math.sqrt(len(live)) + 3 * mean / live[-1])
