"""Whether an answer that the kit fails is what this package's preset of that dialect computes: a definition, no bug."""

from typing import Any

import numpy as np

import coremerge_ref as cm
from coremerge_ref.conformance import Case
from coremerge_ref.errors import CoreMergeError

# The parameters that each package has an option for; the preset has its own values for all others.
OPTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "peft": {"ties": ("density", "elect"), "trim": ("density",), "dare": ("drop",)},
    "mergekit": {"ties": ("density", "elect", "aggregate"), "trim": ("density",), "dare": ("drop",)},
    "fusionbench": {"ties": ("density", "aggregate"), "dare": ("drop", "rescale"), "iso_cts": ("common_fraction",)},
}
# Rounding allowed, relative: generous, since a wrong definition is off by 1e-3 at least on matrices this small, and
# mergekit drops entries in float32.
CLOSE = 1e-6


def is_preset(case: Case, answer: np.ndarray, dialect: str) -> bool:
    """Whether `answer` (…, m, n) is the dialect's preset on the case, to rounding."""
    options = OPTIONS.get(dialect, {})
    parameters: dict[str, dict[str, Any]] = {
        stage: {name: value for name, value in given.items() if name in options.get(stage, ())}
        for stage, given in case.params.items()
    }
    together = cm.preset(case.method, dialect).parameters
    if "dare" in parameters:  # DARE takes trimming's place in some dialects
        parameters["dare"]["masks"] = case.masks
        if together.get("ties", {}).get("density") == 1.0:
            parameters["ties"] = {k: v for k, v in parameters["ties"].items() if k == "elect"}
    weights = next((p["weights"] for p in case.params.values() if "weights" in p), None)
    updates = [cm.LowRankUpdate(b.astype(np.float64), a.astype(np.float64), s) for b, a, s in case.updates]
    try:
        pipeline = cm.preset(case.method, dialect, parameters)
        expected = cm.merge(updates, pipeline, case.space, weights=weights).to_dense()
    except CoreMergeError:
        return False
    size = np.max(np.abs(expected), initial=0.0)
    if size == 0 or not np.all(np.isfinite(answer)):
        return bool(np.array_equal(answer, expected))
    return bool(np.linalg.norm((answer - expected) / size) <= CLOSE * np.linalg.norm(expected / size))
