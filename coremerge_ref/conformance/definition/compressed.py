"""Compressed core space: the `rank` best directions a side, by HOOI ("Compress then Merge", ICML 2026). Lossy."""

from __future__ import annotations

from dataclasses import dataclass

from mpmath import mp, mpf

from .linalg import Matrix, columns, hcat, norm, number, product, svd
from .spaces import Frames, frames
from .zero import relative_tolerance, rounding_level

STEPS, TOLERANCE = 1000, mpf("1e-6")  # its authors': most steps, and the change of the kept share at which it stops


@dataclass(frozen=True)
class Compressed:
    """Where :func:`merge_exactly` takes the name of a space."""

    rank: int
    beta: float = 0.25

    def frames(self, factors: list[tuple[Matrix, Matrix]], eps: mpf) -> Frames:
        """U = U_core W, V = V_core Z, W and Z from the rescaled stack X_t = (β + (1 − β) mean_s ‖M_s‖ / ‖M_t‖) M_t."""
        core = frames(factors, "core", "paper", False, True, eps)
        inner = [core.encode(b, a) for b, a in factors]
        norms = [norm(m) for m in inner]
        levels = [rounding_level(b, a, eps) for b, a in factors]
        mean, beta = mp.fsum(norms) / len(norms), number(self.beta)
        stack = [
            m * ((beta + (1 - beta) * mean / size) if size > level else 0)
            for m, size, level in zip(inner, norms, levels, strict=True)
        ]
        w, z = self._decomposed(stack, eps)
        u, v = product(core.u, w), product(core.v, z)
        return Frames(core.m, core.n, (min(self.rank, core.static[0]), min(self.rank, core.static[1])), u, v)

    def _decomposed(self, stack: list[Matrix], eps: mpf) -> tuple[Matrix, Matrix]:
        """HOOI from the SVD start: W (p, k) and Z (q, k), in turn the best for each other."""
        whole = norm(hcat(stack))
        w, z = self._best(stack, eps), self._best([x.T for x in stack], eps)
        before = mpf(-1)
        for _ in range(STEPS):
            w = self._best([product(x, z) for x in stack], eps)
            z = self._best([product(x.T, w) for x in stack], eps)
            kept = norm(hcat([product(product(w.T, x), z) for x in stack])) / (whole or 1)
            if abs(kept - before) <= TOLERANCE:
                break
            before = kept
        return w, z

    def _best(self, blocks: list[Matrix], eps: mpf) -> Matrix:
        """The leading `rank` left singular vectors of [X_1 | … | X_T], null ones left out."""
        p, values, _ = svd(hcat(blocks))
        live = sum(x > relative_tolerance(eps) * values[0] for x in values) if values else 0
        return columns(p, min(self.rank, live))
