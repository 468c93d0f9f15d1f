"""Hypothesis strategies: recipes of updates, spectra, scales, weights and methods. All shrink to small and plain."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.methods import Cart, Drm, Iso, IsoCts, Mean, Ta, Ties, Tsv
from coremerge_ref.methods.base import ORTHOGONAL, SIGNED_PERMUTATION
from coremerge_ref.testing.builders import KINDS, Recipe

# A few shapes: square, wide, tall, one row, one column. Few, so that just-in-time compilers see a shape again.
SHAPES = ((6, 5), (5, 5), (4, 9), (9, 4), (1, 6), (7, 1), (10, 8))


def scales(extreme: bool = False) -> st.SearchStrategy[float]:
    """A scaling s_t: ordinary numbers of either sign, powers of two among them; 1e±20 as well where `extreme`."""
    return st.sampled_from([1.0, 2.0, 0.5, -1.0, 0.3, -1.7, *([1e-20, 1e20, 1e-6] if extreme else [])])


def spectra(max_decades: float = 2.0) -> st.SearchStrategy[float]:
    """Decades between the largest and the smallest singular value of a task, away from 0 so that there are gaps."""
    return st.sampled_from([d for d in (1.0, 0.5, 2.0, 4.0, 6.0) if d <= max_decades])


@st.composite
def recipes(
    draw: st.DrawFn,
    kinds: Sequence[str] = KINDS,
    shapes: Sequence[tuple[int, int]] = SHAPES,
    min_tasks: int = 1,
    max_tasks: int = 4,
    max_rank: int = 4,
    max_decades: float = 2.0,
    extreme: bool = False,
    equal_ranks: bool = False,
    batches: Sequence[tuple[int, ...]] = ((),),
    ranks: Sequence[tuple[int, ...]] | None = None,
) -> Recipe:
    """A Recipe: tasks of ranks 1 to max_rank that may differ, their sum below or above m and n, of any of `kinds`.

    ranks, where given, are the only ones drawn, in place of what the numbers of tasks and max_rank allow.
    """
    m, n = draw(st.sampled_from(shapes))
    T = draw(st.integers(min_tasks, max_tasks))
    drawn = draw(st.lists(st.integers(1, max_rank), min_size=T, max_size=T))
    if ranks is not None:
        drawn = list(draw(st.sampled_from(ranks)))
        T = len(drawn)
    return Recipe(
        m,
        n,
        tuple(drawn[:1] * T if equal_ranks else drawn),
        draw(spectra(max_decades)),
        tuple(draw(st.lists(scales(extreme), min_size=T, max_size=T))),
        draw(st.sampled_from(kinds)),
        draw(st.sampled_from(batches)),
        draw(st.integers(0, 2**16)),
    )


def weights(T: int) -> st.SearchStrategy[tuple[float, ...]]:
    """T weights of either sign, zero among them, in quarters: their sums are exact."""
    return st.lists(st.integers(-8, 8), min_size=T, max_size=T).map(lambda ws: tuple(w / 4 for w in ws))


def methods(equivariance: str | None = None, linear: bool | None = None) -> st.SearchStrategy[Pipeline]:
    """A merge method at absolute settings, optionally of one equivariance, or among (or not among) the linear ones."""
    plain: list[list[Any]] = [[Ta()], [Mean()]]
    orthogonal: list[list[Any]] = [
        *([Tsv(k)] for k in (1, 2, 8)),
        *([Cart(k, coefficient=c)] for k, c in ((1, 1.0), (2, 2.5))),
        [Ta(), Iso()],
        [Tsv(2), Iso()],
        [Cart(1), Iso()],
    ]
    elementwise: list[list[Any]] = [
        [Ties(density=d, keep=keep, elect=elect, aggregate=aggregate, zero_sign="positive")]
        for d, keep, elect, aggregate in (
            (1.0, "threshold", "mass", "mean"),
            (0.5, "threshold", "count", "sum"),
            (0.5, "exact", "mass", "mean"),
        )
    ] + [[Drm()], [Drm(direction="vertical")]]
    chosen: list[list[Any]] = []
    if linear is not False:
        chosen += plain if equivariance in (None, ORTHOGONAL) else []
    if linear is not True:
        chosen += orthogonal if equivariance in (None, ORTHOGONAL) else []
        chosen += [*elementwise] if equivariance in (None, SIGNED_PERMUTATION) else []
        chosen += [[IsoCts()]] if equivariance is None else []
    return st.sampled_from(chosen).map(Pipeline)
