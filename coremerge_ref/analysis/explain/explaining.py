"""explain: is a merge well posed, how far may rounding move it, and what decides that."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from coremerge_ref.analysis.explain.entering import Frame, entered, level_of, sized
from coremerge_ref.analysis.explain.explanation import Explanation, Explanations, judged
from coremerge_ref.core import arrays
from coremerge_ref.core.batches import equal_shapes, stacked
from coremerge_ref.core.frames import Frames
from coremerge_ref.core.inputs import as_updates
from coremerge_ref.core.linalg import thresholds
from coremerge_ref.core.merging import Options, Prepared, merge_groups, restored
from coremerge_ref.core.perturbation import Errors, Level, norm
from coremerge_ref.core.pipeline import Method, Pipeline, as_pipeline
from coremerge_ref.core.sides import Side
from coremerge_ref.core.spaces import Core, Space, as_space
from coremerge_ref.core.stack import Stack
from coremerge_ref.core.stages import MERGE, Stage
from coremerge_ref.core.updates import LowRankUpdate

ROUNDING = thresholds("float64")[1] / 2.0**-52  # in eps Σ ‖b_i‖ ‖a_i‖
Updates = Sequence[LowRankUpdate | None]


@arrays.stays_beside
def explain(
    updates: Sequence[Any] | Mapping[str, Sequence[Any]],
    method: Method | Pipeline = "tsv",
    space: str | Space = "core",
    scale: float = 1.0,
    weights: Sequence[float] | None = None,
    compute_dtype: Any = "float64",
    out_dtype: Any = None,
    names: Sequence[str] | None = None,
) -> Explanation | Explanations:
    """Says whether the answer of `merge` with the same arguments is defined, and how well.

    updates: as in merge, or {layer name: updates} as in merge_adapters. Returns an Explanation for one layer, and
    Explanations, a mapping from layer names to them, for a batch or a mapping. Each has live sizes, spectra with
    their cuts, margins, two bounds on the relative error of ΔW (from the rounding of the arithmetic, and from that of
    the inputs to their own dtype) and a verdict, "well-posed", "sensitive" or "ill-posed", with its reason.

    A diagnosis: it copies the updates to the host and merges there, in NumPy, whatever library they come from, and
    every stage says what it makes of errors (`Stage.carry`). Bounds are first-order perturbation theory with
    second-order terms bounded; in a space that loses something (Compressed), and for a method without a rule, they are
    estimates. scale and out_dtype change nothing relative and are accepted so that a call to merge
    can be repeated as it is.

    Raises what merge raises.

    >>> updates = [(np.eye(2), np.eye(2)), (np.eye(2), np.diag([1.0, 3.0]))]
    >>> cm.explain(updates, "ta").verdict
    'well-posed'
    """
    pipeline, named = as_pipeline(method), as_space(space)
    chosen = named
    if pipeline.linear and chosen.lossless:  # one ΔW in all of them, and merged without any
        chosen = Core()
    groups: list[_Group] = []
    if isinstance(updates, Mapping):
        checked = {name: as_updates(given, name) for name, given in updates.items()}
        for group in equal_shapes(checked):
            copies = {name: _on_host(checked[name], pipeline) for name in group}
            batch, factors = stacked({k: u for k, (u, _) in copies.items()}, group), [f for _, f in copies.values()]
            groups.append(_Group(batch, chosen, compute_dtype, group, weights, _coarsest(checked[group[0]]), factors))
    else:
        one = as_updates(updates)
        host, factor = _on_host(one, pipeline)
        groups = [_Group(host, chosen, compute_dtype, names, weights, _coarsest(one), [factor])]
    if pipeline.whole_model:
        made = _explained(groups, pipeline, named)
    else:
        made = {name: e for group in groups for name, e in _explained([group], pipeline, named).items()}
    if isinstance(updates, Mapping):
        return Explanations({name: made[name] for name in updates})
    single = next(u for u in one if u is not None)
    return Explanations(made) if len(single.shape) > 2 else next(iter(made.values()))


class _Group(Prepared):
    """Layers of equal shape, on the host, and the dtype that their factors were stored in."""

    def __init__(
        self, updates: Updates, space: Space, compute: Any, names: Any, given: Any, dtype: str, factors: list[float]
    ) -> None:
        super().__init__(updates, space, compute, names)
        self.updates = updates
        self.factor = max(factors)
        self.given, self.dtype, self.compute = given, dtype, arrays.dtype_name(compute)
        self.shape, self.unit = self.present[0].shape[-2:], arrays.eps(self.compute)


@dataclass(frozen=True, eq=False)
class _Layer:
    """One layer of a group: its place in the batch, its stack and frames, and the SVDs that its levels share."""

    name: str
    group: int
    at: tuple[int, ...]
    stack: Any  # a Stack on the host
    left: Frame
    right: Frame
    sigma: np.ndarray | None
    unit: float
    svds: dict[Any, Any]

    @property
    def levels(self) -> np.ndarray:
        """ν_t of the updates themselves, not of blocks whose singular values are divided out."""
        pairs = zip(self.left.norms, self.right.norms, strict=True)
        return np.asarray([ROUNDING * self.unit * float(b @ a) for b, a in pairs])


def _explained(groups: list[_Group], pipeline: Pipeline, space: Space) -> dict[str, Explanation]:
    """Merges, watching every stage, then walks the stages once for each level of errors."""
    steps: list[tuple[Stage, list[Any], list[Any]]] = []
    encoded = [group.encoded(pipeline) for group in groups]
    stacks = [
        replace(stack, weights=group.weights(pipeline, group.given))
        for group, (_, stack) in zip(groups, encoded, strict=True)
    ]
    with arrays.overflow_checked():
        merged = pipeline.merge(stacks, lambda *step: steps.append(step))
        upright = [restored(item, frames) for item, (frames, _) in zip(merged, encoded, strict=True)]
        finished = pipeline.finish(upright, lambda *step: steps.append(step))
    layers = [
        _Layer(name, i, at, _one(stack, at, name), *_sides(frames, at, groups[i]), groups[i].unit, {})
        for i, (stack, (frames, _)) in enumerate(zip(stacks, encoded, strict=True))
        for name, at in zip(stack.names, np.ndindex(*stack.M.shape[1:-2]), strict=True)
    ]
    pieces = [
        (
            stage,
            [_one(before[e.group], e.at, e.name) for e in layers],
            [_one(after[e.group], e.at, e.name) for e in layers],
        )
        for stage, before, after in steps
    ]
    ends = [_one(finished[e.group], e.at, e.name) for e in layers]
    runs = {
        kind: _walk(layers, [_level(kind, groups[e.group], e) for e in layers], pieces, space, ends, pipeline)
        for kind in ("compute", "input")
    }
    if not space.lossless:
        for kind, run in runs.items():
            probed = _probed(groups, pipeline, [errors.level for errors, _ in run])
            runs[kind] = [(errors, max(bound, other)) for (errors, bound), other in zip(run, probed, strict=True)]
    made = {}
    for i, (layer, end) in enumerate(zip(layers, ends, strict=True)):
        (errors, bound), (other, input_bound) = runs["compute"][i], runs["input"][i]
        made[layer.name] = Explanation(
            layer=layer.name,
            method=str(pipeline),
            space=space.name,
            shape=errors.shape,
            tasks=layer.stack.T,
            rows=int(end.rows),
            cols=int(end.cols),
            info={k: int(v) if float(v).is_integer() else float(v) for k, v in end.info.items()},
            bound=judged(errors, bound, norm(end.M)),
            input_bound=judged(other, input_bound, norm(end.M)),
            margins=tuple(errors.margins),
            spectra=tuple(errors.spectra),
            undecided=errors.undecided,
            estimated=errors.estimated,
        )
    return made


def _probed(groups: list[_Group], pipeline: Pipeline, levels: list[Level], probes: int = 4) -> list[float]:
    """For each layer ten times the largest change seen as all inputs change at random: an estimate, see `estimate`.

    For spaces that lose something, whose frames no theory here bounds.
    """
    rng, size = np.random.default_rng(0), max(level.size for level in levels)
    steps = (size, max(size, max(level.eps for level in levels) ** 0.5))

    def merged(step: float) -> list[np.ndarray]:
        def moved(X: Any) -> Any:
            return _wide(X) * (1 + step * rng.uniform(-1, 1, X.shape))

        inputs = [[u and replace(u, B=moved(u.B), A=moved(u.A)) for u in group.updates] for group in groups]
        prepared = [
            Prepared(one, group.space, group.compute, group.names) for one, group in zip(inputs, groups, strict=True)
        ]
        options = Options(weights=groups[0].given, out_dtype="float64")
        return [np.asarray(made.to_dense()) for made in merge_groups(prepared, pipeline, options)]

    base, largest = merged(0.0), np.zeros(len(levels))
    for step in steps:
        for _ in range(probes):
            sizes = [np.linalg.norm(X - Y, axis=(-2, -1)).ravel() for X, Y in zip(merged(step), base, strict=True)]
            largest = np.maximum(largest, np.concatenate(sizes) * (size / step))
    return list(10 * largest)


def _level(kind: str, group: _Group, layer: _Layer) -> Level:
    dtype = group.compute if kind == "compute" else group.dtype
    ranks = sum(C.shape[1] for C in layer.left.coordinates)
    terms = max(layer.left.size, layer.right.size, ranks)
    tiny = float(np.finfo(group.compute).smallest_normal) * group.factor
    return level_of(kind, dtype, arrays.eps(dtype), tiny, terms)


def _walk(
    layers: list[_Layer], levels: list[Level], pieces: list[Any], space: Space, ends: list[Any], pipeline: Pipeline
) -> list[tuple[Errors, float]]:
    """For each layer its errors at its level, and a bound on the error of its merged ΔW."""
    seen = [{side for stage in pipeline.stages for side in stage.sees(layer.stack.T)} for layer in layers]
    errors = [_start(*one, space) for one in zip(layers, levels, seen, strict=True)]
    entering = [e.entering for e in errors]
    for stage, before, after in pieces:
        errors = stage.propagate(errors, before, after)
        if stage.kind == MERGE:
            for e, first, layer, item in zip(errors, entering, layers, after, strict=True):
                e.entering = first
                _multiply(e, layer, item.M)
    bounds = []
    for e, layer, item, sides in zip(errors, layers, ends, seen, strict=True):
        bound = float(e.delta) + e.level.formed * norm(item.M)
        for side, frame, M in (("left", layer.left, item.M), ("right", layer.right, item.M.T)):
            if side in sides or (side == "left" and layer.sigma is not None):
                bound += min(frame.turned(e, M)[1] + frame.leaving(e, M), 2 * norm(M))
        bounds.append(bound)
    return list(zip(errors, bounds, strict=True))


def _start(layer: _Layer, level: Level, seen: set[str], space: Space) -> Errors:
    """The errors of the stack of a layer as its stages get it: turned frames change the entries of those that look."""
    M = np.stack([L @ R.T for L, R in zip(layer.left.coordinates, layer.right.coordinates, strict=True)])
    shared = {"svds": layer.svds, "unit": layer.unit, "estimated": not space.lossless}
    e = entered(level, M, layer.left, layer.right, layer.stack.tasks, **shared)
    e.closed = all(f.identity or side in seen for side, f in (("left", layer.left), ("right", layer.right)))
    for side, X, frame in (("left", M, layer.left), ("right", M.mT, layer.right)):
        sized(e, space, frame, X, layer.levels)
        if side not in seen and (layer.sigma is None or side == "right"):
            continue
        change, most = frame.turned(e, X)
        if side in seen and norm(M) and not most < norm(M):
            i, gap = frame.closest()
            e.doubt(
                space,
                f"singular values {i} and {i + 1} of {frame.name} differ by {gap:.1e} of the largest, so the basis "
                "whose entries are looked at is not determined",
                remedy="use a method that no basis decides, such as tsv or iso, or full space, or another basis",
            )
        e.entry = e.entry + (change if side == "left" else change.mT)
        e.delta = e.delta + np.asarray([min(norm(x), most) for x in change])
    if layer.sigma is not None:  # rows divided by σ_i: their errors grow by 1 / σ_i, and σ_i has its own
        live = layer.sigma > 0
        inverse = np.where(live, 1 / np.where(live, layer.sigma, 1.0), 0.0)[:, None]
        own = layer.left.error(e) * inverse * np.abs(layer.stack.M)
        e.entry = e.entry * inverse + own
        e.delta = np.asarray(
            [min(d * inverse.max() + norm(x), norm(y)) for d, x, y in zip(e.delta, own, e.entry, strict=True)]
        )
        if not e.level.formed:
            e.entry = np.minimum(e.entry, layer.left.divided(e, layer.stack.M, layer.right.norms))
            e.delta = np.minimum(e.delta, [norm(x) for x in e.entry])
        e.entry = np.minimum(e.entry, e.delta[:, None, None])
    return e


def _multiply(e: Errors, layer: _Layer, M: np.ndarray) -> None:
    """What unscaled KnOTS divided out is multiplied back: errors of the rows by σ_i, those of σ_i by the rows."""
    if layer.sigma is None:
        return
    sigma, own = layer.sigma, np.zeros(M.shape)
    own[: layer.left.live] = layer.left.own(e)[:, None] * np.abs(M[: layer.left.live])
    e.polar, e.entry = None, e.entry * sigma[:, None] + own
    e.delta = np.asarray(min(float(e.delta) * float(sigma.max()) + norm(own), norm(e.entry)))


def _sides(frames: Frames, at: tuple[int, ...], group: _Group) -> tuple[Frame, Frame, np.ndarray | None]:
    """Both sides of one layer, and the singular values that its rows are divided by."""

    pairs = zip(frames.left.coordinates, frames.right.coordinates, strict=True)
    matrices = [(_wide(L[at]) @ _wide(R[at]).T) for L, R in pairs]

    def side(one: Side, place: int, names: tuple[str, str]) -> Frame:
        distinct = 0
        if one.of_updates:
            own = [_wide(pair[place][at]) for pair in group.factors]
            distinct = _distinct(np.concatenate([X.T if place == 0 else X for X in own]))
        S = None if one.S is None else _wide(one.S[at])
        coordinates, norms = [_wide(C[at]) for C in one.coordinates], [_wide(x[at]) for x in one.norms]
        return Frame(
            coordinates,
            norms,
            [np.linalg.norm(M, axis=1 - place) for M in matrices],
            S,
            int(_at(one.live, at)),
            one.Q is None,
            one.of_updates,
            group.shape[place],
            names,
            distinct,
        )

    sigma = None if frames.sigma is None else _wide(frames.sigma[at])
    left = side(frames.left, 0, ("[B_1 … B_T]", "[ΔW_1 … ΔW_T]"))
    return left, side(frames.right, 1, ("[A_1; …; A_T]", "[ΔW_1; …; ΔW_T]")), sigma


def _distinct(rows: np.ndarray) -> int:
    """How many rows that are not zero differ by more than a factor: copies add no direction."""
    largest = np.take_along_axis(rows, np.argmax(np.abs(rows), axis=1)[:, None], axis=1)
    there = largest[:, 0] != 0
    return len({row.tobytes() for row in rows[there] / largest[there] + 0.0})  # + 0.0: one zero, not two


def _one(item: Any, at: tuple[int, ...], name: str) -> Any:
    """One layer of a stack or of what a stack merged into, in float64."""
    place = (slice(None), *at) if isinstance(item, Stack) else at
    one: dict[str, Any] = {"M": _wide(item.M[place]), "rounding_level": _wide(item.rounding_level[place])}
    one |= {"rows": _at(item.rows, at), "cols": _at(item.cols, at)}
    if isinstance(item, Stack):
        return replace(item, **one, names=(name,), products=None)
    return replace(item, **one, info={k: _at(v, at) for k, v in item.info.items()})


def _at(value: Any, at: tuple[int, ...]) -> Any:
    return value[at] if getattr(value, "ndim", 0) > 0 else value


def _wide(X: Any) -> np.ndarray:
    return np.asarray(X, dtype=np.float64)


def _on_host(updates: Updates, pipeline: Pipeline) -> tuple[list[LowRankUpdate | None], float]:
    """The same updates, their numbers exactly, as NumPy arrays of float32 or float64, and what ΔW is multiplied by.

    That is 1 but for a sum of scalars times updates, which forms no product and so has none out of range.
    """
    made, factor = [], 1.0
    for u in updates:
        scale = 1.0 if u is None else arrays.to_host(u.scale) if hasattr(u.scale, "shape") else u.scale
        made.append(u and LowRankUpdate(arrays.to_host(u.B), arrays.to_host(u.A), scale))
    if pipeline.linear:
        for side in ("B", "A"):
            largest = max(float(np.max(np.abs(getattr(u, side)), initial=0.0)) for u in made if u is not None)
            power = 2.0 ** -min(max(math.frexp(largest)[1], -1000), 1000)
            factor *= power
            scaled: Any = lambda u: {side: _wide(getattr(u, side)) * power}  # noqa: B023, E731
            made = [u and replace(u, **scaled(u)) for u in made]
    return made, factor


def _coarsest(updates: Updates) -> str:
    """The dtype name of the coarsest factor."""
    names = {arrays.dtype_name(X.dtype) for u in updates if u is not None for X in (u.B, u.A)}
    return max(names, key=arrays.eps)
