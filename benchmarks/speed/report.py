"""Puts the measured speeds into docs/speed.md, between their markers.

    python -m benchmarks.speed.report [--results build/bench] [--docs docs]

Reads goals.json, llama.json and gpu.json of the results folder; a file that is missing leaves its table as it is.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import markers
from benchmarks.speed.goals import Case, Row, cells


def goals(found: dict[str, Any]) -> str:
    """The table of goals."""
    head = "layer | method | paper | optimized | ours, torch | ours, NumPy | ratio | 95 % | goal | error (paper's)"
    lines = [f"| {head} |", "|---" * head.count("|") + "|---|"]
    for row in found["rows"]:
        made = Row(**{**row, "case": Case(**row["case"]), "interval": tuple(row["interval"])})
        lines.append(f"| {' | '.join(cells(made))} |")
    dense = found["dense"]
    shares = [f"{dense[name] / dense['product']:.2f} in {name}" for name in ("float64", "float32")]
    return "\n".join([*lines, "", f"Forming the dense matrix, in units of one n²Tr product: {', '.join(shares)}."])


def llama(found: dict[str, Any]) -> str:
    """The whole-model line."""
    size = found["input"] / 2**20
    return (
        "| input | output | wall time | goal | peak memory | times the input | goal |\n|---|---|---|---|---|---|---|\n"
        f"| {size:.0f} MiB | {found['output'] / 2**20:.0f} MiB | {found['seconds']:.2f} s | 6 s | "
        f"{found['peak'] / 2**20:.0f} MiB | {found['peak'] / found['input']:.2f} | 2.5 |"
    )


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


TABLES: dict[str, Callable[[Any], str]] = {"goals": goals, "llama": llama, "gpu": gpu}


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
