"""One recipe and one seed: every setting in every space, kept in one file that a later run goes on with."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.accuracy import methods, search, store
from benchmarks.accuracy.evaluate import Judge
from benchmarks.accuracy.merged import SPACES, Layers, read


def path(cache: Path, recipe: str, seed: int) -> Path:
    """Where the measurements of a recipe and seed lie."""
    return cache / "results" / f"{recipe}-seed{seed}.json"


def prepare(
    cache: Path, recipe: str, seed: int, names: list[str], tested: int | None = None
) -> tuple[Layers, Judge, dict[str, Any]]:
    """Layers and judge, and a record of what the measurements to come are relative to."""
    tasks = [store.task(cache, name) for name in names]
    layers = read([store.adapter(cache, recipe, seed, name) for name in names])
    judge = Judge.of(tasks, layers, tested)
    facts = {"recipe": recipe, "seed": seed, "data": {task.name: task.fingerprint for task in tasks}}
    return layers, judge, facts | {"zero": judge.zero, "single": judge.single}


def run(cache: Path, recipe: str, seed: int, names: list[str], only: Sequence[str] = ()) -> dict[str, Any]:
    """Measures what is not measured yet, one line of progress a setting; `only` those, and for one value each."""
    out = path(cache, recipe, seed)
    result: dict[str, Any] = store.once(out, dict) or {"records": []}
    wanted = [setting.shortened() for setting in methods.settings() if setting.key in only] or [*methods.settings()]
    done = {(record["method"], record["mode"]) for record in result["records"]}
    if all((setting.method, setting.mode) in done for setting in wanted):
        return result
    layers, judge, facts = prepare(cache, recipe, seed, names)
    result |= facts
    for setting in wanted:
        if (setting.method, setting.mode) in done:
            continue
        start = time.perf_counter()
        spaces = {name: SPACES[name] for name in methods.spaces_of(setting)}
        inherited = {
            record["space"]: record["values"]
            for record in result["records"]
            if ":".join(filter(None, (record["method"], record["mode"]))) == setting.inherits
        }
        found = search.run(setting, layers, judge, seed, spaces, inherited)
        result["records"] += found
        store.write(out, result)
        line = ", ".join(f"{record['space']} {record['test']['avg']:.1f}" for record in found)
        print(f"{recipe} seed {seed} {setting.key}: {line} ({time.perf_counter() - start:.0f} s)", flush=True)
    return result
