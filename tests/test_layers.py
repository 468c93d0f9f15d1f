"""The layout is a promise: data goes one way, and each folder imports only what lies below it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import coremerge_ref

PACKAGE = Path(coremerge_ref.__file__).parent

# part → the other parts of the package that it may import, beside errors.py and version.py (all but conformance may).
# "public" is the package itself, `import coremerge_ref as cm`, which users of it import and its parts do not. cli may
# import all.
LAYERS: dict[str, set[str]] = {
    "errors": set(),
    "version": set(),
    "core": set(),
    "perturbation": {"core"},
    "methods": {"core", "perturbation"},
    "analysis": {"core", "methods", "perturbation"},
    "conformance": set(),
    "adapters": {"core", "methods"},
    "compare": {"core", "methods", "adapters", "conformance"},
    "tuning": {"core", "methods", "adapters", "compare"},
    "demo": {"core", "methods", "adapters", "public"},
    "testing": {"core", "methods", "analysis", "conformance", "public"},
}
ALONE = {"errors", "version", "conformance"}
PARTS = sorted(path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists())


def parts_imported(source: str, place: tuple[str, ...]) -> Iterator[str]:
    """The parts of the package that `source`, a module in the folder `place` within it, imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ("coremerge_ref", *place)[: len(place) + 2 - node.level] if node.level else ()
            base = ".".join((*above, *([node.module] if node.module else [])))
            targets = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            first, *rest = target.split(".")
            if first == "coremerge_ref":
                yield rest[0] if rest and rest[0] in {*LAYERS, "cli"} else "public"


@pytest.mark.parametrize("part", sorted({*PARTS} - {"__init__", "__main__", "cli"}))
def test_each_part_imports_only_what_lies_below(part: str) -> None:
    assert part in LAYERS, f"say what {part} may import"
    files = sorted((PACKAGE / part).rglob("*.py")) if (PACKAGE / part).is_dir() else [PACKAGE / f"{part}.py"]
    assert files
    allowed = {part, *LAYERS[part], *(() if part in ALONE else ("errors", "version"))}
    strays = {}
    for file in files:
        name = file.relative_to(PACKAGE)
        imported = set(parts_imported(file.read_text(encoding="utf-8"), name.parent.parts))
        if imported - allowed:
            strays[str(name)] = sorted(imported - allowed)
    assert strays == {}, f"{part} may import {', '.join(sorted(allowed))}"


def test_the_reader_of_imports_sees_every_way_to_write_one() -> None:
    written = """
import numpy
import coremerge_ref.cli
from coremerge_ref import adapters, merge
from coremerge_ref.core.stack import Stack
from ..compare import search
from .. import demo
from . import base
from .base import Stage
def f():
    from ...coremerge_ref_other import x
    if 1:
        import coremerge_ref.analysis.explain as e
"""
    parts = list(parts_imported(written, ("methods",)))
    assert parts == ["cli", "adapters", "public", "core", "compare", "demo", "methods", "methods", "analysis"]
