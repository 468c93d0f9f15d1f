"""One recipe and one seed: every setting in every space, and what else is asked of its adapters.

Each part measures what the recipe's file of results does not hold yet, and adds it there at once.
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchmarks.accuracy import features, merged, methods, relative, results, search, store, train
from benchmarks.accuracy.evaluate import Judge

COUNTED = ("ta", "ties", "tsv:absolute", "tsv+iso:absolute")  # against the number of tasks
COUNTS = (2, 4, 6)
CUT, KEPT = ("ta", "tsv:absolute", "tsv+iso:absolute", "tsv+iso:relative"), (8, 32, 64)
FREE = ("ta", "ties", "tsv:absolute", "iso:absolute", "tsv+iso:absolute", "cart:absolute", "karcher:absolute")


@dataclass
class Study:
    """The adapters of a recipe and seed, trained when they are first needed."""

    cache: Path
    results: results.Results
    recipe: str
    seed: int
    names: list[str]
    sizes: dict[str, int] | None = None
    steps: int | None = None

    @cached_property
    def features(self) -> dict[str, features.Features]:
        """By task."""
        return features.load(self.cache, self.names, self.sizes, train.RECIPES[self.recipe].family)

    @cached_property
    def layers(self) -> merged.Layers:
        """The adapters' updates."""
        recipe = train.RECIPES[self.recipe]
        train.train_all(self.cache, recipe.shortened(self.steps) if self.steps else recipe, self.features, self.seed)
        return merged.read([store.adapter(self.cache, self.recipe, self.seed, name) for name in self.names])

    @cached_property
    def judge(self) -> Judge:
        """Of all tasks."""
        return Judge.of(self.features, self.layers)

    @cached_property
    def unit(self) -> float:
        """‖Σ ΔW_t‖ over all layers."""
        return merged.norm(merged.merge(self.layers, "ta", "core"))

    @cached_property
    def mean_norm(self) -> float:
        """The mean over the tasks of ‖ΔW_t‖ over all layers."""
        alone = ({name: [updates[i]] for name, updates in self.layers.items()} for i in range(len(self.names)))
        return sum(merged.norm(merged.merge(layers, "ta", "core")) for layers in alone) / len(self.names)

    def known(self, part: str) -> list[results.Row]:
        """What is measured already."""
        return self.results.of(part=part, recipe=self.recipe, seed=self.seed)

    def add(self, part: str, record: dict[str, Any], which: Any = "") -> None:
        """One row."""
        test = record.get("test", {})
        shown = " ".join(f"{name}={value}" for name, value in record.get("setting", {}).items())
        facts = {name: value for name, value in record.items() if name not in ("test", "setting")}
        self.results.add(
            [{"part": part, "recipe": self.recipe, "seed": self.seed, "which": which, "setting": shown} | facts | test]
        )

    def say(self, text: str, start: float) -> None:
        """A line of progress."""
        print(f"{self.recipe} seed {self.seed} {text} ({time.perf_counter() - start:.0f} s)", flush=True)

    def singles(self) -> None:
        """What base and single adapters reach; the data's fingerprint says of what."""
        if self.known("singles"):
            return
        which = " ".join(one.task.fingerprint[:6] for one in self.features.values())
        self.add("singles", {"method": "base", "test": self.judge.accuracies(None, 0.0, "test")}, which)
        self.add("singles", {"method": "single", "test": self.judge.single["test"]}, which)
        self.add("singles", {"method": "single", "space": "val", "test": self.judge.single["val"]}, which)

    def spaces(self, only: Sequence[str] = ()) -> None:
        """Every method in every space; `only` those, and for one value each."""
        self.singles()
        wanted = [s.shortened() for s in methods.settings(self.recipe) if s.key in only]
        for setting in wanted or methods.settings(self.recipe):
            rows = self.known("spaces")
            if any((row["method"], row["mode"]) == (setting.method, setting.mode) for row in rows):
                continue
            start = time.perf_counter()
            inherited = {row["space"]: chosen(row) for row in rows if row["method"] == setting.inherits}
            found = search.run(setting, self.layers, self.judge, self.seed, self.unit, inherited)
            for record in found:
                self.add("spaces", record)
            line = ", ".join(f"{r['space']} {self.judge.normalized(r['test'], 'test'):.1f}" for r in found)
            self.say(f"{setting.key}: {line}", start)

    def checks(self) -> None:
        """How far the dense definition is from the library's merge in core space, where a theorem makes them one."""
        for method in ("ta", "tsv", "iso", "tsv+iso", "cart", "cart+iso"):
            if any(row["method"] == method for row in self.known("checks")):
                continue
            setting = methods.Setting(method, methods.ABSOLUTE)
            start = time.perf_counter()
            apart = relative.check(self.layers, setting.pipeline({}, self.seed))
            self.add("checks", {"method": method, "mode": methods.ABSOLUTE, "space": "full"}, f"{apart:.2e}")
            self.say(f"{method}: the dense definition is {apart:.1e} away", start)

    def settled(self, keys: Sequence[str]) -> Iterator[tuple[methods.Setting, results.Row]]:
        """Settings and what was found best for them, in core space, else in full space where nulls take part."""
        rows = {(row["method"], row["mode"], row["space"]): row for row in self.known("spaces")}
        for setting in methods.settings(self.recipe):
            space = "full" if setting.mode == methods.RELATIVE else "core"
            if setting.key in keys and (setting.method, setting.mode, space) in rows:
                yield setting, rows[setting.method, setting.mode, space]

    def tasks(self) -> None:
        """2, 4 and 6 of the tasks, drawn by seed: α searched again, the density kept."""
        for count in (count for count in COUNTS if count < len(self.names)):
            names = sorted(random.Random(f"{self.seed} {count}").sample(self.names, count), key=self.names.index)
            done = {row["method"] for row in self.known("tasks") if row["which"] == str(count)}
            if {key.split(":")[0] for key in COUNTED} <= done:
                continue
            start = time.perf_counter()
            places = [self.names.index(name) for name in names]
            layers = {layer: [updates[i] for i in places] for layer, updates in self.layers.items()}
            judge = Judge.of({name: self.features[name] for name in names}, layers)
            unit = merged.norm(merged.merge(layers, "ta", "core"))
            for setting, row in self.settled(COUNTED):
                one = methods.Setting(setting.method, setting.mode)
                if setting.method not in done:
                    record = search.run(one, layers, judge, self.seed, unit, {"core": chosen(row)})[0]
                    self.add("tasks", record, count)
            self.say(f"{count} tasks", start)

    def rank(self) -> None:
        """The best merges cut to their leading components, α as found for the whole."""
        done = {(row["method"], row["mode"], row["which"]) for row in self.known("rank")}
        for setting, row in self.settled(CUT):
            if all((setting.method, setting.mode, str(kept)) in done for kept in KEPT):
                continue
            start = time.perf_counter()
            update = setting.merge(self.layers, row["space"], chosen(row), self.seed)
            triplets = {name: torch.linalg.svd(W, full_matrices=False) for name, W in update.items()}
            for kept in KEPT:
                if (setting.method, setting.mode, str(kept)) not in done:
                    cut = {name: (U[:, :kept] * S[:kept]) @ Vh[:kept] for name, (U, S, Vh) in triplets.items()}
                    same = {name: row[name] for name in ("method", "mode", "space")}
                    test = self.judge.accuracies(cut, float(row["alpha"]), "test")
                    size = merged.norm(cut) * float(row["alpha"]) / self.unit
                    self.add("rank", same | {"alpha": float(row["alpha"]), "size": size, "test": test}, kept)
            self.say(f"{setting.key}: cut to {KEPT}", start)

    def alpha(self) -> None:
        """α without any evaluation: 1, or what makes the merge as large as a task's update on average or as the sum."""
        done = {(row["method"], row["which"]) for row in self.known("alpha")}
        for setting, row in self.settled(FREE):
            rules = ["one", "norm", "sum"] + ["mean"] * (setting.method == "ta")
            if all((setting.method, rule) in done for rule in rules):
                continue
            start = time.perf_counter()
            update = setting.merge(self.layers, "core", chosen(row), self.seed)
            size = merged.norm(update)
            alphas = {"one": 1.0, "mean": 1.0 / len(self.names), "norm": self.mean_norm / size, "sum": self.unit / size}
            for rule in rules:
                if (setting.method, rule) not in done:
                    same = {name: row[name] for name in ("method", "mode", "space")}
                    test = self.judge.accuracies(update, alphas[rule], "test")
                    chosen_size = size * alphas[rule] / self.unit
                    self.add("alpha", same | {"alpha": alphas[rule], "size": chosen_size, "test": test}, rule)
            self.say(f"{setting.key}: α by rules", start)


def chosen(row: results.Row) -> dict[str, float]:
    """The searched values of a row: its column `setting`."""
    return {name: float(value) for name, value in (part.split("=") for part in row["setting"].split())}
