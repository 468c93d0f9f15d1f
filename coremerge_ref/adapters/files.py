"""Reading files nobody vouches for: regular files only, JSON of bounded size, every failure one AdapterError."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from coremerge_ref.errors import AdapterError

JSON_LIMIT = 16 * 2**20  # bytes; real adapter configs are a few kilobytes


def shown(text: object, limit: int = 160) -> str:
    """`text` quoted for a message: control characters escaped, cut at `limit` characters."""
    quoted = repr(text) if isinstance(text, str) else repr(str(text))
    return quoted if len(quoted) <= limit else quoted[:limit] + "…'"


def reason(error: Exception) -> str:
    """The first line of what went wrong, without a path: the caller names the path."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text.splitlines() or [type(error).__name__])[0][:200]


def folder_at(path: Path) -> Path:
    """`path` if it is a readable folder; AdapterError saying what it is otherwise."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            os.listdir(path)
            return path
    except FileNotFoundError:
        raise AdapterError(f"{shown(path)}: expected an adapter folder, but nothing is there; check the path") from None
    except (OSError, ValueError) as error:
        raise AdapterError(f"{shown(path)}: cannot be read as an adapter folder: {reason(error)}") from error
    raise AdapterError(f"{shown(path)}: expected an adapter folder, got a file; give the folder that holds it")


def is_regular_file(path: Path) -> bool:
    """Whether `path` leads to a regular file: never a device or a pipe, which would hang or never end."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise AdapterError(f"{shown(path)}: cannot be read: {reason(error)}") from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    AdapterError for what is no regular file, too large, not UTF-8, not JSON, nested too deeply, not an object, holds a
    key twice, or holds NaN or Infinity, which are not JSON.
    """
    if not is_regular_file(path):
        raise AdapterError(f"{shown(path)}: expected a JSON file; is this a PEFT adapter folder?")
    try:
        with open(path, "rb") as file:
            text = file.read(JSON_LIMIT + 1)
        if len(text) > JSON_LIMIT:
            raise AdapterError(f"{shown(path)}: expected at most {JSON_LIMIT} bytes of JSON; this is no adapter config")
        value = parse_json(text.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, AdapterError):
            raise
        raise AdapterError(f"{shown(path)}: expected JSON: {reason(error)}; save the adapter again") from error
    if not isinstance(value, dict):
        raise AdapterError(f"{shown(path)}: expected a JSON object, got {type(value).__name__}; save the adapter again")
    return value


def parse_json(text: str) -> Any:
    """json.loads without what parsers disagree on: ValueError for repeated keys, NaN and Infinity."""
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {shown(twice)} is there twice")
    return made


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
