"""How well the answer is defined: margins, error bounds and verdicts. A new stage registers a rule with `carry`."""

from coremerge_ref.conditioning.explaining import explain
from coremerge_ref.conditioning.explanation import Bound, Explanation, Explanations
from coremerge_ref.conditioning.references import references
from coremerge_ref.conditioning.rules import carry, per_layer
from coremerge_ref.conditioning.trace import Level, Margin, Spectrum, Trace

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
