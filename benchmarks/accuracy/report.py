"""Tables and figures of what the cache folder holds."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.accuracy import plots, summary, tables, train

TITLES = {"r16": "LoRA of rank 16", "mixed": "LoRA of ranks 4, 8, 16 and 64", "vera": "VeRA"}
BEGIN, END = "<!-- tables: written by benchmarks.accuracy -->", "<!-- end of tables -->"


def write(
    cache: Path, out: Path | None = None, page: Path | None = None, recipes: Sequence[str] = tuple(train.RECIPES)
) -> None:
    """Prints the tables; puts figures and a CSV file in `out`, and the tables between the marks of `page`."""
    parts: list[str] = []
    everything = []
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    for recipe in recipes:
        found = summary.rows(cache, recipe)
        if not found:
            continue
        everything += found
        seeds = sorted({len(row.avg) for row in found})
        parts += [f"### {TITLES[recipe]}, {' or '.join(map(str, seeds))} seed{'s' * (seeds[-1] > 1)}"]
        parts += [tables.singles(cache, recipe), tables.beside_paper(found), tables.both_modes(found)]
        if out is not None:
            plots.beside_paper(found, out / f"accuracy_{recipe}.svg", f"here: MiniLM-L6, eight text tasks ({recipe})")
            if tables.both_modes(found):
                plots.both_modes(found, out / f"accuracy_{recipe}_sizes.svg")
    for path in sorted((cache / "results").glob("*-basis.json")):
        rotations = json.loads(path.read_text(encoding="utf-8"))
        if not rotations:
            continue
        parts += [f"### Random bases, {path.stem.removesuffix('-basis').replace('-', ', ')}", tables.basis(rotations)]
        if out is not None:
            plots.basis(rotations, out / "accuracy_basis.svg")
    text = "\n\n".join(filter(None, parts))
    print(text)
    if out is not None:
        summary.write_csv(out / "accuracy.csv", everything)
    if page is not None:
        put_into(page, text)


def put_into(page: Path, text: str) -> None:
    """Replaces what stands between the marks of the page."""
    marked = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    before = page.read_text(encoding="utf-8")
    if not marked.search(before):
        raise ValueError(f"{page}: expected the marks {BEGIN!r} and {END!r}")
    page.write_text(marked.sub(lambda _: f"{BEGIN}\n\n{text}\n\n{END}", before), encoding="utf-8")
