"""YAML that means one thing: no aliases, merge keys, tags or repeated keys, and scalars as JSON writes them.

YAML 1.1, which PyYAML's own loaders read, takes `no` for false, 1:30 for 90 and 1e-3 for a text, the last of two equal
keys for both, and makes gigabytes of a few lines of aliases. Its parser is used here, its constructors are not.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from coremerge_ref.adapters.files import read_text
from coremerge_ref.errors import ParameterError, reason, shown

LIMIT, DEPTH = 2**16, 32  # bytes of a file, and lists and mappings inside one another
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")  # 012 is 10 to YAML 1.1, 12 to YAML 1.2: here a text
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in the YAML file at `path`.

    ParameterError for what is no regular file of at most LIMIT bytes with one mapping in it, and for what two readers
    could take for different things.
    """
    try:
        value = parse_yaml(read_text(path, LIMIT))
    except OSError as error:
        raise ParameterError(f"{shown(path)}: cannot be read: {reason(error)}; check the path") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ParameterError(f"{shown(path)}: cannot be read as YAML: {_said(error)}; correct the file") from error
    if not isinstance(value, dict):
        raise ParameterError(
            f"{shown(path)}: expected a YAML mapping such as 'method: tsv', got {type(value).__name__}"
        )
    return value


def parse_yaml(text: str) -> Any:
    """The value of a YAML document, None for an empty one; ValueError or YAMLError for all that read_yaml refuses."""
    events = iter(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    value = None
    for number, _ in enumerate(event for event in events if isinstance(event, yaml.DocumentStartEvent)):
        if number:
            raise ValueError("expected one document, got another")
        value = _value(next(events), events, 0)
    return value


def _value(event: Any, events: Iterator[Any], depth: int) -> Any:
    """The value that begins with `event`; the events that belong to it are taken."""
    line = event.start_mark.line + 1
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise ValueError(f"expected no anchors (&) and aliases (*), got one in line {line}: write the value out")
    if event.tag is not None:
        raise ValueError(f"expected no tags, got {shown(event.tag)} in line {line}")
    if depth > DEPTH:
        raise ValueError(f"expected at most {DEPTH} lists and mappings inside one another, got more in line {line}")
    if isinstance(event, yaml.SequenceStartEvent):
        return [_value(item, events, depth + 1) for item in _until(yaml.SequenceEndEvent, events)]
    if isinstance(event, yaml.MappingStartEvent):
        return _mapping(events, depth + 1)
    return _scalar(event.value) if event.implicit[0] else event.value  # quoted ones are texts


def _mapping(events: Iterator[Any], depth: int) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for event in _until(yaml.MappingEndEvent, events):
        line = event.start_mark.line + 1
        key = _value(event, events, depth)
        if not isinstance(key, str):
            raise ValueError(f"expected texts as keys of a mapping, got {type(key).__name__} in line {line}")
        if key in mapping or key == "<<":
            what = "no merge keys (<<)" if key == "<<" else f"the key {shown(key)} once"
            raise ValueError(f"expected {what}, got it in line {line}")
        mapping[key] = _value(next(events), events, depth)
    return mapping


def _until(end: type, events: Iterator[Any]) -> Iterator[Any]:
    for event in events:
        if isinstance(event, end):
            return
        yield event


def _scalar(text: str) -> Any:
    """A plain scalar: null, a boolean, a number, else the text. ValueError for numbers beyond float64."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(f"the number {shown(text)} does not fit float64")
        return number
    return text


def _said(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        return f"{error.problem} in line {error.problem_mark.line + 1}"
    return reason(error)
