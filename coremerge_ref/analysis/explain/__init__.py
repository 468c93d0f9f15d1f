"""How well the answer is defined: margins, error bounds and verdicts. A stage's own rule is its `carry`."""

from coremerge_ref.analysis.explain.explaining import explain
from coremerge_ref.analysis.explain.explanation import Bound, Explanation, Explanations

__all__ = ["Bound", "Explanation", "Explanations", "explain"]
