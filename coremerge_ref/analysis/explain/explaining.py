"""explain: is a merge well posed, how far may rounding move it, and what decides that."""

from collections.abc import Mapping, Sequence
from typing import Any

from coremerge_ref.analysis.explain.explanation import Bound, Explanation, Explanations, judged
from coremerge_ref.analysis.explain.formulas import norm
from coremerge_ref.analysis.explain.walk import Layer, Pass, coarsest, errors, level_of, on_host, passed, prepared
from coremerge_ref.core import arrays
from coremerge_ref.core.merging import Options, Prepared
from coremerge_ref.core.models import equal_shapes, stacked
from coremerge_ref.core.pipeline import Method, Pipeline, as_pipeline
from coremerge_ref.core.spaces import Space, as_space
from coremerge_ref.core.updates import as_updates


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

    A diagnosis: it copies the updates to the host and runs there, in NumPy, whatever library they come from. Bounds
    are first-order perturbation theory (see conditioning.formulas) with second-order terms estimated; scale and
    out_dtype change nothing relative and are accepted so that a call to merge can be repeated as it is.

    Raises what merge raises.
    """
    pipeline, chosen = as_pipeline(method), as_space(space)
    Options(scale, weights, out_dtype)
    layers: list[Layer] = []
    if isinstance(updates, Mapping):
        checked = {name: as_updates(given, name) for name, given in updates.items()}
        for group in equal_shapes(checked):
            dtype = coarsest(checked[group[0]])
            batch = stacked({name: [on_host(u) for u in checked[name]] for name in group}, group)
            layers += prepared(Prepared(batch, chosen, compute_dtype, group), pipeline, weights, dtype)
    else:
        one = as_updates(updates)
        ready = Prepared([on_host(u) for u in one], chosen, compute_dtype, names)
        layers = prepared(ready, pipeline, weights, coarsest(one))
    groups = [layers] if pipeline.whole_model else [[layer] for layer in layers]
    runs = [passed(group, pipeline) for group in groups]
    made = {e.layer: e for run in runs for e in _explained(run, pipeline, chosen, compute_dtype)}
    if isinstance(updates, Mapping):
        return Explanations({name: made[name] for name in updates})
    single = next(u for u in one if u is not None)
    return Explanations(made) if len(single.shape) > 2 else next(iter(made.values()))


def _explained(run: Pass, pipeline: Pipeline, space: Space, compute_dtype: Any) -> list[Explanation]:
    name = arrays.dtype_name(compute_dtype)
    bounds: dict[str, list[Bound]] = {}
    computing = [level_of(layer, "compute", name) for layer in run.layers]
    rounding = [level_of(layer, "input", layer.dtype) for layer in run.layers]
    walked = errors(run, pipeline, space, computing)
    for levels, found in ((computing, walked), (rounding, errors(run, pipeline, space, rounding))):
        bounds[levels[0].name] = [
            judged(trace, bound, norm(item.M)) for (trace, bound), item in zip(found, run.merged, strict=True)
        ]
    return [
        Explanation(
            layer=layer.name,
            method=str(pipeline),
            space=space.name,
            shape=trace.shape,
            tasks=layer.stack.T,
            rows=int(item.rows),
            cols=int(item.cols),
            info={
                k: int(v) if float(v).is_integer() else float(v)
                for k, v in item.info.items()
                if getattr(v, "ndim", 0) == 0
            },
            bound=bounds["compute"][i],
            input_bound=bounds["input"][i],
            margins=tuple(trace.margins),
            spectra=tuple(trace.spectra),
            undecided=trace.undecided,
            estimated=trace.estimated,
        )
        for i, (layer, item, (trace, _)) in enumerate(zip(run.layers, run.merged, walked, strict=True))
    ]
