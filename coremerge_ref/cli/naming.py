"""The method from text; what it is called here where other projects have that name, and what is no part of it."""

from collections.abc import Mapping
from typing import Any

from coremerge_ref.core.names import called_elsewhere
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.errors import ParameterError
from coremerge_ref.methods.dialects import preset


def parse_method(method: str, parameters: Mapping[str, Mapping[str, Any]]) -> Pipeline:
    """The pipeline; what another project calls so is answered with what to write on a command line."""
    names = [name.strip() for name in method.split("+")]
    for name in names:
        if here := called_elsewhere(name):
            theirs = " and ".join(f"{pipeline!r} in {' and '.join(dialects)}" for pipeline, dialects in here.items())
            settings = (_as_there(pipeline, dialect) for pipeline, dialects in here.items() for dialect in dialects)
            raise ParameterError(
                f"method: expected a name of this package, got {name!r}, which stands for {theirs}; write "
                f"{' or '.join(f'--method {pipeline}' for pipeline in here)}{''.join(settings)}"
            )
    if stray := [stage for stage in parameters if stage not in names]:
        Pipeline.parse(method)  # says what is wrong with the method
        raise not_of_method(stray[0], next(iter(parameters[stray[0]]), ""), repr(method))
    return Pipeline.parse(method, parameters)


def not_of_method(stage: str, parameter: str, method: str) -> ParameterError:
    """The error for a parameter of a stage that the method does not have."""
    return ParameterError(
        f"--set {stage}.{parameter}: expected a parameter of the method {method}, which has no stage {stage!r}; write "
        f"--method {stage}, or see coremerge merge --methods"
    )


def _as_there(pipeline: str, dialect: str) -> str:
    """The settings with which `pipeline` computes what the project does."""
    here, there = Pipeline.parse(pipeline).parameters, preset(pipeline, dialect).parameters
    sets = [f"--set {s}.{k}={v}" for s, values in there.items() for k, v in values.items() if v != here[s][k]]
    return f"; to compute as {dialect}: {' '.join(sets)}" if sets else ""
