"""The sweeps as figures and as Markdown tables.

    python -m benchmarks.complexity.figures [--data docs/data] [--docs docs]

Reads sweeps.csv, sweeps_calls.csv and sweeps_memory.csv, and copies them to docs/data. Writes docs/img/sweep-METHOD.svg
and docs/data/sweeps_laws.csv with every fit, and puts tables of counts, exponents and conclusions between their markers
in docs/complexity.md.
"""

import argparse
import csv
import math
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import markers
from benchmarks.complexity import leading, peaks, points, replay, sweeps
from benchmarks.complexity.conclusions import MEANINGS, VERDICTS, Law, law
from benchmarks.complexity.points import ALGORITHMS, AXES, OURS, OURS_DENSE, OURS_FULL, OURS_KNOTS, SQUARE, Point

LABELS = {"n": "width n", "r": "rank r", "T": "tasks T"}
LOOK = {
    OURS: ("tab:blue", "-", "o"), OURS_DENSE: ("tab:cyan", "-", "s"), OURS_KNOTS: ("tab:purple", "-", "P"),
    OURS_FULL: ("tab:pink", "-", "*"), "core": ("tab:orange", "--", "^"), "core, optimized": ("tab:olive", "--", "v"),
    "knots": ("tab:green", ":", "D"), "full": ("tab:red", ":", "x"),
}  # fmt: skip


def laws(data: Path, quick: bool = False) -> list[Law]:
    """The law of each line of the sweeps all of whose points are in sweeps.csv."""
    measured, known = sweeps.least(sweeps.read(data / "sweeps.csv")), replay.least(data / "sweeps_calls.csv")

    def alone(point: Point) -> float:
        calls = point.calls()
        return sum(known[call] * times for call, times in calls.items()) if known.keys() >= calls.keys() else math.nan

    lines = [line for line in points.lines(quick) if all(point in measured for point in line)]
    return [law(line, measured, calls=alone) for line in lines]


def memory_laws(data: Path, quick: bool = False) -> list[Law]:
    """The law of each line of sweeps_memory.csv, bytes in the place of seconds."""
    measured = peaks.read(data / "sweeps_memory.csv")
    lines = [line for line in peaks.lines(quick) if all(point in measured for point in line)]
    return [law(line, measured, cost=peaks.held) for line in lines]


def figure(method: str, found: Sequence[Law], folder: Path) -> Path:
    """One row of panels, an axis each: measured points of square layers, and the law through them."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "coremerge"  # the same file for the same numbers
    made, panels = plt.subplots(1, 3, figsize=(12, 4), sharey=True, layout="constrained")
    shown: dict[str, None] = {}
    for panel, axis in zip(panels, LABELS, strict=True):
        for one in found:
            point = one.points[0]
            if (point.axis, point.method, point.shape) != (axis, method, SQUARE):
                continue
            shown[point.algorithm] = None
            color, style, marker = LOOK[point.algorithm]
            x = [p.at for p in one.points]
            panel.plot(x, one.seconds, marker, color=color, markersize=5)
            panel.plot(x, [one.measured.at(v) for v in x], style, color=color, linewidth=1)
        panel.set(xscale="log", yscale="log", xlabel=LABELS[axis])
        panel.xaxis.set_major_locator(mpl.ticker.LogLocator(base=2))
        panel.xaxis.set_major_formatter("{x:.0f}")
        panel.xaxis.set_minor_locator(mpl.ticker.NullLocator())
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("processor seconds")
    handles = [
        mpl.lines.Line2D([], [], color=LOOK[a][0], linestyle=LOOK[a][1], marker=LOOK[a][2], label=a) for a in shown
    ]
    made.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    made.suptitle(f"{method}: one n × n layer; points measured, lines fitted")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"sweep-{method}.svg"
    made.savefig(path, metadata={"Date": None})
    plt.close(made)
    return path


def exponents(found: Iterable[Law]) -> str:
    """A Markdown table: for every line the measured exponent, the counts' there and in the limit, and the verdict."""
    cells = {one.points[0].line: one for one in found}
    rows = ["| algorithm | method | layer | in n | in r | in T |", "|---|---|---|---|---|---|"]
    for algorithm in ALGORITHMS:
        for method, shape in dict.fromkeys((m, s) for _, m, a, s in cells if a == algorithm):
            row = [_cell(cells.get((axis, method, algorithm, shape))) for axis in AXES]
            rows.append(f"| {algorithm} | `{method}` | {shape} | {' | '.join(row)} |")
    return "\n".join(rows)


def _cell(one: Law | None) -> str:
    if one is None:
        return "–"
    fit = one.measured
    return f"{fit.exponent:z.2f} ± {fit.half:z.2f} ({one.counted:z.2f} → {one.limit:z.2f}) {one.verdict}"


def conclusions(found: Iterable[Law]) -> str:
    """A Markdown table: for every algorithm and axis, what time over counts and over calls do, and the verdicts."""
    groups: dict[tuple[str, str], list[Law]] = {}
    for one in found:
        groups.setdefault((one.points[0].algorithm, one.points[0].axis), []).append(one)
    rows = [
        "| algorithm | axis | lines | time / counts | time / calls | calls' share of the time | conclusion |",
        "|---|---|---:|---|---|---|---|",
    ]
    for (algorithm, axis), group in sorted(
        groups.items(), key=lambda g: (ALGORITHMS.index(g[0][0]), AXES.index(g[0][1]))
    ):
        over = [one.over_counts.exponent for one in group]
        calls = [one.over_calls.exponent for one in group if one.over_calls is not None]
        shares = [[one.shares[i] for one in group if one.shares[i] > 0] for i in range(2)]
        told = f"{_percent(shares[0])} → {_percent(shares[1])}" if all(shares) else "–"
        rows.append(
            f"| {algorithm} | {axis} | {len(group)} | {_range(over)} | {_range(calls)} | {told} | {verdicts(group)} |"
        )
    return "\n".join(rows)


def verdicts(group: Iterable[Law]) -> str:
    """How many lines came to which verdict, the most frequent first."""
    counts = Counter(one.verdict for one in group)
    return ", ".join(f"{counts[v]} {v}" for v in sorted(counts, key=lambda v: (-counts[v], VERDICTS.index(v))))


def summary(found: Sequence[Law]) -> str:
    """How many exponents are known how well, and the verdicts in words."""
    counts = Counter(one.verdict for one in found)
    narrow = sum(one.measured.half < sweeps.NARROW for one in found)
    over = sum(one.over_counts.half < sweeps.NARROW for one in found)
    words = "; ".join(f"{v} {MEANINGS[v]}: {counts[v]}" for v in VERDICTS if counts[v])
    known = f"{narrow} have an exponent known to ± {sweeps.NARROW} or better, {over} one of time over counts"
    return f"Of {len(found)} lines {known}. {words}."


def _range(values: Sequence[float]) -> str:
    return f"{min(values):+z.2f} to {max(values):+z.2f}" if values else "–"


def _percent(values: Sequence[float]) -> str:
    low, high = (round(100 * x) for x in (min(values), max(values)))
    return f"{low}–{high} %" if low < high else f"{low} %"


def memory_table(found: Iterable[Law]) -> str:
    """As `exponents`, of bytes, with bytes over what must be held at the largest point."""
    cells = {one.points[0].line: one for one in found}
    rows = ["| algorithm | method | in n | in r | in T | peak / held |", "|---|---|---|---|---|---|"]
    for algorithm, method in dict.fromkeys((a, m) for _, m, a, _ in cells):
        mine = [cells.get((axis, method, algorithm, SQUARE)) for axis in AXES]
        ratios = [one.seconds[-1] / peaks.held(one.points[-1]) for one in mine if one is not None]
        told = f"{min(ratios):.1f}–{max(ratios):.1f}"
        rows.append(f"| {algorithm} | `{method}` | {' | '.join(map(_cell, mine))} | {told} |")
    return "\n".join(rows)


def write_laws(path: Path, found: Iterable[Law]) -> None:
    """Every fit as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        head = "axis method algorithm shape exponent half counts limit over_counts over_counts_half over_calls"
        head += " over_calls_half share_first share_last verdict"
        writer.writerow(head.split())
        for one in found:
            fits = [one.over_counts, one.over_calls]
            ratios = [x for f in fits for x in ((f.exponent, f.half) if f else (math.nan, math.nan))]
            numbers = [one.measured.exponent, one.measured.half, one.counted, one.limit, *ratios, *one.shares]
            told = ["" if math.isnan(x) else f"{x:z.3f}" for x in numbers]
            writer.writerow([*one.points[0].line, *told, MEANINGS[one.verdict]])


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


def tables(data: Path, quick: bool = False) -> dict[str, str]:
    """What stands between the page's markers, by name."""
    found, memory = laws(data, quick), memory_laws(data, quick)
    return {
        "table1": table1(), "beyond": beyond(), "summary": summary(found), "conclusions": conclusions(found),
        "exponents": exponents(found), "memory": memory_table(memory),
    }  # fmt: skip


def main() -> None:
    """Writes figures, CSV and tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="of the lines that --quick measures")
    parser.add_argument("--data", type=Path, default=Path("docs/data"), help="where the CSVs are")
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    args = parser.parse_args()
    found = laws(args.data, args.quick)
    for method in dict.fromkeys(one.points[0].method for one in found):
        print(figure(method, found, args.docs / "img"))
    committed = args.docs / "data"
    committed.mkdir(parents=True, exist_ok=True)
    for name in ("sweeps", "sweeps_calls", "sweeps_memory"):
        if args.data.resolve() != committed.resolve():
            shutil.copyfile(args.data / f"{name}.csv", committed / f"{name}.csv")
    write_laws(committed / "sweeps_laws.csv", found)
    for name, text in tables(args.data, args.quick).items():
        markers.put(args.docs / "complexity.md", name, text)


if __name__ == "__main__":
    main()
