"""Which tests a mutant meets: those that call its function; once each test, its package's first, then once again."""

import hashlib
import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from benchmarks.mutation.mutants import TREE, WORK, Mutant
from benchmarks.mutation.server import Server

# of each package: the folders and files below tests/ that take part, those first that mirror it
FOLDERS = {
    "core": ("core", "test_errors.py", "methods", "properties", "analysis"),
    "perturbation": ("perturbation", "methods", "analysis"),
    "methods": ("methods", "core", "test_errors.py", "properties", "analysis"),
    "analysis": ("analysis",),
    "conformance": ("conformance",),
    "adapters": ("adapters",),
}
FILE_SECONDS = 15
NAMED = 60


def folders(packages: Iterable[str]) -> list[str]:
    """Where their tests lie."""
    return sorted({f"tests/{name}" for package in packages for name in FOLDERS[package]})


def variants(tests: Iterable[str], most: int) -> list[str]:
    """All parametrizations of a test that has few, `most` of those that have more than three times as many.

    NumPy's come before those of array-api-strict.
    """
    groups = [list(group) for _, group in itertools.groupby(tests, key=lambda test: test.partition("[")[0])]
    kept = [
        sorted(group, key=lambda test: "strict" in test)[: most if len(group) > 3 * most else None] for group in groups
    ]
    return [test for group in kept for test in group]


class Reach:
    """Which functions each test calls, and how long it takes: found out once for each file of tests, and kept."""

    def __init__(self, server: Server, most: int) -> None:
        self.server, self.most = server, most
        self.seconds: dict[str, float] = {}
        self.tests: dict[str, set[str]] = defaultdict(set)
        self._seen: set[str] = set()

    def add(self, folder: str) -> None:
        """Runs the tests of a folder that have not been run before."""
        by_file: dict[str, list[str]] = defaultdict(list)
        for test in self.server.items:
            if test.startswith((folder + "/", folder + "::")):
                by_file[test.partition("::")[0]].append(test)
        for file, tests in by_file.items():
            if file in self._seen:
                continue
            self._seen.add(file)
            digest = hashlib.sha256((TREE / file).read_bytes()).hexdigest()
            kept = WORK / "reach" / (file + ".json")
            known = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
            if known.get("digest") != digest:
                known = {"digest": digest, "tried": [], "tests": {}}
            wanted = [test for test in variants(tests, self.most) if test not in known["tried"]]
            if wanted:
                known["tests"] |= self.server.reach(wanted, FILE_SECONDS)
                known["tried"] += wanted
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(known), encoding="utf-8")
                print(f"{file}: {len(known['tests'])} of {len(known['tried'])} tests take part", flush=True)
            for test, (took, functions) in known["tests"].items():
                if test in self.server.items:
                    self.seconds[test] = took
                    for function in functions:
                        self.tests[function].add(test)

    def forget(self, test: str) -> None:
        """Leaves a test out from now on."""
        self.server.items.pop(test)
        for tests in self.tests.values():
            tests.discard(test)

    def choose(self, mutant: Mutant, killers: Sequence[str], seconds: float) -> list[str]:
        """Tests that call its function, in the order in which they run, for so many seconds in all."""
        for folder in FOLDERS[mutant.package]:
            self.add(f"tests/{folder}")
        places: dict[str, int] = defaultdict(int)
        ranked = []
        words = set(re.split(r"[._]", mutant.module)) - {mutant.package}
        for test in sorted(self.tests[mutant.mangled], key=lambda test: (self.seconds[test], test)):
            name = test.partition("[")[0]
            folder, file = test.split("/")[1].partition("::")[0], test.partition("::")[0].rpartition("/")[2]
            if folder not in FOLDERS[mutant.package]:  # looked through for another package's sake
                continue
            mirrors = bool(words & set(re.split(r"[._]", file)))
            tier = FOLDERS[mutant.package].index(folder)
            killed = -1 - killers.index(test) if test in killers else 0
            ranked.append((killed, places[name], not mirrors, tier, self.seconds[test], test))
            places[name] += 1
        chosen, total = [], 0.0
        for *_, took, test in sorted(ranked):
            if not chosen or total + took <= seconds:
                chosen.append(test)
                total += took
        return chosen

    def named(self, mutant: Mutant) -> list[str]:
        """Tests beyond those variants whose parameters name the module, as a method; each test once, then again."""
        name = mutant.module.rpartition(".")[2]
        places: dict[str, int] = defaultdict(int)
        ranked = []
        for test in self.server.items:
            function, _, parameters = test.partition("[")
            folder = test.split("/")[1].partition("::")[0]
            if (
                folder in FOLDERS[mutant.package]
                and name in re.split(r"[^a-z_]+", parameters)
                and test not in self.seconds
            ):
                ranked.append((places[function], FOLDERS[mutant.package].index(folder), test))
                places[function] += 1
        return [test for *_, test in sorted(ranked)][:NAMED]
