"""Where the texts come from: source code, message catalogues and word lists inside installed PyPI packages.

Source files are parsed, never imported, so nothing runs and an optional dependency of a package cannot change the data.
"""

import ast
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SKIP = ("tests", "test", "testing", "_vendor", "vendored", "externals", "extern", "_inductor", "_dynamo")


def package_root(name: str, listed: str = "requirements.txt") -> Path:
    """The folder of an installed package; the error says how to get it: `listed` is a file of this folder."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"package {name!r}: not installed; pip install -r benchmarks/accuracy/{listed}")
    return Path(spec.origin).parent


@cache
def strings(package: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """([(path, docstring) of functions and classes], [(exception class, message) of raise statements]), tests left out.

    A value put into a message reads as "_".
    """
    root = package_root(package)
    docstrings, messages = [], []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if any(part in SKIP or part.startswith("test_") for part in parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                docstrings.append(("/".join(parts), ast.get_docstring(node) or ""))
            elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
                messages.append((node.exc.func.id, _text(node.exc.args[0]) if node.exc.args else ""))
    return [d for d in docstrings if d[1]], [m for m in messages if m[1]]


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "_" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return _text(node.left) + (_text(node.right) if isinstance(node.op, ast.Add) else "")
    return ""


def numpydoc_sections(docstring: str) -> Iterator[tuple[str, list[str]]]:
    """(title, lines) of each section of a docstring that underlines its titles with dashes."""
    lines = docstring.splitlines()
    starts = [i for i in range(1, len(lines)) if len(lines[i]) > 3 and set(lines[i].strip()) == {"-"}]
    ends = [*(start - 1 for start in starts[1:]), len(lines)]
    for i, end in zip(starts, ends, strict=bool(starts)):
        yield lines[i - 1].strip(), lines[i + 1 : end]


def parameters(lines: list[str]) -> Iterator[tuple[str, str]]:
    """(type, description) of each `name : type` entry of a numpydoc section."""
    kind, words = "", []
    for line in [*lines, "end : end"]:
        if line[:1].strip() and " : " in line:
            if kind and words:
                yield kind, " ".join(words)
            kind, words = line.split(" : ", 1)[1].strip(), []
        elif line.startswith(" ") and line.strip():
            words.append(line.strip())


def summary(docstring: str) -> str:
    """The first sentence or so: the docstring up to its first blank line, in one line."""
    return " ".join(docstring.strip().split("\n\n")[0].split())
