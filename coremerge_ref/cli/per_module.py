"""Settings that depend on the module, from text: methods, weights and parameters as lists of {match, value}."""

from collections.abc import Mapping
from typing import Any

from coremerge_ref.adapters.selection import Combined, PerModule, per_module
from coremerge_ref.cli.methods import Settings, build
from coremerge_ref.cli.naming import not_of_method
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import SPACES, Space
from coremerge_ref.methods import STAGES

_UNSET = object()  # where no rule matches, a parameter keeps its default


def build_per_module(
    method: Any, space: str, settings: Settings
) -> tuple[PerModule[Pipeline] | Combined[Pipeline], Space]:
    """As methods.build; `method` and any value in `settings` may be a list of {"match": PATTERN, "value": …}.

    Parameters of a stage count wherever the method has that stage. ParameterError as there, and for parameters of a
    stage that no method has.
    """
    methods = per_module(method, "value", "tsv")
    varied = {
        (stage, name): per_module(value, "value", _UNSET)
        for stage, parameters in settings.items()
        for name, value in parameters.items()
        if _is_rules(value)
    }
    fixed = {
        stage: {name: value for name, value in parameters.items() if (stage, name) not in varied}
        for stage, parameters in settings.items()
    }
    stages = {name.strip() for text in methods.values() for name in str(text).split("+")}
    if stray := settings.keys() - stages - SPACES.keys():
        first, written = min(stray), " and ".join(repr(str(text)) for text in methods.values())
        for text in methods.values():
            build(str(text), space, {})  # says what is wrong with the method,
        build(first if first in STAGES else "ta", space, {first: fixed[first]})  # and with the parameter
        raise not_of_method(first, next(iter(settings[first]), ""), written)

    def made(text: Any, *values: Any) -> Pipeline:
        chosen: dict[str, Mapping[str, Any]] = {}
        for stage, parameters in fixed.items():
            mine = {n: v for (s, n), v in zip(varied, values, strict=True) if s == stage and v is not _UNSET}
            if (stage in SPACES or stage in {name.strip() for name in str(text).split("+")}) and (parameters or mine):
                chosen[stage] = {**parameters, **mine}
        return build(str(text), space, chosen)[0]

    _, where = build("ta", space, {stage: values for stage, values in fixed.items() if stage in SPACES})
    if not methods.rules and not varied:
        return PerModule((), made(methods.default)), where
    return Combined(made, (methods, *varied.values())), where


def _is_rules(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(rule, Mapping) for rule in value)
