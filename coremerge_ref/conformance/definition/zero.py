"""What counts as zero, decided from the updates: the numbers that say so."""

from __future__ import annotations

from mpmath import mp, mpf

from .linalg import Matrix, norm


def relative_tolerance(eps: mpf) -> mpf:
    """What a singular value of columns of norm 1 must exceed, relative to the largest, to count: 64 eps."""
    return 64 * eps


def smallest_normal(eps: mpf) -> mpf:
    """Of the format of IEEE 754 that has this eps: 2^−126 for 2^−23, 2^−1022 for 2^−52; 0, as if there were no end, for
    any other."""
    return {mpf(2) ** -23: mpf(2) ** -126, mpf(2) ** -52: mpf(2) ** -1022}.get(eps, mpf(0))


def rounding_level(b: Matrix, a: Matrix, eps: mpf) -> mpf:
    """ν = 8 eps Σ_i ‖b_i‖ ‖a_i‖, b_i the columns of B (m, r) and a_i the rows of A (r, n): rounding in anything that is
    computed from B A, the same for (B D, D⁻¹ A) with D diagonal."""
    return 8 * eps * mp.fsum(norm(b[:, i]) * norm(a[i, :]) for i in range(b.cols))
