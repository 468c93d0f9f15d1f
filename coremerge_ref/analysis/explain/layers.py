"""Layers of equal shape on the host, and one of them: its stack, its frames, and what its levels of errors share."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from coremerge_ref.analysis.explain.alike import Alike
from coremerge_ref.analysis.explain.frame import Frame
from coremerge_ref.analysis.explain.terms import Factors, Terms, terms_of
from coremerge_ref.core import arrays
from coremerge_ref.core.arrays.dtypes import WORKING
from coremerge_ref.core.frames import Frames
from coremerge_ref.core.linalg import thresholds
from coremerge_ref.core.merging import Prepared
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.sides import Side
from coremerge_ref.core.spaces import Space
from coremerge_ref.core.stack import Stack
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.perturbation.theorems import singular_values

ROUNDING = thresholds("float64")[1] / 2.0**-52  # in eps Σ ‖b_i‖ ‖a_i‖
NAMES = (("[B_1 … B_T]", "[ΔW_1 … ΔW_T]"), ("[A_1; …; A_T]", "[ΔW_1; …; ΔW_T]"))
Updates = Sequence[LowRankUpdate | None]


class Group(Prepared):
    """Layers of equal shape, on the host, and the dtype that their factors were stored in."""

    def __init__(
        self,
        updates: Updates,
        space: Space,
        compute: Any,
        names: Any,
        given: Any,
        dtype: str,
        factors: list[float],
        summed: bool = False,
    ) -> None:
        super().__init__(updates, space, compute, names)
        self.updates = updates
        self.factor, self.is_sum = max(factors), summed
        self.given, self.dtype, self.compute = given, dtype, arrays.dtype_name(compute)
        self.shape, self.unit = self.present[0].shape[-2:], arrays.eps(self.compute)

    def in_float64(self) -> "Group":
        """The same layers, merged in float64."""
        given = self.given, self.dtype, [self.factor], self.is_sum
        return Group(self.updates, self.space, "float64", self.names, *given)

    def check_products(self, M: Any, level: Any, lost: Any) -> None:
        """As merge, which forms no product of what it sums: a task too small for its digits is lost beside others."""
        if not self.is_sum:
            super().check_products(M, level, lost)


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a group: its place in the batch, its stack and frames, M (T, p, q) of blocks whose singular values
    are not divided out, its terms, ν_t of the updates themselves, and what was computed for all levels of errors.
    rescaled (T, p, q): the stack that frames of a lossy space are the singular vectors of, in these."""

    name: str
    group: int
    at: tuple[int, ...]
    stack: Any  # a Stack on the host
    left: Frame
    right: Frame
    M: np.ndarray
    terms: tuple[Terms, tuple[int, ...]]  # of the group, and where in it
    levels: np.ndarray
    sigma: np.ndarray | None
    unit: float
    shared: dict[Any, Any]
    rescaled: np.ndarray | None = None


def layers_of(group: Group, number: int, stack: Stack, frames: Frames) -> Iterator[Layer]:
    """The layers of a group; what all have is computed at once."""
    left, right = (([wide(C) for C in s.coordinates], [wide(x) for x in s.norms]) for s in (frames.left, frames.right))
    M = np.stack([L @ R.mT for L, R in zip(left[0], right[0], strict=True)])  # (T, …, p, q)
    terms = terms_of(left, right, frames.left.Q is None, frames.right.Q is None, group.unit)
    levels = ROUNDING * group.unit * np.stack([np.sum(b * a, axis=-1) for b, a in zip(left[1], right[1], strict=True)])
    rescaled = None if frames.rescaling is None else wide(frames.rescaling)[..., None, None] * M
    sides = (frames.left, left, right), (frames.right, right, left)
    cuts = [_cutter(group, place, M if place == 0 else M.mT, *one) for place, one in enumerate(sides)]
    for name, at in zip(stack.names, np.ndindex(*stack.M.shape[1:-2]), strict=True):
        place = (slice(None), *at)
        left_frame, right_frame = (cut(at) for cut in cuts)
        sigma = None if frames.sigma is None else wide(frames.sigma[at])
        yield Layer(
            name,
            number,
            at,
            one(stack, at, name),
            left_frame,
            right_frame,
            M[place],
            (terms, at),
            levels[place],
            sigma,
            group.unit,
            {},
            None if rescaled is None else rescaled[place],
        )


def _cutter(group: Group, place: int, M: np.ndarray, side: Side, own: Factors, facing: Factors) -> Any:
    """A function that gives one layer's frame on that side (0 left, 1 right), M (T, …, p, q) with rows on it."""
    coordinates, norms = own
    S = None if side.S is None else wide(side.S)
    spectrum: Any = None
    if side.Q is not None and not side.of_updates:
        units = [C / np.where(x > 0, x, 1.0)[..., None, :] for C, x in zip(coordinates, norms, strict=True)]
        X = np.concatenate(units, axis=-1)  # (…, p, R), columns of norm 1
        values = singular_values(X) if X.shape[-1] else np.zeros((*X.shape[:-2], 1))
        spectrum = X, values, np.count_nonzero(np.any(X, axis=-2), axis=-1)
    live = np.broadcast_to(np.asarray(side.live, dtype=int), M.shape[1:-2])
    alike = None if S is None or side.of_updates else Alike(coordinates, norms, S, live)

    def cut(at: tuple[int, ...]) -> Frame:
        here: Any = (slice(None), *at)
        distinct = 0
        if side.of_updates or (spectrum is not None and live[at] < min(group.shape[place], spectrum[2][at])):
            pairs = [(wide(B[at]).T, wide(A[at])) for B, A in group.factors]  # of rows (r_t, m) and (r_t, n)
            rows = [pair[place][np.any(pair[1 - place], axis=1)] for pair in pairs]
            distinct = _distinct(np.concatenate(rows))
        return Frame(
            [C[at] for C in coordinates],
            [x[at] for x in norms],
            M[here],
            ([R[at] for R in facing[0]], [a[at] for a in facing[1]]),
            None if S is None else S[at],
            int(live[at]),
            side.Q is None,
            side.of_updates,
            group.shape[place],
            NAMES[place],
            distinct,
            None if spectrum is None else tuple(part[at] for part in spectrum),
            None if alike is None else lambda level: alike.turn(level, at),
        )

    return cut


def _distinct(rows: np.ndarray) -> int:
    """How many rows that are not zero differ by more than a factor: copies add no direction."""
    largest = np.take_along_axis(rows, np.argmax(np.abs(rows), axis=1)[:, None], axis=1)
    there = largest[:, 0] != 0
    return len({row.tobytes() for row in rows[there] / largest[there] + 0.0})  # + 0.0: one zero, not two


def one(item: Any, at: tuple[int, ...], name: str) -> Any:
    """One layer of a stack or of what a stack merged into, in float64."""
    place = (slice(None), *at) if isinstance(item, Stack) else at
    cut: dict[str, Any] = {"M": wide(item.M[place]), "rounding_level": wide(item.rounding_level[place])}
    cut |= {"rows": _at(item.rows, at), "cols": _at(item.cols, at)}
    if isinstance(item, Stack):
        rows, cols, least = (None if x is None else wide(x[place]) for x in item.entry_shares)
        return replace(item, **cut, names=(name,), products=None, entry_shares=(rows, cols, least))
    return replace(item, **cut, info={k: _at(v, at) for k, v in item.info.items()})


def _at(value: Any, at: tuple[int, ...]) -> Any:
    return value[at] if getattr(value, "ndim", 0) > 0 else value


def wide(X: Any) -> np.ndarray:
    """X in float64."""
    return np.asarray(X, dtype=np.float64)


def on_host(updates: Updates, pipeline: Pipeline) -> tuple[list[LowRankUpdate | None], float]:
    """The same updates, their numbers exactly, as NumPy arrays of float32 or float64, and what each B is multiplied by.

    That is 1 but for a sum of scalars times updates, which multiplies B alone, forms no product and so has none out of
    range.
    """
    made, factor = [u and _copied(u) for u in updates], 1.0
    if pipeline.linear:
        for side in ("B", "A"):
            largest = max(float(np.max(np.abs(getattr(u, side)), initial=0.0)) for u in made if u is not None)
            power = 2.0 ** -min(max(math.frexp(largest)[1], -1000), 1000)
            factor = power if side == "B" else factor
            scaled: Any = lambda u: {side: wide(getattr(u, side)) * power}  # noqa: B023, E731
            made = [u and replace(u, **scaled(u)) for u in made]
    return made, factor


def _copied(u: LowRankUpdate) -> LowRankUpdate:
    """The update itself where it is on the host in such a dtype."""
    scale = arrays.to_host(u.scale) if hasattr(u.scale, "shape") else u.scale
    if scale is u.scale and all(type(X) is np.ndarray and arrays.dtype_name(X.dtype) in WORKING for X in (u.B, u.A)):
        return u
    return LowRankUpdate(arrays.to_host(u.B), arrays.to_host(u.A), scale)


def coarsest(updates: Updates) -> str:
    """The dtype name of the coarsest factor."""
    names = {arrays.dtype_name(X.dtype) for u in updates if u is not None for X in (u.B, u.A)}
    return max(names, key=arrays.eps)
