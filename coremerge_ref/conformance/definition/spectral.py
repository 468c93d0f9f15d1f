"""Stages that look at singular values: TSV, CART, isotropization. Orthogonally equivariant at absolute ranks."""

from __future__ import annotations

import math

from mpmath import mp, mpf

from .linalg import Matrix, columns, hcat, polar, product, scale_columns, svd, total


def leading(matrix: Matrix, k: int, noise: mpf) -> tuple[Matrix, list[mpf], Matrix]:
    """The first k singular triplets above the noise: P (p, k'), values, Q (q, k')."""
    p, s, q = svd(matrix)
    k = min(k, sum(x > noise for x in s))
    return columns(p, k), s[:k], columns(q, k)


def tsv(stack: list[Matrix], noise: list[mpf], rtol: mpf, k: int | None) -> Matrix:
    """TSV-M (arXiv 2412.00081): polar([P_1 … P_T]) · blkdiag(S_t) · polar([Q_1 … Q_T])ᵀ; k None is ⌊min(p, q)/T⌋."""
    k = min(stack[0].rows, stack[0].cols) // len(stack) if k is None else k
    triplets = [leading(m, k, level) for m, level in zip(stack, noise, strict=True)]
    left = polar(hcat([p for p, _, _ in triplets]), rtol)
    right = polar(hcat([q for _, _, q in triplets]), rtol)
    return product(scale_columns(left, [x for _, s, _ in triplets for x in s]), right.T)


def cart_rank(size: tuple[int, int], k: int | None, fraction: float, rounding: str) -> int:
    """The absolute k, or the fraction of min(p, q): "ceil", or "floor" with at least 1."""
    if k is not None:
        return k
    amount = float(fraction) * min(size)
    return math.ceil(amount) if rounding == "ceil" else max(1, int(amount))


def cart(stack: list[Matrix], noise: list[mpf], rank: int, coefficient: mpf) -> Matrix:
    """CART (arXiv 2408.01908): M̄ + λ Σ_t lowrank_k(M_t - M̄), M̄ the mean."""
    mean = total(stack) / len(stack)
    out = mean.copy()
    for matrix in stack:
        p, s, q = leading(matrix - mean, rank, max(noise))
        out = out + coefficient * product(scale_columns(p, s), q.T)
    return out


def iso(matrix: Matrix, noise: mpf, support: str) -> Matrix:
    """Iso-C (arXiv 2502.04959): σ̄ P Qᵀ. "rank": over the singular values above the noise; "size": over all of them."""
    level = noise if support == "rank" else mpf(-1)
    p, s, q = leading(matrix, min(matrix.rows, matrix.cols), level)
    if not s:
        return mp.matrix(matrix.rows, matrix.cols)
    return (mp.fsum(s) / len(s)) * product(p, q.T)


def cts_counts(size: tuple[int, int], tasks: int, common_fraction: float, rounding: str) -> tuple[int, int]:
    """(common, per task): shares of d = min(p, q), the rest divided evenly by the tasks."""
    d = min(size)
    shared = int(d * float(common_fraction))
    each = (d - shared) // tasks if rounding == "floor" else round((d - shared) / tasks)
    return max(d - tasks * each, 0), each


def iso_cts(stack: list[Matrix], noise: list[mpf], rtol: mpf, common_fraction: float, rounding: str) -> Matrix:
    """Iso-CTS (arXiv 2502.04959): common directions of Σ M_t, then each residual's own; polar; one mean value."""
    size = (stack[0].rows, stack[0].cols)
    common, each = cts_counts(size, len(stack), common_fraction, rounding)
    shared = leading(total(stack), common, max(noise))
    u = shared[0]
    triplets = [shared]
    for matrix, level in zip(stack, noise, strict=True):
        triplets.append(leading(matrix - product(u, product(u.T, matrix)), each, level))
    values = [x for _, s, _ in triplets for x in s]
    if not values:
        return mp.matrix(*size)
    left = polar(hcat([p for p, _, _ in triplets]), rtol)
    right = polar(hcat([q for _, _, q in triplets]), rtol)
    return (mp.fsum(values) / len(values)) * product(left, right.T)
