"""The figures of the accuracy page: what was measured beside the paper's numbers."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.accuracy.methods import ABSOLUTE, RELATIVE
from benchmarks.accuracy.summary import Row
from benchmarks.accuracy.tables import grid

STYLE = {"full": ("o", "#4477aa", "full"), "knots": ("s", "#ccbb44", "KnOTS"), "core": ("D", "#aa3377", "core")}
SETTINGS = {"svg.hashsalt": "coremerge", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def save(figure: plt.Figure, path: Path) -> None:
    """An SVG without a date, so that equal numbers give equal files."""
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight", facecolor="white")
    plt.close(figure)


def dots(axis: Axes, labels: list[str], values: dict[str, list[tuple[float, float] | None]], title: str) -> None:
    """One line a method, one mark a space, at (mean, spread)."""
    for offset, (space, (mark, colour, name)) in zip((0.18, 0.0, -0.18), STYLE.items(), strict=True):
        points = [(value, len(labels) - 1 - i + offset) for i, value in enumerate(values[space]) if value is not None]
        if points:
            x, y = [value[0] for value, _ in points], [height for _, height in points]
            axis.errorbar(x, y, xerr=[value[1] for value, _ in points], fmt=mark, color=colour, ms=5, lw=1, label=name)
    axis.set_yticks(range(len(labels)), labels[::-1])
    axis.set_xlabel("normalized accuracy, %")
    axis.grid(axis="x", alpha=0.3)
    axis.set_title(title)


def beside_paper(found: list[Row], path: Path, title: str) -> None:
    """Left the paper's averages, right ours, for the methods that both have."""
    theirs = {row.method for row in found if row.paper is not None}
    cells = {key: rows for key, rows in grid(found).items() if key[1] != ABSOLUTE and key[0] in theirs}
    labels = [method for method, _ in cells]

    def pick(paper: bool) -> dict[str, list[tuple[float, float] | None]]:
        chosen: dict[str, list[tuple[float, float] | None]] = {}
        for space in STYLE:
            rows = [by_space.get(space) for by_space in cells.values()]
            if paper:
                chosen[space] = [None if row is None or row.paper is None else (row.paper, 0.0) for row in rows]
            else:
                chosen[space] = [None if row is None else (row.mean, row.spread) for row in rows]
        return chosen

    with plt.rc_context(SETTINGS):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 0.42 * len(labels) + 1.4), sharey=True)
        dots(left, labels, pick(True), "paper: ViT-B/32, eight image tasks")
        dots(right, labels, pick(False), title)
        right.legend(loc="best", fontsize=8)
        save(figure, path)


def both_modes(found: list[Row], path: Path) -> None:
    """Left sizes relative to the space, right the same sizes in every space."""
    cells = grid(found)
    labels = [m for m, mode in cells if mode == RELATIVE and (m, ABSOLUTE) in cells]
    with plt.rc_context(SETTINGS):
        figure, axes = plt.subplots(1, 2, figsize=(9, 0.42 * len(labels) + 1.4), sharey=True, sharex=True)
        titles = {RELATIVE: "sizes relative to the space", ABSOLUTE: "absolute sizes"}
        for axis, (mode, title) in zip(axes, titles.items(), strict=True):
            values: dict[str, list[tuple[float, float] | None]] = {}
            for space in STYLE:
                # under absolute settings the isometric form of KnOTS is what the theorem speaks of
                taken = "knots-scaled" if (space, mode) == ("knots", ABSOLUTE) else space
                rows = [cells[method, mode].get(taken) for method in labels]
                values[space] = [None if row is None else (row.mean, row.spread) for row in rows]
            dots(axis, labels, values, title)
        axes[0].legend(loc="best", fontsize=8)
        save(figure, path)


def basis(found: dict, path: Path) -> None:
    """Accuracy in random bases of the core space, with the paper's and the Tucker basis marked."""
    with plt.rc_context(SETTINGS):
        methods = [method for method in ("ties", "dare+ties") if found.get(method, {}).get("rotations")]
        figure, grid_ = plt.subplots(len(methods), 1, figsize=(7, 2 * len(methods)), sharex=True, squeeze=False)
        axes = grid_[:, 0]
        for axis, method in zip(axes, methods, strict=True):
            values = [entry["avg"] for entry in found[method]["rotations"]]
            axis.hist(values, bins=20, color="#bbbbbb", label="random rotations")
            for name, colour, line in (("paper", "#aa3377", "-"), ("tucker", "#228833", "--")):
                axis.axvline(found[method][name]["avg"], color=colour, ls=line, lw=2, label=f"{name} basis")
            axis.set_title(method)
            axis.set_ylabel("bases")
        axes[-1].set_xlabel("normalized accuracy, %")
        axes[0].legend(fontsize=8)
        figure.tight_layout()
        save(figure, path)
