"""Iso-CTS (arXiv 2502.04959): common and task-specific directions at one mean singular value."""

from __future__ import annotations

from mpmath import mp, mpf

from ..linalg import Matrix, hcat, norm, polar, product, total
from ..spectral import leading, polar_cut, turn
from ..table import defines


def cts_counts(size: tuple[int, int], tasks: int, common_fraction: float, rounding: str) -> tuple[int, int]:
    """(common, per task): shares of d = min(p, q), the rest divided evenly by the tasks."""
    d = min(size)
    shared = int(d * float(common_fraction))
    each = (d - shared) // tasks if rounding == "floor" else round((d - shared) / tasks)
    return max(d - tasks * each, 0), each


@defines("iso_cts", "merge", unit=True, common_fraction=0.8, rounding="round")
def iso_cts(
    stack: list[Matrix], noise: list[mpf], *, eps: mpf, common_fraction: float, rounding: str
) -> tuple[Matrix, mpf]:
    """Iso-CTS (arXiv 2502.04959): common directions of Σ M_t, then each residual's own; polar; one mean value."""
    size = (stack[0].rows, stack[0].cols)
    common, each = cts_counts(size, len(stack), common_fraction, rounding)
    shared = leading(total(stack), common, max(noise))
    u, triplets, turns = shared[0], [shared], [turn(total(stack), common, max(noise))]
    for matrix, level in zip(stack, noise, strict=True):
        residual = matrix - product(u, product(u.T, matrix))
        known = level + min(turns[0], 1) * norm(
            matrix
        )  # the residual is known only as well as the common directions are
        triplets.append(leading(residual, each, known))
        turns.append(turn(residual, each, known))
    values = [x for _, s, _ in triplets for x in s]
    if not values:
        return mp.matrix(*size), max(noise)
    cut = polar_cut(turns, eps)
    left = polar(hcat([p for p, _, _ in triplets]), cut)
    right = polar(hcat([q for _, _, q in triplets]), cut)
    return (mp.fsum(values) / len(values)) * product(left, right.T), max(noise)
