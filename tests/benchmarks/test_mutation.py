"""benchmarks/mutation: what it draws, how it names a change, and that every reason is of a function that exists."""

import ast
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from importlib import import_module
from types import SimpleNamespace

import pytest

from benchmarks.mutation import reasons, selecting, server
from benchmarks.mutation.mutants import KINDS, PACKAGE, PACKAGES, ROOT, Mutant, kind_of, modules
from benchmarks.mutation.page import judged
from benchmarks.mutation.results import Result, first_and_last, note, read
from benchmarks.mutation.scoring import draw


def many(sizes: dict[str, int]) -> list[Mutant]:
    """So many mutants of each module."""
    return [
        Mutant(f"{PACKAGE}.{name}.x_f__mutmut_{i}", "", str(i)) for name, size in sizes.items() for i in range(size)
    ]


def entry(draw: str, mutant: str, status: str) -> Result:
    return Result(draw, mutant, "", "core", "core.sides.f", "number", "", status, None, 1, 0.1)


def test_every_package_has_modules_and_tests() -> None:
    assert {path.relative_to(ROOT / PACKAGE).parts[0] for path in modules()} == set(PACKAGES) == set(selecting.FOLDERS)
    for folder in selecting.folders(PACKAGES):
        assert (ROOT / folder).is_file() or list((ROOT / folder).rglob("test_*.py")), folder


@pytest.mark.parametrize("size", [1, 7, 40, 99, 100, 200])
def test_each_module_has_its_share_of_a_draw(size: int) -> None:
    sizes = {"core.sides": 61, "core.linalg.zero": 30, "methods.ta": 9}
    drawn = draw(many(sizes), size, seed=3)
    assert len(drawn) == len(set(drawn)) == min(size, 100)
    counts = Counter(mutant.module for mutant in drawn)
    for module, members in sizes.items():
        assert abs(counts[module] - min(size, 100) * members / 100) < 1, module


def test_the_seed_decides_the_draw() -> None:
    population = many({"core.sides": 50, "methods.ta": 50})
    assert draw(population, 20, seed=1) == draw(population[::-1], 20, seed=1) != draw(population, 20, seed=2)


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ('f("a")', 'f("XXaXX")', "text"),
        ("x + 1", "x + 2", "number"),
        ("x + 1", "x - 1", "operator"),
        ("x < 1", "x <= 1", "operator"),
        ("x and y", "x or y", "operator"),
        ("not x", "x", "operator"),
        ("f(x, y)", "f(x, None)", "argument"),
        ("f(x, y)", "f(x)", "argument"),
        ("f(x, axis=y)", "f(x, axis=None)", "argument"),
        ("f(x, axis=y)", "f(x)", "argument"),
        ("f(x, axis=0)", "f(x, axis=None)", "number"),
        ("f(x, strict=True)", "f(x, strict=False)", "constant"),
        ("x = f(y)", "x = None", "value"),
        ("x = None", 'x = ""', "constant"),
        ("x += y", "x = y", "statement"),
        ("x.lower()", "x.upper()", "value"),
        ("a if b else c", "a if (b) and False else c", "value"),
        ("for x in y: continue", "for x in y: break", "statement"),
    ],
)  # fmt: skip
def test_a_change_is_named(old: str, new: str, kind: str) -> None:
    assert kind_of(ast.parse(old), ast.parse(new)) == kind
    assert kind in KINDS


def test_every_reason_is_of_a_function_that_exists() -> None:
    entries = reasons.read()
    keys = Counter((reason.function, reason.kind) for reason in entries)
    assert max(keys.values(), default=0) <= 1, keys.most_common(1)
    paths = [path.with_suffix("").relative_to(ROOT / PACKAGE) for path in modules()]
    names = sorted((".".join(path.parts).removesuffix(".__init__") for path in paths), key=len)
    for reason in entries:
        assert reason.kind in KINDS, reason
        assert reason.mutants > 0, reason
        module = [name for name in names if reason.function.startswith(name + ".")][-1]
        attributes = reason.function.removeprefix(module + ".").split(".")
        assert callable(reduce(getattr, attributes, import_module(f"{PACKAGE}.{module}"))), reason


def test_a_reason_is_for_so_many_mutants_and_no_more() -> None:
    reason = reasons.Reason("core.sides.f", "number", 1, "why")
    survivors = [entry("all", name, "survived") for name in ("a", "b", "a")]
    assert reasons.explain(survivors, [reason]) == {"a": "why"}
    assert reasons.explain(survivors, [reasons.Reason("core.sides.f", "text", 1, "why")]) == {}


def test_the_first_result_and_the_last_are_told_apart(tmp_path) -> None:
    file = tmp_path / "below" / "results.jsonl"
    for status in ("survived", "killed"):
        note(entry("seed 1", "a", status), file)
    note(entry("seed 1", "b", "survived"), file)
    pairs = first_and_last(read(file), lambda draw: set()).values()
    assert judged(pairs, 0, {}) == {"survived": 2}
    assert judged(pairs, 1, {"b": "why"}) == {"killed": 1, "equivalent": 1}


def test_what_a_test_kills_that_was_there_before_is_killed_at_first(tmp_path) -> None:
    file = tmp_path / "results.jsonl"
    for name, killer in {"a": "t.py::old[1]", "b": "t.py::new[1]"}.items():
        note(entry("seed 1", name, "survived"), file)
        note(replace(entry("seed 1", name, "killed"), killer=killer), file)
    pairs = first_and_last(read(file), lambda draw: {"t.py::old"}).values()
    assert judged(pairs, 0, {}) == {"killed": 1, "survived": 1}
    assert judged(pairs, 1, {}) == {"killed": 2}


@pytest.mark.filterwarnings(
    r"ignore:os.fork\(\) was called:RuntimeWarning"
)  # by JAX, where a test before has loaded it
def test_a_test_that_waits_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """28 seconds by the clock are allowed where one of the processor is: 0.1 are left."""

    class Waiting(server.Server):
        def _each(self, mutant: str, tests: Sequence[str]) -> Iterator[str]:
            signal.pause()
            yield "never"

    clock = iter([0.0, 27.9])
    monkeypatch.setattr(server, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert Waiting(lambda _: None).run("", [], 1.0) == server.TIMEOUT


def test_variants_are_one_test_with_numpy_first() -> None:
    tests = ["t.py::a[strict-1]", "t.py::a[numpy-1]", "t.py::a[numpy-2]", "t.py::b"]
    many = [f"t.py::c[{i}]" for i in range(7)]
    assert selecting.variants(many, 2) == many[:2]
    assert selecting.variants(many[:6], 2) == many[:6]
    assert selecting.variants(tests, 2) == ["t.py::a[numpy-1]", "t.py::a[numpy-2]", "t.py::a[strict-1]", "t.py::b"]
