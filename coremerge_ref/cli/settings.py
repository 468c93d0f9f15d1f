"""What `coremerge merge` can be told, by options or by a YAML file with the same names; options win."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from coremerge_ref.adapters.files import read_json
from coremerge_ref.cli.usage import expectation
from coremerge_ref.cli.yaml_file import read_yaml
from coremerge_ref.errors import ParameterError, did_you_mean, reason, shown


class MethodRule(BaseModel):
    """The method of modules that match."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    match: str
    value: str


class WeightsRule(BaseModel):
    """The weights of modules that match."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    match: str
    values: list[float]


class CutRule(BaseModel):
    """How much of a merged update to keep: see adapters/cutting.py."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    rank: int | None = None
    retain: float | None = None
    ratio: float | None = None
    cumulative: float | None = None


class MergeSettings(BaseModel):
    """Every setting of a merge. Paths are relative to where the command runs."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    adapters: list[str] = []
    output: str | None = None
    method: str | list[MethodRule] = "tsv"
    space: str = "core"
    basis: str | None = None
    set: dict[str, dict[str, Any]] = {}
    weights: list[float | WeightsRule] | None = None
    scale: float = 1.0
    rank: int | CutRule | None = None
    ragged: bool = False
    include: list[str] = []
    exclude: list[str] = []
    rename: list[str] = []
    allow_missing: bool = False
    others: str = "refuse"
    dtype: str | None = None
    backend: str = "numpy"
    device: str | None = None
    base: str | None = None
    dense: bool = False
    into: str | None = None
    force: bool = False
    ignore_memory: bool = False
    max_shard_size: int | str | None = None
    layers: str | None = None
    workers: int | None = None
    scheduler: str | None = None
    dry_run: bool = False


def merged_settings(config: Path | None, options: dict[str, Any]) -> MergeSettings:
    """Settings of the file, if one is given, overridden by the options that are not None.

    ParameterError naming the file and the key for an unknown key or a value of the wrong type.
    """
    values = {} if config is None else _recorded(config) if config.suffix == ".json" else read_yaml(config)
    given = {key: value for key, value in options.items() if value not in (None, [], {})}
    source = "options" if config is None else f"{shown(config)} and options"
    if isinstance(values.get("set"), dict) and "set" in given:
        stages = {**values["set"], **given["set"]}
        given["set"] = {s: {**(values["set"].get(s) or {}), **given["set"].get(s, {})} for s in stages}
    try:
        return MergeSettings.model_validate({**values, **given})
    except (ValidationError, TypeError) as error:
        raise ParameterError(f"{source}: {_first(error)}") from error


def _recorded(path: Path) -> dict[str, Any]:
    """The settings of a merge that its coremerge.json records."""
    recipe = read_json(path).get("recipe")
    if not isinstance(recipe, dict):
        raise ParameterError(
            f"{shown(path)}: expected the settings of a merge, 'recipe', got none: it was made by an older version, or "
            "in Python with a function for a method; write its settings down as YAML"
        )
    return {key: value for key, value in recipe.items() if value is not None}


_LABELS = (
    "float",
    "str",
    "list[MethodRule]",
    "list[union[float,WeightsRule]]",
    MethodRule.__name__,
    WeightsRule.__name__,
    CutRule.__name__,
)


def _first(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return reason(error)
    # where a value may be one of several things, that which it resembles most says most
    first = max(error.errors(include_url=False), key=lambda each: len(each["loc"]))
    parts = [part for part in first["loc"] if part not in _LABELS]
    key = ".".join(map(str, parts))
    if first["type"] == "extra_forbidden" and len(parts) == 1:
        known = MergeSettings.model_fields
        return f"expected keys among {', '.join(known)}, got {shown(key)}{did_you_mean(key, known)}"
    return f"{shown(key)[1:-1]}: {expectation(first)}"
