"""A space is a pair of frames (U, V): encode is Uᵀ ΔW V, decode is U M Vᵀ (arXiv 2509.17786, Def. 2 and Eq. 9)."""

from __future__ import annotations

from dataclasses import dataclass

from mpmath import mp, mpf

from .linalg import Matrix, columns, hcat, norm, product, scale_columns, svd


@dataclass
class Frames:
    """U (m, p) and V (n, q) over live directions only; None is the identity.

    ``left_values`` and ``right_values`` are all singular values of the two stacks. Where the singular values are
    divided out (the unscaled KnOTS of the paper's code), ``left_factor`` or ``right_factor`` holds those divided by.
    ``static`` is the size before dead directions are removed.
    """

    m: int
    n: int
    static: tuple[int, int]
    u: Matrix | None = None
    v: Matrix | None = None
    left_values: list[mpf] | None = None
    right_values: list[mpf] | None = None
    left_factor: list[mpf] | None = None
    right_factor: list[mpf] | None = None

    @property
    def live(self) -> tuple[int, int]:
        """The size (p, q) of a matrix in this space."""
        return (self.m if self.u is None else self.u.cols, self.n if self.v is None else self.v.cols)

    @property
    def smallest_factor(self) -> mpf:
        """The least singular value divided out; 1 where none is."""
        divided = [x for x in (self.left_factor, self.right_factor) if x]
        return divided[0][-1] if divided else mp.one

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


def frame(blocks: list[Matrix], sizes: list[mpf], eps: mpf) -> tuple[Matrix, list[mpf], int]:
    """Left singular vectors of [X_1 | … | X_T] that are live: (U, all singular values, rank).

    The rank is that of the balanced stack [X_1/size_1 | …] (blocks of size 0 left out): (c B_t, A_t / c) is the same
    model, so a task may not lose its directions by being small. The directions are those of the raw stack.
    """
    stack = hcat(blocks)
    balanced = [b / s for b, s in zip(blocks, sizes, strict=True) if s != 0]
    rank = 0
    if balanced:
        values = svd(hcat(balanced))[1]
        rtol = max(stack.rows, stack.cols) * eps
        rank = sum(x > rtol * values[0] for x in values) if values else 0
    u, values, _ = svd(stack)
    return columns(u, rank), values, rank


def frames(
    factors: list[tuple[Matrix, Matrix]], space: str, basis: str, transposed: bool, scaled: bool, eps: mpf
) -> Frames:
    """The frames of a space for the updates B_t (m, r_t), A_t (r_t, n), the scalings already inside B_t."""
    m, n = factors[0][0].rows, factors[0][1].cols
    ranks = sum(b.cols for b, _ in factors)
    sizes = [norm(b) * norm(a) for b, a in factors]
    if space == "full":
        return Frames(m, n, (m, n))
    if space == "core" and basis == "paper":
        u, left, _ = frame([b for b, _ in factors], [norm(b) for b, _ in factors], eps)
        v, right, _ = frame([a.T for _, a in factors], [norm(a) for _, a in factors], eps)
        return Frames(m, n, (min(m, ranks), min(n, ranks)), u, v, left, right)
    dense = [product(b, a) for b, a in factors]
    if space == "core" and basis == "tucker":
        u, left, _ = frame(dense, sizes, eps)
        v, right, _ = frame([x.T for x in dense], sizes, eps)
        return Frames(m, n, (min(m, ranks), min(n, ranks)), u, v, left, right)
    if space != "knots":
        raise ValueError(f"unknown space {space!r} with basis {basis!r}")
    if transposed:
        v, right, rank = frame([x.T for x in dense], sizes, eps)
        return Frames(m, n, (m, min(n, ranks)), None, v, None, right, None, None if scaled else right[:rank])
    u, left, rank = frame(dense, sizes, eps)
    return Frames(m, n, (min(m, ranks), n), u, None, left, None, None if scaled else left[:rank], None)


def noise_levels(factors: list[tuple[Matrix, Matrix]], where: Frames, eps: mpf) -> list[mpf]:
    """Per task max(m, n, R) · eps · ‖B_t‖ ‖A_t‖: what counts as zero inside the space, relative to its origin."""
    ranks = sum(b.cols for b, _ in factors)
    rtol = max(where.m, where.n, ranks) * eps
    return [rtol * norm(b) * norm(a) / where.smallest_factor for b, a in factors]
