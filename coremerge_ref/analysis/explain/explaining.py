"""explain: is a merge well posed, how far may rounding move it, and what decides that."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from coremerge_ref.analysis.explain.explanation import Explanation, Explanations, judged
from coremerge_ref.analysis.explain.layers import Group, Layer, coarsest, layers_of, on_host, one
from coremerge_ref.analysis.explain.probing import probed
from coremerge_ref.analysis.explain.walking import level_at, walk
from coremerge_ref.core import arrays
from coremerge_ref.core.batches import equal_shapes, stacked
from coremerge_ref.core.inputs import are_finite, as_updates
from coremerge_ref.core.merging import restored
from coremerge_ref.core.pipeline import Method, Pipeline, as_pipeline
from coremerge_ref.core.spaces import Core, Space, as_space
from coremerge_ref.core.stages import Stage
from coremerge_ref.perturbation.theorems import norm


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
    is_sum = pipeline.linear and named.lossless  # one ΔW in all spaces, and merged without any
    chosen = Core() if is_sum else named
    groups: list[Group] = []
    if isinstance(updates, Mapping):
        checked = {name: as_updates(given, name, look=False) for name, given in updates.items()}
        for group in equal_shapes(checked):
            copies = {name: on_host(checked[name], pipeline) for name in group}
            batch, factors = stacked({k: u for k, (u, _) in copies.items()}, group), [f for _, f in copies.values()]
            if not are_finite(batch):
                for name in group:
                    as_updates(checked[name], name)  # says where
            groups.append(
                Group(batch, chosen, compute_dtype, group, weights, coarsest(checked[group[0]]), factors, is_sum)
            )
    else:
        alone = as_updates(updates)
        host, factor = on_host(alone, pipeline)
        groups = [Group(host, chosen, compute_dtype, names, weights, coarsest(alone), [factor], is_sum)]
    if pipeline.whole_model:
        made = _explained(groups, pipeline, named)
    else:
        made = {name: e for group in groups for name, e in _explained([group], pipeline, named).items()}
    if isinstance(updates, Mapping):
        return Explanations({name: made[name] for name in updates})
    single = next(u for u in alone if u is not None)
    return Explanations(made) if len(single.shape) > 2 else next(iter(made.values()))


def _explained(groups: list[Group], pipeline: Pipeline, space: Space) -> dict[str, Explanation]:
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
        for item in (*merged, *upright):
            arrays.check_range(item.M, "the merged update")
        finished = pipeline.finish(upright, lambda *step: steps.append(step))
    layers = [
        layer
        for i, (group, stack, (frames, _)) in enumerate(zip(groups, stacks, encoded, strict=True))
        for layer in layers_of(group, i, stack, frames)
    ]
    pieces = [
        (
            stage,
            [one(before[e.group], e.at, e.name) for e in layers],
            [one(after[e.group], e.at, e.name) for e in layers],
        )
        for stage, before, after in steps
    ]
    ends = [one(finished[e.group], e.at, e.name) for e in layers]
    runs = {
        kind: walk(layers, [level_at(kind, groups[e.group], e) for e in layers], pieces, space, ends, pipeline)
        for kind in ("compute", "input")
    }
    if not space.lossless:
        noise = [0.0] * len(layers)
        for kind, run in runs.items():  # arithmetic first
            found = probed(groups, pipeline, [errors.level for errors, _ in run], noise)
            runs[kind] = [(errors, max(bound, other)) for (errors, bound), other in zip(run, found, strict=True)]
            noise = [bound for _, bound in runs[kind]]
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
    _narrower_zeros(made, layers, groups, pipeline, space)
    return made


def _narrower_zeros(
    made: dict[str, Explanation], layers: list[Layer], groups: list[Group], pipeline: Pipeline, space: Space
) -> None:
    """Fills in what `Explanation.narrower_zeros` says: float64 is asked, where any layer took for zero what is no copy.

    Ranks that refer to live sizes change with them: matrices of another size are not compared.
    """
    if groups[0].is_sum or groups[0].compute == "float64":
        return
    zeros = {}
    for layer in layers:
        copies = all(f.identity or f.live >= min(f.size, f.distinct) for f in (layer.left, layer.right))
        spectra = made[layer.name].spectra
        zeros[layer.name] = [s for s in spectra if s.zeros and not (copies and s.stage == space.name)]
    if not any(zeros.values()):
        return
    for name, wide in _explained([group.in_float64() for group in groups], pipeline, space).items():
        others = {s.title: s for s in wide.spectra}
        for s in zeros[name]:
            other = others.get(s.title, s)
            if s.kept < other.kept and (s.stage == space.name or len(s.values) == len(other.values)):
                made[name].narrower_zeros[s.title] = other.kept - s.kept
