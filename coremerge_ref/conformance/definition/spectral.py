"""What the stages share that look at singular values. They are orthogonally equivariant at absolute ranks."""

from __future__ import annotations

from mpmath import mp, mpf

from .linalg import Matrix, columns, svd
from .zero import relative_tolerance


def leading(matrix: Matrix, k: int, noise: mpf) -> tuple[Matrix, list[mpf], Matrix]:
    """The first k singular triplets above the noise: P (p, k'), values, Q (q, k')."""
    p, s, q = svd(matrix)
    k = min(k, sum(x > noise for x in s))
    return columns(p, k), s[:k], columns(q, k)


def turn(matrix: Matrix, k: int, noise: mpf) -> mpf:
    """ν / (last kept − first dropped singular value): how far the leading k vectors are known."""
    s = svd(matrix)[1]
    k = min(k, sum(x > noise for x in s))
    if k == 0:
        return mp.zero
    gap = s[k - 1] - (s[k] if k < len(s) else 0)
    return noise / gap if gap else mp.inf


def polar_cut(turns: list[mpf], eps: mpf) -> mpf:
    """What a singular value of Û or V̂ must exceed, relative to the largest: their columns are known only up to the
    turns, at most √eps, and to rounding."""
    return max(relative_tolerance(eps), min(mp.sqrt(eps), max(turns)))
