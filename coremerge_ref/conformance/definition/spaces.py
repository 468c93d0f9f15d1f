"""A space is a pair of frames (U, V): encode is Uᵀ ΔW V, decode is U M Vᵀ (arXiv 2509.17786, Def. 2 and Eq. 9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from mpmath import mp, mpf

from .linalg import Matrix, columns, hcat, norm, product, scale_columns, svd
from .zero import relative_tolerance, rounding_level, smallest_normal


@dataclass
class Frames:
    """U (m, p) and V (n, q) over live directions only; None is the identity.

    ``left_values`` and ``right_values`` are the live singular values of the two stacks, ``left_columns`` and
    ``right_columns`` all those of the stacks with columns of norm 1, from which the live sizes are decided. Where
    the singular values are divided out (the unscaled KnOTS of the paper's code), ``left_factor`` or ``right_factor``
    holds those divided by. ``static`` is the size before dead directions are removed.
    """

    m: int
    n: int
    static: tuple[int, int]
    u: Matrix | None = None
    v: Matrix | None = None
    left_values: list[mpf] | None = None
    right_values: list[mpf] | None = None
    left_columns: list[mpf] | None = None
    right_columns: list[mpf] | None = None
    left_factor: list[mpf] | None = None
    right_factor: list[mpf] | None = None

    @property
    def live(self) -> tuple[int, int]:
        """The size (p, q) of a matrix in this space."""
        return (self.m if self.u is None else self.u.cols, self.n if self.v is None else self.v.cols)

    @property
    def factors(self) -> list[mpf]:
        """The singular values divided out, descending; [1] where none are."""
        return self.left_factor or self.right_factor or [mp.one]

    def encode(self, b: Matrix, a: Matrix) -> Matrix:
        """B (m, r), A (r, n) -> M (p, q) = Uᵀ B A V."""
        left = b if self.u is None else product(self.u.T, b)
        right = a if self.v is None else product(a, self.v)
        if self.left_factor is not None:
            left = scale_columns(left.T, [1 / x for x in self.left_factor]).T
        if self.right_factor is not None:
            right = scale_columns(right, [1 / x for x in self.right_factor])
        return product(left, right)

    def restored(self, inner: Matrix) -> Matrix:
        """The merged matrix with the singular values that were divided out multiplied back."""
        if self.left_factor is not None:
            inner = scale_columns(inner.T, self.left_factor).T
        if self.right_factor is not None:
            inner = scale_columns(inner, self.right_factor)
        return inner

    def decode(self, inner: Matrix) -> Matrix:
        """M (p, q), restored -> U M Vᵀ (m, n)."""
        out = inner if self.u is None else product(self.u, inner)
        return out if self.v is None else product(out, self.v.T)


def live_range(stack: Matrix, eps: mpf) -> tuple[Matrix, list[mpf]]:
    """Orthonormal basis Q (m, r) of the numerical range of X (m, N) with every nonzero column scaled to norm 1, and all
    singular values of that: columns of norm 1 have no scale, so no direction is lost for being small."""
    norms = [norm(stack[:, j]) for j in range(stack.cols)]
    keep = [j for j in range(stack.cols) if norms[j] != 0]
    if not keep:
        return mp.matrix(stack.rows, 0), []
    p, values, _ = svd(hcat([stack[:, j] / norms[j] for j in keep]))
    return columns(p, sum(x > relative_tolerance(eps) * values[0] for x in values)), values


def frame(stack: Matrix, live: Matrix) -> tuple[Matrix, list[mpf]]:
    """Left singular vectors of the stack (m, N) projected onto the live space Q (m, r): U (m, r), singular values."""
    if live.cols == 0:
        return live.copy(), []
    p, values, _ = svd(product(live.T, stack))
    return product(live, p), values


def frames(
    factors: list[tuple[Matrix, Matrix]], space: str, basis: str, transposed: bool, scaled: bool, eps: mpf
) -> Frames:
    """The frames of a space for the updates B_t (m, r_t), A_t (r_t, n), the scalings already inside B_t."""
    m, n = factors[0][0].rows, factors[0][1].cols
    ranks = sum(b.cols for b, _ in factors)
    if space == "full":
        return Frames(m, n, (m, n))
    if space == "core" and basis == "paper":
        u, left, left_columns = _side([b for b, _ in factors], eps)
        v, right, right_columns = _side([a.T for _, a in factors], eps)
        return Frames(m, n, (min(m, ranks), min(n, ranks)), u, v, left, right, left_columns, right_columns)
    dense = [product(b, a) for b, a in factors]
    levels = [rounding_level(b, a, eps) for b, a in factors]
    if space == "core" and basis == "tucker":
        u, left, left_columns = _side(dense, eps, levels)
        v, right, right_columns = _side([x.T for x in dense], eps, levels)
        return Frames(m, n, (min(m, ranks), min(n, ranks)), u, v, left, right, left_columns, right_columns)
    if space != "knots":
        raise ValueError(f"unknown space {space!r} with basis {basis!r}")
    if transposed:
        v, right, right_columns = _side([x.T for x in dense], eps, levels)
        where = Frames(m, n, (m, min(n, ranks)), v=v, right_values=right, right_columns=right_columns)
        where.right_factor = None if scaled else right
        return where
    u, left, left_columns = _side(dense, eps, levels)
    where = Frames(m, n, (min(m, ranks), n), u=u, left_values=left, left_columns=left_columns)
    where.left_factor = None if scaled else left
    return where


def _side(blocks: list[Matrix], eps: mpf, levels: list[mpf] | None = None) -> tuple[Matrix, list[mpf], list[mpf]]:
    """A frame of [X_1 | … | X_T], its singular values and those that decide what is live. Where ``levels`` say what is
    rounding in each block, the live space is that of the left singular vectors above them."""
    spanning = blocks
    if levels is not None:
        spanning = []
        for block, level in zip(blocks, levels, strict=True):
            p, values, _ = svd(block)
            spanning.append(columns(p, sum(x > level for x in values)))
    live, of_columns = live_range(hcat(spanning), eps)
    u, values = frame(hcat(blocks), live)
    return u, values, of_columns


# √ρ of the rows, √γ of the columns, None where all are 1; and their least product
Shares: TypeAlias = tuple[list[mpf] | None, list[mpf] | None, mpf]


def entry_shares(b: Matrix, a: Matrix, where: Frames, eps: mpf) -> Shares:
    """Rounding in an entry of M_t is up to ν_t √(ρ_i γ_j), and at least the smallest normal number.

    ρ_i = Σ_k b_ik² ‖a_k‖ / ‖b_k‖ over Σ_k ‖b_k‖ ‖a_k‖ where the rows of M_t are those of ΔW_t, and γ_j the like; 1 in a
    computed frame, whose errors mix the rows, and where the singular values are divided out."""
    if where.left_factor is not None or where.right_factor is not None:
        return None, None, mp.one
    level = rounding_level(b, a, eps)
    rows, cols = None if where.u is not None else _shares(b, a.T), None if where.v is not None else _shares(a.T, b)
    return rows, cols, smallest_normal(eps) / level if level else mp.one


def _shares(x: Matrix, y: Matrix) -> list[mpf]:
    sizes = [(norm(x[:, k]), norm(y[:, k])) for k in range(x.cols)]
    whole = mp.fsum(one * other for one, other in sizes)
    if whole == 0:
        return [mpf(0)] * x.rows
    own = [[x[i, k] ** 2 * other / one for k, (one, other) in enumerate(sizes) if one] for i in range(x.rows)]
    return [mp.sqrt(mp.fsum(terms) / whole) for terms in own]


def rounding_levels(factors: list[tuple[Matrix, Matrix]], where: Frames, eps: mpf) -> list[mpf]:
    """Per task ν_t, what counts as zero inside the space; 8 eps r_t where the blocks have orthonormal rows (unscaled
    KnOTS)."""
    if where.left_factor is not None or where.right_factor is not None:
        return [8 * eps * b.cols for b, _ in factors]
    return [rounding_level(b, a, eps) for b, a in factors]
