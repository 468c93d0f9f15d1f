"""Merges in ball arithmetic: what orthogonally equivariant methods return on exact inputs, enclosed with a proof."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from coremerge_ref.analysis import balls
from coremerge_ref.analysis.balls import Balls, Block
from coremerge_ref.analysis.verified_karcher import karcher
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.errors import ParameterError
from coremerge_ref.methods import Cart, Iso, IsoCts, Mean, Stage, Ta, Tsv
from coremerge_ref.methods.karcher import Karcher
from coremerge_ref.perturbation.theorems import lengths, norm, singular_values

Pair = tuple[Balls, Balls]  # X (m, k), Y (k, n), standing for X Y


class Weighted(NamedTuple):
    """The weighted matrices w_t M_t (p, q), up to where each counts as zero, |w_t| ν_t, the live size that relative
    ranks refer to, and the weights."""

    Xs: Sequence[Balls]
    levels: Sequence[float]
    least: int
    weights: Sequence[float]


Leveled = tuple[Balls, float]  # a matrix, and what counts as zero in it
NARROW = 2.0**-120  # of its size: the root of the square of a distance is half as well known
PATIENCE = (1, 4, 16)  # what the bits are multiplied by, one after the other, until balls can tell

EPS = 2.0**-52  # zero is what it is in float64 arithmetic
RTOL = 64 * EPS
LIVE = 8 * EPS


def surely_merged(*merge: Any) -> list[Pair]:
    """What a pipeline returns for factors, as products X Y; in balls of more bits where they cannot tell at first, or
    are too wide for squares of distances."""
    from flint import ctx

    bits = ctx.prec
    for more in PATIENCE:
        ctx.prec = more * bits
        try:
            made = _exactly_merged(*merge)
        except balls.Uncertain:
            if more == PATIENCE[-1]:
                raise
        else:
            if more == PATIENCE[-1] or all(balls.radius(X) <= NARROW * balls.size(X) for pair in made for X in pair):
                break
    return made


def _exactly_merged(
    given: Sequence[tuple[np.ndarray, np.ndarray]], factors: list[Pair], w: list[float], pipeline: Pipeline, least: int
) -> list[Pair]:
    """given: the factors (B, A) as floats, unscaled; factors: as balls, scaled; w: a weight a task."""
    from flint import arb

    total = sum((balls.exactly(x) for x in w), arb(0))
    mean = pipeline.stages[0].name == "mean"
    if mean and total.contains(0):
        raise ParameterError("certify: weights: expected weights that do not sum to 0 for mean, got 0")
    shares = [balls.exactly(x) / total if mean else balls.exactly(x) for x in w]
    if len(pipeline.stages) == 1 and pipeline.stages[0].name in ("ta", "mean"):
        return [(B * x, A) for x, (B, A) in zip(shares, factors, strict=True)]
    left, right = _frame([B for B, _ in given]), _frame([A.T for _, A in given])
    if left is None or right is None:
        return []
    levels, Xs = [], []
    for x, (B, A) in zip(shares, factors, strict=True):
        levels.append(_rounding_level(balls.middle(B), balls.middle(A)) * abs(float(x)))
        Xs.append((left.transpose() * B * x) * (A * right))
    return [(left * exact_merge(pipeline.stages, Weighted(Xs, levels, least, w)), right.transpose())]


def _frame(blocks: list[np.ndarray]) -> Any:
    """An orthonormal basis (m, p) of the columns of all blocks, enclosed; None where they are all zero."""
    columns = [_whole(column) for column in np.concatenate(blocks, axis=1).T if np.any(column)]
    if not columns:
        return None
    from flint import fmpz_mat

    X = fmpz_mat(columns).transpose()  # (m, R)
    R, _, rank = (X.transpose() * X).rref()  # exact; its pivots are columns that span all of them
    pivots = [next(j for j in range(R.ncols()) if R[i, j] != 0) for i in range(rank)]
    C = balls.matrix([[X[i, j] for j in pivots] for i in range(X.nrows())])
    sizes = [balls.frobenius(C * balls.selected(rank, [j])) for j in range(rank)]
    C = C * balls.diagonal([balls.matrix([[1 / size]]) for size in sizes])
    return C * balls.inverse(balls.cholesky(C.transpose() * C)).transpose()


def _whole(column: np.ndarray) -> list[int]:
    """The column times the power of two that makes its entries whole numbers."""
    ratios = [float(x).as_integer_ratio() for x in column]
    common = max(q for _, q in ratios)
    return [p * (common // q) for p, q in ratios]


def orthogonalized(blocks: Sequence[Block | None], cores: Sequence[Balls], cut: float) -> Balls:
    """balls.polar([P_1 … P_T]) blkdiag(cores) balls.polar([Q_1 … Q_T])ᵀ over the blocks that are there."""
    there = [block for block in blocks if block is not None]
    U, V = (balls.polar(balls.beside([block[side] for block in there]), cut) for side in (0, 2))
    return U * balls.diagonal(cores) * V.transpose()


def _turn(X: Balls, k: int, level: float) -> float:
    """How far rounding up to `level` may turn the leading k vectors: level / (last kept − first dropped), at most 1."""
    S = singular_values(balls.middle(X))
    kept = min(k, int(np.sum(S > level)))
    if kept == 0:
        return 0.0
    gap = S[kept - 1] - (S[kept] if kept < len(S) else 0.0)
    return min(level / gap, 1.0) if gap > 0 else 1.0


def _turned(Xs: Sequence[Balls], k: int, levels: Sequence[float]) -> float:
    """The cut of polar factors: the largest turn, between rtol and √eps."""
    return min(max([RTOL, *(_turn(X, k, level) for X, level in zip(Xs, levels, strict=True))]), EPS**0.5)


def _total(Xs: Sequence[Balls]) -> Balls:
    from flint import arb_mat

    return sum(Xs, arb_mat(Xs[0].nrows(), Xs[0].ncols()))


def _tsv(stage: Tsv, given: Weighted) -> Leveled:
    Xs, levels, least, _ = given
    k = max(1, least // len(Xs)) if stage.k is None else stage.k
    blocks = [balls.leading(X, k, level) for X, level in zip(Xs, levels, strict=True)]
    if not any(blocks):
        return _total(Xs) * 0, max(levels)
    return orthogonalized(blocks, [block[1] for block in blocks if block], _turned(Xs, k, levels)), max(levels)


def _cart(stage: Cart, given: Weighted) -> Leveled:
    Xs, levels, least, _ = given
    share = -int(-(least * stage.fraction) // 1) if stage.rounding == "ceil" else int(least * stage.fraction)
    k = max(1, share) if stage.k is None else stage.k
    mean = _total(Xs) / len(Xs)
    if len(Xs) == 2:  # opposite deviations, whose parts cancel
        return mean, max(1.0, abs(stage.coefficient)) * max(levels)
    parts = [balls.leading(X - mean, k, max(levels)) for X in Xs]
    lowrank = _total([P * L * Q.transpose() for P, L, Q in (part for part in parts if part)] or [mean * 0])
    return mean + lowrank * balls.exactly(stage.coefficient), max(1.0, abs(stage.coefficient)) * max(levels)


def _iso_cts(stage: IsoCts, given: Weighted) -> Leveled:
    from flint import arb

    Xs, levels, least, _ = given
    common, each = (int(count) for count in stage.counts(np.asarray(float(least)), len(Xs)))
    total = _total(Xs)
    first = balls.leading(total, common, max(levels))
    turn = _turn(total, common, max(levels))
    residuals = [X - first[0] * (first[0].transpose() * X) if first else X for X in Xs]
    own = [level + turn * norm(balls.middle(X)) for level, X in zip(levels, Xs, strict=True)]
    blocks = [first, *[balls.leading(X, each, level) for X, level in zip(residuals, own, strict=True)]]
    there = [block for block in blocks if block is not None]
    if not there:
        return total * 0, max(levels)
    turns = [balls.rotation(L) for _, L, _ in there]
    sizes = [(R.transpose() * L).trace() for R, (_, L, _) in zip(turns, there, strict=True)]
    mean = sum(sizes, arb(0)) / sum(R.nrows() for R in turns)
    cut = max(_turned([total], common, [max(levels)]), _turned(residuals, each, own))
    return orthogonalized(blocks, [R * mean for R in turns], cut), max(levels)


def _iso(M: Balls, level: float) -> Balls:
    """σ̄ P Qᵀ over the support."""
    block = balls.leading(M, min(M.nrows(), M.ncols()), level)
    if block is None:
        return M * 0
    P, L, Q = block
    R = balls.rotation(L)
    return P * (R * ((R.transpose() * L).trace() / L.nrows())) * Q.transpose()


def _sum(stage: Stage, given: Weighted) -> Leveled:
    return _total(given.Xs), max(given.levels)


def _karcher(stage: Karcher, given: Weighted) -> Leveled:
    return karcher(stage, given.Xs, given.levels, given.weights)


RULES: dict[type[Stage], Callable[..., Leveled]] = {
    Ta: _sum, Mean: _sum, Tsv: _tsv, Cart: _cart, IsoCts: _iso_cts, Karcher: _karcher,
}  # fmt: skip


def exact_merge(stages: Sequence[Stage], given: Weighted) -> Balls:
    """What the stages return."""
    check_rules(stages)
    merge, *posts = stages
    M, level = RULES[type(merge)](merge, given)
    for _ in posts:
        M = _iso(M, level)
    return M


def check_rules(stages: Sequence[Stage]) -> None:
    """ParameterError for stages that are not orthogonally equivariant, or have no rule here."""
    merge, *posts = stages
    if type(merge) not in RULES or any(not isinstance(post, Iso) or post.support != "rank" for post in posts):
        names = "+".join(stage.name for stage in stages)
        raise ParameterError(
            f"certify: method: expected a merge by {', '.join(sorted(kind.name for kind in RULES))}, then iso or "
            f"nothing, got {names!r}: what a method returns that looks at entries, or at null vectors, hangs on each "
            "vector of its frame, and no ball holds vectors of equal singular values"
        )


def _rounding_level(B: np.ndarray, A: np.ndarray) -> float:
    """ν = 8 eps Σ ‖b_i‖ ‖a_i‖, up to which a singular value of B A is none (specification, section 2)."""
    with np.errstate(over="ignore"):  # beyond float64 nothing is certified
        return LIVE * float(np.sum(lengths(B) * lengths(A, axis=1)))
