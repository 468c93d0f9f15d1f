"""Methods and spaces from text: `--set stage.parameter=value`, converted by the parameter's declared type."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import Field, fields
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from coremerge_ref.adapters.record import plain
from coremerge_ref.cli.naming import parse_method
from coremerge_ref.cli.reporting import note
from coremerge_ref.core.names import unknown_parameter
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import SPACES, Space
from coremerge_ref.errors import ParameterError, did_you_mean, shown
from coremerge_ref.methods import STAGES
from coremerge_ref.methods.plugins import load_plugins

_told: set[str] = set()  # what was wrong with plug-ins, once each
Settings = Mapping[str, Mapping[str, Any]]  # stage or space name → parameter → value


def find_methods() -> None:
    """Puts the methods of installed packages in the table; a note for each that cannot be."""
    for problem in load_plugins():
        if problem not in _told:
            _told.add(problem)
            note(problem)


def parse_sets(texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """{"tsv": {"k": 16}} from ["tsv.k=16"]. ParameterError for anything not written stage.parameter=value."""
    made: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        stage, dot, parameter = name.strip().partition(".")
        if not (equals and dot and parameter):
            raise ParameterError(f"--set: expected stage.parameter=value, such as tsv.k=16, got {text!r}")
        made.setdefault(stage, {})[parameter] = value.strip()
    return made


def build(method: str, space: str, settings: Settings) -> tuple[Pipeline, Space]:
    """The pipeline and the space with those settings.

    ParameterError for a stage, space or parameter that does not exist, listing those that do, and for a value of the
    wrong type or out of range.
    """
    find_methods()
    if space not in SPACES:
        raise ParameterError(f"space: expected one of {', '.join(SPACES)}, got {space!r}{did_you_mean(space, SPACES)}")
    owners: dict[str, type] = {**dict(sorted(STAGES.items())), **SPACES}
    converted: dict[str, dict[str, Any]] = {}
    for owner, parameters in settings.items():
        if owner not in owners:
            raise ParameterError(
                f"--set {owner}: expected a stage or space among {', '.join(owners)}, got {owner!r}"
                f"{did_you_mean(owner, owners)}"
            )
        converted[owner] = {name: _converted(owners[owner], owner, name, value) for name, value in parameters.items()}
    of_space = converted.pop(space, {})
    if stray := converted.keys() & SPACES.keys():
        raise ParameterError(f"--set {sorted(stray)[0]}: expected the space in use, {space!r}; choose it with --space")
    return parse_method(method, converted), SPACES[space](**of_space)


def _converted(owner: type, label: str, name: str, value: Any) -> Any:
    known = parameters_of(owner)
    if name not in known:
        raise ParameterError(f"--set {label}.{name}: {unknown_parameter(owner, name, known)}")
    try:
        hint = get_type_hints(owner)[name]
    except Exception as error:  # the annotations of a plug-in, which may name what is not there
        raise ParameterError(f"--set {label}.{name}: its type cannot be read ({error}); set it in Python") from error
    if hint is Any:
        raise ParameterError(f"--set {label}.{name}: takes an array, which only the Python interface can give")
    given = scalar(value) if isinstance(value, str) else value
    if given == "relative" and type(None) in get_args(hint):  # as `compare` says of a rank of the space's size
        given = None
    try:  # as JSON: strict about types, but a list is a tuple and 1 is a float
        if isinstance(given, int) and not -(2**63) <= given < 2**63:
            raise ValueError("no number of something is as large")
        return TypeAdapter(hint).validate_json(json.dumps(given), strict=True)
    except (ValidationError, TypeError, ValueError) as error:
        raise ParameterError(f"--set {label}.{name}: expected {in_words(hint)}, got {shown(value)}") from error


_WORDS = {int: "an integer", float: "a number", bool: "true or false", str: "a word", type(None): "none"}


def in_words(hint: Any) -> str:
    """A parameter's type for people: "an integer or none"."""
    if hint in _WORDS:
        return _WORDS[hint]
    if isinstance(hint, UnionType) or get_origin(hint) is Union:
        return " or ".join(map(in_words, get_args(hint)))
    if get_origin(hint) in (tuple, list):
        return "numbers joined by commas"
    return getattr(hint, "__name__", str(hint))


def catalogue() -> list[dict[str, Any]]:
    """Every stage and space: what it is and who says so, its parameters with their types and defaults."""
    find_methods()
    return [
        {
            "name": name,
            "kind": getattr(owner, "kind", "space"),
            "source": getattr(owner, "source", ""),
            "commutes_with": getattr(owner, "commutes_with", None),
            "description": (owner.__doc__ or "").strip().partition("\n")[0],
            "parameters": {
                field.name: {"type": str(getattr(field.type, "__name__", field.type)), "default": plain(field.default)}
                for field in parameters_of(owner).values()
            },
        }
        for name, owner in {**dict(sorted(STAGES.items())), **SPACES}.items()
    ]


def as_text(stages: Iterable[Mapping[str, Any]]) -> str:
    """A catalogue as text, one paragraph each."""
    lines = []
    for stage in stages:
        what = ", ".join(filter(None, (stage["kind"], stage["source"])))
        lines.append(f"{stage['name']} ({what}): {stage['description']}")
        lines += [
            f"    --set {stage['name']}.{name}={_written(about['default'])}"
            for name, about in stage["parameters"].items()
        ]
    return "\n".join(lines)


def _written(value: Any) -> str:
    """A default as --set takes it."""
    return json.dumps(value) if isinstance(value, bool) else "none" if value is None else str(value)


def parameters_of(owner: Any) -> dict[str, Field[Any]]:
    """The parameters of a stage or space class."""
    return {field.name: field for field in fields(owner)}


def scalar(text: str) -> Any:
    """A value as written on a command line: JSON where it is JSON, numbers with commas as a list, else text."""
    if text in ("None", "none", "null"):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return [float(part) for part in text.split(",")] if "," in text else float(text)
    except ValueError:
        return text
