"""The mutants: a copy of the tree below build/mutants, in which mutmut has put every mutant beside its function."""

import ast
import difflib
import hashlib
import json
import re
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "mutants"
TREE = WORK / "tree"
PACKAGE = "coremerge_ref"
PACKAGES = ("core", "perturbation", "methods", "analysis", "conformance", "adapters")
ORIGINAL = "__mutmut_orig"
# a mutated method would be one more that isinstance asks for
PROTOCOL = re.compile(r"^(class \w+\(.*\bProtocol\b.*\):)", re.MULTILINE)


@dataclass(frozen=True)
class Mutant:
    """One mutant: mutmut's name for it, and the function as it was and as it is now."""

    name: str
    original: str
    text: str

    @property
    def mangled(self) -> str:
        """mutmut's name of the function, as `coremerge_ref.core.sides.x_encode`."""
        return self.name.partition("__mutmut_")[0]

    @property
    def module(self) -> str:
        """The module within the package, as `core.linalg.zero`."""
        return self.mangled.removeprefix(PACKAGE + ".").rpartition(".")[0]

    @property
    def package(self) -> str:
        """Which of PACKAGES it is of."""
        return self.module.partition(".")[0]

    @property
    def function(self) -> str:
        """The function or method, as `core.frames.Frames.encode`."""
        name = self.mangled.rpartition(".")[2].removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
        return f"{self.module}.{name}"

    @property
    def digest(self) -> str:
        """Of both texts: a result holds as long as the function is the same."""
        return hashlib.sha256((self.original + self.text).encode()).hexdigest()[:16]

    @property
    def change(self) -> str:
        """`old → new`, of the lines that differ."""
        lines = list(difflib.unified_diff(self.original.splitlines(), self.text.splitlines(), lineterm="", n=0))[3:]
        old, new = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
        return f"{old} → {new}"

    @cached_property
    def kind(self) -> str:
        """What was changed: one of `KINDS`."""
        return kind_of(ast.parse(self.original), ast.parse(self.text))


KINDS = ("text", "number", "constant", "operator", "argument", "value", "statement")


def kind_of(old: ast.AST, new: ast.AST) -> str:
    """The kind of the one difference between two trees."""
    if type(old) is not type(new):
        if isinstance(old, ast.operator | ast.unaryop | ast.cmpop | ast.boolop | ast.UnaryOp):
            return "operator"
        return "statement" if isinstance(old, ast.stmt) else "value"
    if isinstance(old, ast.Constant) and isinstance(new, ast.Constant) and old.value is not new.value:
        return {str: "text", int: "number", float: "number"}.get(type(old.value), "constant")
    if isinstance(old, ast.Name | ast.Attribute | ast.keyword | ast.arg) and _fields(old) != _fields(new):
        return "value"
    pairs = [(a, b) for name in old._fields for a, b in _children(getattr(old, name), getattr(new, name, None))]
    for a, b in pairs:
        if a is None or b is None:
            return "argument" if isinstance(old, ast.Call) else "statement"
        if ast.dump(a) != ast.dump(b):
            kind = kind_of(a, b)
            called = isinstance(old, ast.Call) and a is old.func
            return "argument" if kind == "value" and isinstance(old, ast.Call | ast.keyword) and not called else kind
    return "value"


def _fields(node: ast.AST) -> list[object]:
    return [value for _, value in ast.iter_fields(node) if isinstance(value, str)]


def _children(old: object, new: object) -> Iterator[tuple[ast.AST | None, ast.AST | None]]:
    if isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield None, None
        for a, b in zip(old, new, strict=False):
            yield from _children(a, b)
    elif isinstance(old, ast.AST) or isinstance(new, ast.AST):
        yield (old if isinstance(old, ast.AST) else None, new if isinstance(new, ast.AST) else None)


def modules() -> list[Path]:
    """The files whose functions are changed: all Python of PACKAGES."""
    return [path for name in PACKAGES for path in sorted((ROOT / PACKAGE / name).rglob("*.py"))]


def make_tree() -> list[Mutant]:
    """Makes TREE the working tree with the mutants in it, anew where that has changed, and lists them."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    names = {name for name in listed.stdout.decode().splitlines() if (ROOT / name).is_file()}
    mutated = {str(path.relative_to(ROOT)) for path in modules()} & names
    for path in [path for path in TREE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]:
        if str(path.relative_to(TREE)) not in names:
            path.unlink()
    found: list[Mutant] = []
    for name in sorted(names):
        target = TREE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if name in mutated:
            found += mutate(name, target)
        elif not target.exists() or target.read_bytes() != (ROOT / name).read_bytes():
            shutil.copyfile(ROOT / name, target)
    return found


def mutate(name: str, target: Path) -> list[Mutant]:
    """Writes the file `name` with its mutants to `target`, and lists them."""
    source = (ROOT / name).read_text(encoding="utf-8")
    index = WORK / "index" / (name + ".json")
    digest = hashlib.sha256(source.encode()).hexdigest()
    kept = json.loads(index.read_text(encoding="utf-8")) if index.exists() else {}
    if kept.get("source") != digest or not target.exists():
        from mutmut.mutation.file_mutation import mutate_file_contents

        made = mutate_file_contents(name, PROTOCOL.sub(r"\1  # pragma: no mutate block", source))
        spans = {key: (span.start, span.end) for key, span in made.line_span_by_function_name.items()}
        target.write_text(made.code, encoding="utf-8")
        kept = {"source": digest, "spans": spans, "names": list(made.mutant_names)}
        index.parent.mkdir(parents=True, exist_ok=True)
        index.write_text(json.dumps(kept), encoding="utf-8")
    lines = target.read_text(encoding="utf-8").splitlines(keepends=True)
    module = name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")

    def text(key: str) -> str:
        start, end = kept["spans"][key]
        function = textwrap.dedent("".join(lines[start - 1 : end]))
        return re.sub(r"\bx(_|ǁ\w+?ǁ)(\w+?)__mutmut_\w+", r"\2", function, count=1)

    return [
        Mutant(f"{module}.{key}", text(key.partition("__mutmut_")[0] + ORIGINAL), text(key)) for key in kept["names"]
    ]
