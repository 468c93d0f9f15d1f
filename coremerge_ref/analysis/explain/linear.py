"""Task arithmetic and the mean: errors add up."""

from coremerge_ref.analysis.explain.formulas import norm
from coremerge_ref.analysis.explain.rules import per_layer
from coremerge_ref.analysis.explain.trace import Trace
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods import Mean, Ta


@per_layer(Ta)
def _ta(stage: Ta, trace: Trace, before: Stack, after: Merged) -> Trace:
    """Σ |w_t| δ_t: exact for errors that agree in direction."""
    return _summed(stage, trace, before, after, 1.0)


@per_layer(Mean)
def _mean(stage: Mean, trace: Trace, before: Stack, after: Merged) -> Trace:
    """Σ |w_t| δ_t / |Σ w_t|."""
    return _summed(stage, trace, before, after, abs(sum(before.weights)))


def _summed(stage: Ta | Mean, trace: Trace, before: Stack, after: Merged, divisor: float) -> Trace:
    weights = before.weights
    sizes = sum(abs(w) * norm(M) for w, M in zip(weights, before.M, strict=True)) / divisor
    share = norm(after.M) / sizes if sizes else 1.0
    trace.margin(stage, "size of the sum relative to its terms", share, amplifies=1 / share if share else float("inf"))
    entry = sum(abs(w) * e for w, e in zip(weights, trace.entry, strict=True)) / divisor
    return trace.merged(trace.weighted(weights)[0].sum() / divisor, entry, after.M.shape)
