"""The figures of the accuracy page."""

from pathlib import Path
from statistics import mean, stdev

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.accuracy import methods, summary, tables
from benchmarks.accuracy.methods import ABSOLUTE
from benchmarks.accuracy.summary import Summary

STYLE = {"full": ("o", "#4477aa", "full"), "knots": ("s", "#ccbb44", "KnOTS"), "core": ("D", "#aa3377", "core")}
SETTINGS = {"svg.hashsalt": "coremerge", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
COLOURS = {"ta": "#4477aa", "ties": "#ccbb44", "tsv": "#228833", "tsv+iso": "#aa3377"}
Point = tuple[float, float] | None


def save(figure: plt.Figure, path: Path) -> None:
    """An SVG without a date, so that equal numbers give equal files."""
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight", facecolor="white")
    plt.close(figure)


def dots(axis: Axes, labels: list[str], values: dict[str, list[Point]], title: str) -> None:
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


def point(by_seed: dict[int, float] | None) -> Point:
    """Mean and standard deviation over seeds."""
    if not by_seed:
        return None
    values = list(by_seed.values())
    return mean(values), stdev(values) if len(values) > 1 else 0.0


def beside_paper(found: Summary, path: Path, title: str) -> None:
    """Left the paper's averages, right ours, for the methods that both have."""
    theirs = summary.paper(found.recipe)
    settings = [s for s in methods.settings(found.recipe) if s.mode != ABSOLUTE and (s.method, "core") in theirs]
    labels = [setting.method for setting in settings]
    paper: dict[str, list[Point]] = {}
    ours: dict[str, list[Point]] = {}
    for space in STYLE:
        paper[space] = [(theirs[s.method, space], 0.0) for s in settings]
        where = [(s, "core" if s.method == "ta" else space) for s in settings]
        ours[space] = [point(found.spaces.get((s.method, s.mode, place))) for s, place in where]
    with plt.rc_context(SETTINGS):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 0.42 * len(labels) + 1.4), sharey=True)
        dots(left, labels, paper, "paper: ViT-B/32, eight image tasks")
        dots(right, labels, ours, title)
        right.legend(loc="best", fontsize=8)
        save(figure, path)


def lines(found: Summary, path: Path) -> None:
    """Accuracy against the number of tasks, and against the components kept."""
    with plt.rc_context(SETTINGS):
        figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
        for axis, part, last, label in (
            (axes[0], "tasks", 8, "tasks merged"),
            (axes[1], "rank", 128, "components kept of each layer's merge"),
        ):
            cells = found.by_seed(part, ("method", "mode", "space", "which"))
            for method, mode, space in dict.fromkeys(key[:3] for key in cells):
                points = {
                    int(which): list(by.values()) for (*key, which), by in cells.items() if key == [method, mode, space]
                }
                points[last] = list(found.spaces[method, mode, space].values())
                name = method + (f", {mode}, {space}" if space == "full" else "")
                spreads = [stdev(values) if len(values) > 1 else 0.0 for values in points.values()]
                y, dash = [mean(values) for values in points.values()], "--" if space == "full" else "-"
                look = {"marker": "o", "ms": 4, "ls": dash, "color": COLOURS[method], "label": name}
                axis.errorbar(list(points), y, spreads, **look)
            axis.set_xlabel(label)
            axis.grid(alpha=0.3)
            axis.legend(fontsize=8)
        axes[0].set_ylabel("normalized accuracy, %")
        axes[1].set_xscale("log", base=2)
        axes[1].set_xticks([8, 32, 64, 128], ["8", "32", "64", "128"])
        save(figure, path)


def basis(found: Summary, path: Path) -> None:
    """Accuracy in random bases of the core space, with the paper's and the Tucker basis marked."""
    by_method = tables.bases(found)
    with plt.rc_context(SETTINGS):
        figure, grid = plt.subplots(len(by_method), 1, figsize=(7, 2 * len(by_method)), sharex=True, squeeze=False)
        for axis, (method, by) in zip(grid[:, 0], by_method.items(), strict=True):
            axis.hist([v for k, v in by.items() if k.isdecimal()], bins=20, color="#bbbbbb", label="random rotations")
            for name, colour, line in (("paper", "#aa3377", "-"), ("tucker", "#228833", "--")):
                axis.axvline(by[name], color=colour, ls=line, lw=2, label=f"{name} basis")
            axis.set_title(method)
            axis.set_ylabel("bases")
        grid[-1, 0].set_xlabel("normalized accuracy, %")
        grid[0, 0].legend(fontsize=8)
        figure.tight_layout()
        save(figure, path)
