"""Dialects: what the same method name means in different projects, as parameters that are set together.

The rows stand beside the methods (Stage.dialects, Stage.company). Each was read in the project's source, and where the
package can be installed tests run it beside the row. Versions: core-space-merging 85176fa (paper), the methods' own
repositories (original: ties-merging 44e7891f, MergeLM 6d49ad96, task_singular_vectors a6c97188, iso-merging d34010af),
peft 0.21.2, mergekit 0.1.5, fusion-bench 0.2.33.
"""

from collections.abc import Mapping
from typing import Any

from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.stages import STAGES
from coremerge_ref.errors import ParameterError

Parameters = Mapping[str, Mapping[str, Any]]

DIALECTS = ("paper", "original", "peft", "mergekit", "fusionbench")


def preset(method: str, dialect: str, parameters: Parameters | None = None) -> Pipeline:
    """The pipeline `method` as `dialect` has it ("paper", "original", "peft", "mergekit", "fusionbench").

    parameters, by stage name, are set on top. Raises ParameterError for an unknown dialect, stage or parameter.

    >>> cm.preset("ties", "peft", {"ties": {"density": 0.5}}).stages[0].keep
    'exact'
    """
    if dialect not in DIALECTS:
        raise ParameterError(f"dialect: expected one of {', '.join(DIALECTS)}, got {dialect!r}")
    stages = {name: STAGES[name] for name in map(str.strip, method.split("+")) if name in STAGES}
    own = {name: stage.dialects.get(dialect, {}) for name, stage in stages.items()}
    layers = [own, *(stage.company.get(dialect, {}) for stage in stages.values()), parameters or {}]
    merged = {name: {k: v for layer in layers for k, v in layer.get(name, {}).items()} for name in stages}
    unknown = {name: values for name, values in (parameters or {}).items() if name not in merged}
    return Pipeline.parse(method, {**merged, **unknown})
