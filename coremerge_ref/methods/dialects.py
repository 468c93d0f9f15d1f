"""Dialects: what the same method name means in different projects, as parameters that are set together.

Each row was read in the project's source, and where the package can be installed tests run it beside the row. Versions:
core-space-merging 85176fa (paper), the methods' own repositories (original: ties-merging 44e7891f, MergeLM 6d49ad96,
task_singular_vectors a6c97188, iso-merging d34010af), peft 0.21.2, mergekit 0.1.5, fusion-bench 0.2.33.
"""

from collections.abc import Mapping
from typing import Any

from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.errors import ParameterError
from coremerge_ref.methods import STAGES

Parameters = Mapping[str, Mapping[str, Any]]

_EXACT = {"keep": "exact"}
_SIZE = {"support": "size"}  # zeros and null vectors take part

DIALECTS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {"iso": _SIZE},
    "original": {"ties": {"scope": "model"}, "trim": {"scope": "model"}, "iso": _SIZE, "cart": {"rounding": "floor"}},
    "peft": {"ties": {**_EXACT, "zero_sign": "positive"}, "trim": _EXACT},
    "mergekit": {
        "ties": {**_EXACT, "zero_sign": "positive", "weight_order": "before", "divisor": "weight"},
        "trim": _EXACT,
        "dare": {"rescale": "l1"},
    },
    "fusionbench": {"ties": {"scope": "model", "aggregate": "sum"}, "trim": {"scope": "model"}, "iso": _SIZE},
}

# Stages that mean something else in company: for PEFT and mergekit DARE replaces trimming, and mergekit then sums.
TOGETHER: dict[str, dict[str, dict[str, dict[str, Any]]]] = {
    "peft": {"dare+ties": {"ties": {"density": 1.0}}},
    "mergekit": {"dare+ties": {"ties": {"density": 1.0, "aggregate": "sum"}}},
}


def preset(method: str, dialect: str, parameters: Parameters | None = None) -> Pipeline:
    """The pipeline `method` as `dialect` has it ("paper", "original", "peft", "mergekit", "fusionbench").

    parameters, by stage name, are set on top. Raises ParameterError for an unknown dialect, stage or parameter.
    """
    if dialect not in DIALECTS:
        raise ParameterError(f"dialect: expected one of {', '.join(DIALECTS)}, got {dialect!r}")
    names = [name.strip() for name in method.split("+")]
    combined = {
        stage: values
        for company, stages in TOGETHER.get(dialect, {}).items()
        if set(company.split("+")) <= set(names)
        for stage, values in stages.items()
    }
    layers = (DIALECTS[dialect], combined, parameters or {})
    merged = {
        name: {k: v for layer in layers for k, v in layer.get(name, {}).items()} for name in names if name in STAGES
    }
    unknown = {name: values for name, values in (parameters or {}).items() if name not in merged}
    return Pipeline.parse(method, {**merged, **unknown})
