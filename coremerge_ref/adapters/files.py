"""Reading files nobody vouches for: regular files only, JSON of bounded size, every failure one AdapterError."""

import errno
import json
import os
import re
import stat
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

from coremerge_ref.errors import AdapterError, reason, shown

# Bytes of a JSON file and values in it: room for the records of 50,000 modules, and below 200 MB as Python holds them.
JSON_LIMIT, JSON_VALUES = 16 * 2**20, 500_000
_LARGE = re.compile(r"\d{99}|[eE]\+?\d{3}")  # in every text with a number beyond float64


def folder_at(path: Path) -> Path:
    """`path` if it is a readable folder; AdapterError saying what it is otherwise."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            os.scandir(path).close()
            return path
    except FileNotFoundError:
        raise AdapterError(f"{shown(path)}: expected an adapter folder, but nothing is there; check the path") from None
    except (OSError, ValueError) as error:
        raise AdapterError(f"{shown(path)}: cannot be read as an adapter folder: {reason(error)}") from error
    raise AdapterError(f"{shown(path)}: expected an adapter folder, got a file; give the folder that holds it")


def identity(path: Path) -> tuple[int, ...] | None:
    """Which file or folder is at `path`, None if there is none; of a file also how it is: size and time of change."""
    try:
        about = os.stat(path)
    except (OSError, ValueError):
        return None
    same = (about.st_dev, about.st_ino)
    return same if stat.S_ISDIR(about.st_mode) else (*same, about.st_size, about.st_mtime_ns)


def is_regular_file(path: Path) -> bool:
    """Whether `path` leads to a regular file: never a device or a pipe, which would hang or never end."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise AdapterError(f"{shown(path)}: cannot be read: {reason(error)}") from error


def open_regular(path: str | Path) -> BinaryIO:
    """The regular file at `path`, open for reading. OSError for anything else; a pipe is never waited for."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "expected a regular file")
    return os.fdopen(handle, "rb")


def read_text(path: str | Path, limit: int) -> str:
    """The UTF-8 text of the regular file at `path`; OSError or ValueError, in words, for all else and above `limit`.

    A text that is not ASCII takes four bytes a character in memory, and may be a quarter as long.
    """
    with open_regular(path) as file:
        data = file.read(limit + 1)
    limit //= 1 if data.isascii() else 4
    if len(data) > limit:
        raise ValueError(f"expected at most {limit} bytes")
    return data.decode("utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    AdapterError for what is no regular file, too large, not UTF-8, not JSON, nested too deeply, not an object, and for
    what parse_json refuses.
    """
    if not is_regular_file(path):
        raise AdapterError(f"{shown(path)}: expected a JSON file; is this a PEFT adapter folder?")
    try:
        value = parse_json(read_text(path, JSON_LIMIT))
    except (OSError, ValueError, RecursionError) as error:
        raise AdapterError(f"{shown(path)}: expected JSON: {reason(error)}; save the adapter again") from error
    if not isinstance(value, dict):
        raise AdapterError(f"{shown(path)}: expected a JSON object, got {type(value).__name__}; save the adapter again")
    return value


def parse_json(text: str) -> Any:
    """json.loads without what parsers disagree on.

    ValueError for repeated keys, NaN, Infinity, numbers beyond float64 such as 1e999, halves of surrogate pairs, and
    for more than JSON_VALUES values.
    """
    if sum(map(text.count, ",[{")) > JSON_VALUES:
        raise ValueError(f"expected at most {JSON_VALUES} values")
    checked: dict[str, Any] = {"parse_float": _finite} if _LARGE.search(text) else {}
    value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, **checked)
    if "\\ud" in text.lower():  # UnicodeEncodeError, a ValueError, for a lone surrogate: no file can hold it
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {shown(twice)} is there twice")
    return unique


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {shown(text)} does not fit float64")
    return number
