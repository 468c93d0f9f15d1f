"""How well the answer is defined: margins, error bounds and verdicts. A new stage registers a rule with `carry`."""

from coremerge_ref.analysis.explain.explaining import explain
from coremerge_ref.analysis.explain.explanation import Bound, Explanation, Explanations
from coremerge_ref.analysis.explain.references import references
from coremerge_ref.analysis.explain.rules import carry, per_layer
from coremerge_ref.analysis.explain.trace import Level, Margin, Spectrum, Trace

__all__ = [
    "Bound",
    "Explanation",
    "Explanations",
    "Level",
    "Margin",
    "Spectrum",
    "Trace",
    "carry",
    "explain",
    "per_layer",
    "references",
]
