"""Tables and figures of what the cache folder holds."""

import json
from pathlib import Path

from benchmarks.accuracy import plots, summary, tables, train


def write(cache: Path, out: Path | None) -> None:
    """Prints the tables; with `out`, writes accuracy.csv, accuracy.md and the figures there too."""
    parts, everything = [], []
    for recipe in train.RECIPES:
        found = summary.rows(cache, recipe)
        if not found:
            continue
        everything += found
        count = len(found[0].avg)
        parts.append(f"## {recipe}, {count} seed{'s' * (count > 1)}")
        parts += [tables.singles(cache, recipe), tables.beside_paper(found), tables.both_modes(found)]
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            plots.beside_paper(found, out / f"accuracy_{recipe}.svg", f"here: MiniLM-L6, eight text tasks ({recipe})")
            if tables.both_modes(found):
                plots.both_modes(found, out / f"accuracy_{recipe}_sizes.svg")
    for path in sorted((cache / "results").glob("*-basis.json")):
        found_basis = json.loads(path.read_text())
        parts += [f"## basis, {path.stem.removesuffix('-basis')}", tables.basis(found_basis)]
        if out is not None:
            plots.basis(found_basis, out / "accuracy_basis.svg")
    text = "\n\n".join(filter(None, parts))
    print(text)
    if out is not None:
        (out / "accuracy.md").write_text(text + "\n", encoding="utf-8")
        summary.write_csv(out / "accuracy.csv", everything)
