"""The sweeps as figures (PNG and SVG) and as a Markdown table.

    python -m benchmarks.complexity.figures [--results FILE] [--docs docs]

Writes docs/img/sweep-METHOD.png and .svg, docs/data/sweeps.csv, and puts the tables of exponents and of counts between
their markers in docs/complexity.md.
"""

import argparse
import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from benchmarks import markers
from benchmarks.complexity import leading
from benchmarks.complexity.fits import Line, laws
from benchmarks.complexity.sweeps import ALGORITHMS, OURS, OURS_DENSE, RESULTS, read

LABELS = {"n": "width n", "r": "rank r", "T": "tasks T"}
LOOK = {
    OURS: ("tab:blue", "-", "o"), OURS_DENSE: ("tab:cyan", "-", "s"), "core": ("tab:orange", "--", "^"),
    "core, optimized": ("tab:olive", "--", "v"), "knots": ("tab:green", ":", "D"), "full": ("tab:red", ":", "x"),
}  # fmt: skip


def figure(method: str, lines: Sequence[Line], folder: Path) -> list[Path]:
    """One row of panels, an axis each: measured points, and the law through them."""
    mpl.rcParams["svg.hashsalt"] = "coremerge"  # the same file for the same numbers
    made, panels = plt.subplots(1, 3, figsize=(12, 4), sharey=True, layout="constrained")
    for panel, axis in zip(panels, LABELS, strict=True):
        for line in (one for one in lines if one.method == method and one.axis == axis):
            color, style, marker = LOOK[line.algorithm]
            panel.plot(line.x, line.seconds, marker, color=color, markersize=5)
            panel.plot(line.x, [line.measured.at(x) for x in line.x], style, color=color, linewidth=1)
        panel.set(xscale="log", yscale="log", xlabel=LABELS[axis])
        panel.xaxis.set_major_locator(mpl.ticker.LogLocator(base=2))
        panel.xaxis.set_major_formatter("{x:.0f}")
        panel.xaxis.set_minor_locator(mpl.ticker.NullLocator())
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("seconds")
    handles = [
        mpl.lines.Line2D([], [], color=LOOK[a][0], linestyle=LOOK[a][1], marker=LOOK[a][2], label=a) for a in ALGORITHMS
    ]
    made.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    made.suptitle(f"{method}: one n × n layer; points measured, lines fitted")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"sweep-{method}.{kind}" for kind in ("png", "svg")]
    for path in paths:
        made.savefig(path, dpi=120, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(made)
    return paths


def exponents(lines: Iterable[Line]) -> str:
    """A Markdown table: measured exponent ± half of its 95 % interval, and the counted one, for every line."""
    rows = ["| method | algorithm | in n | in r | in T |", "|---|---|---|---|---|"]
    found = {(line.method, line.algorithm, line.axis): line for line in lines}
    for method in dict.fromkeys(key[0] for key in found):
        for algorithm in ALGORITHMS:
            cells = [_cell(found.get((method, algorithm, axis))) for axis in LABELS]
            rows.append(f"| `{method}` | {algorithm} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _cell(line: Line | None) -> str:
    if line is None:
        return "–"
    half = "" if math.isinf(line.measured.half) else f" ± {line.measured.half:.2f}"
    return f"{line.measured.exponent:.2f}{half} ({line.predicted.exponent:.2f})"


def table1() -> str:
    """A Markdown table of the leading terms by step, and of the paper's entries."""
    rows = [
        "| space | method | leading terms of the steps, from the counts | the paper's table 1 |",
        "|---|---|---|---|",
    ]
    for (space, method), entry in leading.TABLE1.items():
        steps = leading.steps(method, space, paper_svd=True)
        told = "; ".join(f"{name} {leading.written(terms)}" for name, terms in steps.items() if terms)
        rows.append(f"| {space} | `{method}` | {told} | {leading.written(entry)} |")
    return "\n".join(rows)


def beyond() -> str:
    """A Markdown table of what the paper's leaves out: more methods, factors, memory."""
    rows = [
        "| method | full | KnOTS (thin SVD) | core, paper | ours, factors | ours, dense |",
        "|---|---|---|---|---|---|",
    ]
    for method in leading.METHODS:
        cells = [
            leading.leading(set().union(*leading.steps(method, space).values())) for space in ("full", "knots", "core")
        ]
        cells += [leading.leading(leading.ours(method, dense=dense)) for dense in (False, True)]
        rows.append(f"| `{method}` | {' | '.join(map(leading.written, cells))} |")
    held = [leading.memory_of(space, "naive") for space in ("full", "knots", "core")]
    held += [leading.memory_of("core", "ours", dense=dense) for dense in (False, True)]
    rows.append(f"| memory | {' | '.join(leading.written(leading.leading(terms)) for terms in held)} |")
    return "\n".join(rows)


def main() -> None:
    """Writes figures, CSV and tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    args = parser.parse_args()
    lines = laws(read(args.results))
    for method in dict.fromkeys(line.method for line in lines):
        print(*figure(method, lines, args.docs / "img"))
    (args.docs / "data").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(args.results, args.docs / "data" / "sweeps.csv")
    page = args.docs / "complexity.md"
    for name, text in (("table1", table1()), ("beyond", beyond()), ("exponents", exponents(lines))):
        markers.put(page, name, text)


if __name__ == "__main__":
    main()
