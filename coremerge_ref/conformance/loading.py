"""The function that ``my_pkg.my_module:merge`` or ``path/to/file.py:merge`` names."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .text import message_of


def parsed(text: str) -> tuple[str, str]:
    """(module or file, attribute); ValueError where the text is not of that form."""
    name, colon, attribute = text.rpartition(":")
    if not (name and colon and attribute):
        raise ValueError(f"expected MODULE:FUNCTION such as my_pkg.my_module:merge or merge.py:merge, got {text!r}")
    return name, attribute


def load(text: str) -> Callable[[Any], Any]:
    """The function. A module is looked for in the current folder first; a file's own folder is searched by what the
    file imports, as if it were run. ImportError says in one line what is wrong, whatever the module does."""
    name, attribute = parsed(text)
    try:
        value: Any = _file(name) if name.endswith(".py") else _module(name)
        for part in attribute.split("."):
            value = getattr(value, part)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module that exits, parses arguments or raises when it is imported
        raise ImportError(f"{text}: cannot be imported: {message_of(error)}") from error
    if not callable(value):
        raise ImportError(f"{text}: expected a function of a case, got {type(value).__name__}")
    function: Callable[[Any], Any] = value
    return function


def _module(name: str) -> Any:
    _search(os.getcwd())
    return importlib.import_module(name)


def _file(name: str) -> Any:
    path = Path(name).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"no file {name}")
    _search(str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _search(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


def name_of(function: Any) -> str:
    """``module:function`` of an object, as far as it says."""
    if isinstance(function, str):
        return function
    module = getattr(function, "__module__", "") or ""
    name = getattr(function, "__qualname__", "") or type(function).__qualname__
    return f"{module}:{name}" if module else str(name)


def importable(function: Any) -> str:
    """The text by which a new process finds the function; ValueError where none does."""
    text = name_of(function)
    if isinstance(function, str):
        parsed(function)
        return function
    module, _, attribute = text.partition(":")
    value: Any = sys.modules.get(module)
    for part in attribute.split("."):
        value = getattr(value, part, None)
    if value is not function or module == "__main__":
        raise ValueError(
            f"isolate: expected a function that a new process can import, got {text}; put it into a module, or give "
            "its name as text, 'my_pkg.my_module:merge'"
        )
    return text
