"""Puts the measured speeds into docs/speed.md, between their markers.

    python -m benchmarks.speed.report [--results build/bench] [--docs docs]

Reads goals.json, llama.json, users.json and gpu.json of the results folder; a file that is missing leaves its table
as it is.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import markers
from benchmarks.speed import users as users_module
from benchmarks.speed.explaining import GOAL
from benchmarks.speed.goals import Case, Row, cells
from benchmarks.speed.paired import Paired


def goals(found: dict[str, Any]) -> str:
    """The table of goals."""
    head = "layer | method | paper | optimized | ours, torch | ours, NumPy | ours, calls alone | ratio | 95 % | goal"
    head += " | error (paper's)"
    lines = [f"| {head} |", "|---" * head.count("|") + "|---|"]
    for row in found["rows"]:
        made = Row(**{**row, "case": Case(**row["case"]), "interval": tuple(row["interval"])})
        lines.append(f"| {' | '.join(cells(made))} |")
    dense = found["dense"]
    shares = [f"{dense[name] / dense['product']:.2f} in {name}" for name in ("float64", "float32")]
    return "\n".join([*lines, "", f"Forming the dense matrix, in units of one n²Tr product: {', '.join(shares)}."])


def llama(found: dict[str, Any]) -> str:
    """The whole-model line."""
    mebi = {name: found[name] / 2**20 for name in ("input", "output", "peak")}
    head = "layers | input | output | processor time | the floor's | ratio | least to most | goal | wall time"
    head += " | peak memory | times the input | goal"
    cells = [
        str(found["layers"]), f"{mebi['input']:.0f} MiB", f"{mebi['output']:.0f} MiB", f"{found['seconds']:.2f} s",
        f"{found['floor']:.2f} s", f"{found['ratio']:.2f}", f"{found['low']:.2f}–{found['high']:.2f}",
        f"1.3 {_mark(found['ratio'] <= 1.3)}", f"{found['wall']:.1f} s", f"{mebi['peak']:.0f} MiB",
        f"{found['peak'] / found['input']:.2f}", f"2.5 {_mark(found['peak'] <= 2.5 * found['input'])}",
    ]  # fmt: skip
    return f"| {head} |\n{'|---' * len(cells)}|\n| {' | '.join(cells)} |"


def _mark(reached: bool) -> str:
    return "✓" if reached else "✗"


def users(found: dict[str, Any]) -> str:
    """One line a merge: its time, and how many times as long as ours of the same row it takes."""
    times = Paired(found["seconds"])
    lines = ["| merge | what it computes | time | times ours | least to most |", "|---|---|---:|---:|---|"]
    for name in found["seconds"]:
        beside = users_module.BESIDE.get(name)
        ratio = "– | –"
        if beside is not None:
            low, high = times.spread(name, beside)
            ratio = f"{times.ratio(name, beside):.1f}× `{beside}` | {low:.1f}–{high:.1f}"
        lines.append(f"| {name} | {users_module.WHAT[name]} | {1e3 * times.median(name):.0f} ms | {ratio} |")
    packages = ", ".join(f"{package} {version}" for package, version in found["versions"].items())
    return "\n".join([*lines, "", f"{found['width']}², T = {found['T']}, r = {found['r']}; {packages}."])


def explaining(found: dict[str, Any]) -> str:
    """One line a method: the two commands, and how many times the merge's processor time explain takes."""
    lines = ["| method | merge | explain | ratio | least to most | goal |", "|---|---:|---:|---:|---|---|"]
    for method, seconds in found["seconds"].items():
        times = Paired(seconds)
        ratio, (low, high) = times.ratio("explain", "merge"), times.spread("explain", "merge")
        cells = [f"`{method}`", *(f"{times.median(name):.2f} s" for name in ("merge", "explain")), f"{ratio:.2f}"]
        cells += [f"{low:.2f}–{high:.2f}", f"{GOAL:g} {_mark(ratio < GOAL)}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"{found['layers']} layers, {found['tasks']} adapters of rank {found['rank']}."])


DENSE = ("full tsv", "full iso", "knots tsv")


def gpu(found: list[dict[str, Any]]) -> str:
    """One line for each library and method."""
    head = "library, card | method | ours | paper's | paper's, batched | full TSV | full Iso-C | KnOTS TSV | from NumPy"
    lines = [f"| {head} |", "|---" * head.count("|") + "|---|"]
    for card in found:
        for method, times in card["methods"].items():
            others = [times["paper"], times["paper, batched"], *(card["dense"].get(name) for name in DENSE)]
            ratios = " | ".join("–" if other is None else f"{other / times['ours']:.1f}×" for other in others)
            who = f"{card['library']}, {card['card']}"
            lines.append(f"| {who} | `{method}` | {times['ours']:.3f} s | {ratios} | {times['parity']:.0f} eps |")
    return "\n".join(lines) if found else "No GPU was at hand when these pages were made."


TABLES: dict[str, Callable[[Any], str]] = {
    "goals": goals,
    "llama": llama,
    "users": users,
    "explaining": explaining,
    "gpu": gpu,
}


def main() -> None:
    """Fills the page in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("build/bench"))
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    args = parser.parse_args()
    for name, table in TABLES.items():
        path = args.results / f"{name}.json"
        if path.exists():
            markers.put(args.docs / "speed.md", name, table(json.loads(path.read_text())))


if __name__ == "__main__":
    main()
