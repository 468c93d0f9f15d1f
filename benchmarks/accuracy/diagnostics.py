"""The literature's diagnostics on the study's adapters: alignment, ranks, interference, truncation.

    python -m benchmarks.accuracy.diagnostics [--cache DIR] [--recipe r16] [--seed 0] [--out DIR]

Means over the layers. Writes diagnostics.csv and diagnostics.svg to the folder --out, and prints the table.
"""

import argparse
import csv
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

import coremerge_ref as cm
from benchmarks.accuracy import merged, store, tasks
from benchmarks.accuracy.methods import ABSOLUTE, RELATIVE, Setting
from coremerge_ref.analysis import diagnostics

SPACES = ("full", "knots", "core")
SETTINGS = (
    Setting("ta"), Setting("ties"), Setting("tsv", RELATIVE), Setting("tsv", ABSOLUTE), Setting("iso", RELATIVE),
    Setting("iso", ABSOLUTE), Setting("tsv+iso", RELATIVE), Setting("tsv+iso", ABSOLUTE),
)  # fmt: skip
SINGLE = 1e-5  # of σ_1: relative settings are computed in float32
COLUMNS = ("method", "space", "alignment", "rank", "stable rank")


def measured(layers: merged.Layers, setting: Setting, space: str) -> dict[str, Any]:
    """One row: means over the layers, alignment also over the tasks."""
    if setting.mode == RELATIVE:
        found = {name: cm.DenseUpdate(W.double().numpy()) for name, W in setting.merge(layers, space, {}, 0).items()}
    else:
        found = cm.merge_adapters(layers, setting.pipeline({"density": 0.2}, 0), merged.SPACES[space])
    aligned = [
        float(diagnostics.alignment(u, found[name]))
        for name, updates in layers.items()
        for u in updates
        if u is not None
    ]
    rank = mean(float(diagnostics.numerical_rank(update, rtol=SINGLE)) for update in found.values())
    stable = mean(float(diagnostics.stable_rank(update)) for update in found.values())
    figures = dict(zip(COLUMNS[2:], (mean(aligned), rank, stable), strict=True))
    return {"method": setting.key, "space": space, **figures}


def shared(layers: merged.Layers, side: str) -> float:
    """The mean overlap of all pairs of tasks."""
    pairs = [pair for updates in layers.values() for pair in combinations([u for u in updates if u is not None], 2)]
    return mean(float(diagnostics.overlap(one, other, side=side)) for one, other in pairs)


def curves(layers: merged.Layers) -> dict[str, tuple[Any, Any, Any]]:
    """By space: components kept, the fraction of the space's size, mean error of truncating the sum of the updates."""
    found = {}
    sums = cm.merge_adapters(layers, "ta", out_dtype="float64")
    for space in SPACES:
        made = []
        for name, updates in layers.items():
            bases = cm.reference_bases(updates, merged.SPACES[space])
            size = int(min(bases.rows, bases.cols))
            made.append(diagnostics.truncation(sums[name], size))
        most = min(len(one.kept) for one in made)
        errors = np.mean([np.asarray(one.error)[:most] for one in made], axis=0)
        found[space] = made[0].kept[:most], made[0].fraction[:most], errors
    return found


def drawn(lines: dict[str, tuple[Any, Any, Any]], path: Path) -> None:
    """The same ablation against components kept, where it is one curve, and against the fraction, where it is not."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "coremerge"
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.5), sharey=True, layout="constrained")
    for (space, (kept, fraction, error)), style in zip(lines.items(), ("-", "--", ":"), strict=True):
        panels[0].plot(kept, error, style, label=space)
        panels[1].plot(fraction, error, style, label=space)
    panels[0].set(xlabel="components kept", ylabel="relative error of Σ ΔW_t")
    panels[1].set(xlabel="fraction of min(p, q) kept")
    for panel in panels:
        panel.grid(alpha=0.3)
        panel.legend()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=store.DEFAULT)
    parser.add_argument("--recipe", default="r16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a folder for the CSV and the figure")
    parser.add_argument("--tasks", nargs="+", default=list(tasks.TASKS))
    args = parser.parse_args()
    layers = merged.read([store.adapter(args.cache, args.recipe, args.seed, name) for name in args.tasks])
    rows = [measured(layers, setting, space) for setting in SETTINGS for space in SPACES]
    conflicts = {s: mean(float(diagnostics.sign_conflict(u, s)) for u in layers.values()) for s in ("full", "core")}
    print("| method | space | alignment with the tasks | rank | stable rank |\n| --- | --- | ---: | ---: | ---: |")
    for row in rows:
        figures = f"{row['alignment']:.3f} | {row['rank']:.0f} | {row['stable rank']:.1f}"
        print(f"| `{row['method']}` | {row['space']} | {figures} |")
    print(f"\nOverlap of two tasks: {shared(layers, 'left'):.3f} left, {shared(layers, 'right'):.3f} right.", end="")
    strength = mean(float(diagnostics.interference(updates)) for updates in layers.values())
    print(f"\nInterference: {strength:.3g}. Share of entries with")
    print(f"opposite signs: {conflicts['full']:.3f} in full space, {conflicts['core']:.3f} in core space.")
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        with open(args.out / "diagnostics.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        drawn(curves(layers), args.out / "diagnostics.svg")


if __name__ == "__main__":
    main()
