"""Pytest plugin of `make mutants`: no JAX, and the tests most likely to kill a mutant run first.

JAX has threads, and mutmut runs each mutant in a fork, where they are gone and JAX waits for them for ever.

First come the tests that killed a mutant of the same function before, the last one foremost, then the rest, the fastest
first; mutmut hands them over in the order of a set. The files named here lie in mutmut's folder mutants/, where it runs
pytest.
"""

import functools
import json
import os
import re
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import pytest
from mutmut.mutation.trampoline import get_mutant_under_test

KILLERS = Path("killers")
STATS = Path("mutmut-stats.json")


class NoJax(MetaPathFinder):
    """Finds no JAX, so that its tests skip."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        """ImportError for jax; None, which leaves all else to other finders."""
        if fullname == "jax":
            raise ModuleNotFoundError("no JAX in forks", name="jax")


sys.meta_path.insert(0, NoJax())


def record() -> Path:
    """Where the tests stand, one a line, that killed a mutant of the function under test."""
    return KILLERS / get_mutant_under_test().partition("__mutmut_")[0]


@functools.cache
def durations() -> dict[str, float]:
    """Seconds of each test without a mutant, as mutmut measured them."""
    return json.loads(STATS.read_text(encoding="utf-8"))["duration_by_test"] if STATS.exists() else {}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts the tests that mutmut chose, without those that MUTANT_TESTS, a regex, does not find."""
    items[:] = [item for item in items if re.search(os.environ.get("MUTANT_TESTS", ""), item.nodeid)]
    known = record().read_text(encoding="utf-8").splitlines() if record().is_file() else []
    last = {name: place for place, name in enumerate(known, start=1)}
    items.sort(key=lambda item: (-last.get(item.nodeid, 0), durations().get(item.nodeid, 0.0)))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes which test failed."""
    if report.failed and "__mutmut_" in get_mutant_under_test():
        KILLERS.mkdir(exist_ok=True)
        with record().open("a", encoding="utf-8") as file:
            file.write(report.nodeid + "\n")
