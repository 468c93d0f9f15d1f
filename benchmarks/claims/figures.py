"""The figures of docs/claims.md, each computed from a CSV or JSON file of the repository: {name: text}."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import mean, median

from benchmarks.accuracy.family import RECIPE, of_the_family
from benchmarks.accuracy.figures import of_the_bases
from benchmarks.accuracy.summary import Summary

ROOT = Path(__file__).parents[2]
PAPER, DATA, IMG = Path(__file__).parent / "paper", ROOT / "docs" / "data", ROOT / "docs" / "img"
SPACES = ("full", "knots", "core")
Rows = dict[tuple[str, str], dict[str, float]]


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def paper(name: str) -> Rows:
    """(method, space) → the paper's accuracies by task, "avg" among them; methods and spaces named as ours."""
    rows: Rows = {}
    for row in read(PAPER / f"{name}.csv"):
        method = row.pop("method").replace("DARE-TIES", "dare+ties").replace("-C", "").replace(" ", "").lower()
        space = row.pop("space").lower()
        rows[method, space] = {task: float(x) for task, x in row.items() if x not in ("", "-")}
    return rows


def methods(rows: Rows) -> list[str]:
    """Those with a figure in every space."""
    return [method for method in dict.fromkeys(m for m, _ in rows) if all((method, space) in rows for space in SPACES)]


def tasks(rows: Rows) -> list[str]:
    """Names of the columns that are tasks."""
    return [name for name in next(iter(rows.values())) if name not in ("avg", "time_s", "rel_time")]


def gain(rows: Rows, method: str, other: str = "full", leave_out: str = "") -> float:
    """Core space's points over another space's, mean over the tasks."""
    kept = [task for task in tasks(rows) if task != leave_out]
    return mean(rows[method, "core"][task] - rows[method, other][task] for task in kept)


def wins(rows: Rows, column: str = "avg") -> int:
    """For how many methods core space is ahead of both others."""
    return sum(
        rows[method, "core"][column] > max(rows[method, "full"][column], rows[method, "knots"][column])
        for method in methods(rows)
    )


def of_the_paper() -> Iterator[tuple[str, str]]:
    """What the published tables say."""
    for key, name in (
        ("b32", "vitb32_r16"), ("l14", "vitl14_r16"), ("nli", "llama_nli"), ("mixed", "vitb32_hetero_r16_r64"),
        ("vera", "vitb32_vera_r16"),
    ):  # fmt: skip
        rows = paper(name)
        cells = sum(wins(rows, task) for task in tasks(rows))
        yield f"{key}_wins", f"{wins(rows)} of {len(methods(rows))}"
        yield f"{key}_cells", f"{cells} of {len(tasks(rows)) * len(methods(rows))}"
        yield f"{key}_gain", f"{mean(gain(rows, method) for method in methods(rows)):.1f}"
        best = max((row["avg"], *cell) for cell, row in rows.items())
        yield f"{key}_best", f"`{best[1]}` in {best[2]} space, {best[0]:.1f}"
        yield f"{key}_losers", ", ".join(f"`{m}`" for m in methods(rows) if gain(rows, m) < 0) or "none"
    b32, nli = paper("vitb32_r16"), paper("llama_nli")
    yield "gtsrb_with", f"{gain(b32, 'ties+iso'):.1f}"
    yield "gtsrb_without", f"{gain(b32, 'ties+iso', leave_out='GTSRB'):.1f}"
    yield "gtsrb_all_with", f"{mean(gain(b32, m) for m in methods(b32)):.1f}"
    yield "gtsrb_all_without", f"{mean(gain(b32, m, leave_out='GTSRB') for m in methods(b32)):.1f}"
    yield "nli_iso_full", f"{nli['iso', 'full']['avg']:.1f}"
    yield "nli_iso_core", f"{nli['iso', 'core']['avg']:.1f}"
    yield "nli_ta", f"{nli['ta', 'full']['avg']:.1f}"
    yield "nli_null", f"{100 * (1 - 6 * 16 / 4096):.1f}"
    yield "paper_iso_knots", f"{nli['iso', 'knots']['rel_time']:.0f}"
    yield "paper_tsv_full", f"{nli['tsv', 'full']['rel_time']:.0f}"


def of_the_study() -> Iterator[tuple[str, str]]:
    """Core minus full space, paired by seed, at the paper's relative settings; and the absolute ones."""
    found = {recipe: Summary.of(recipe) for recipe in ("r16", "mixed", "vera")}
    for recipe, name in (("r16", "vitb32_r16"), ("mixed", "vitb32_hetero_r16_r64"), ("vera", "vitb32_vera_r16")):
        known, cells = paper(name), found[recipe].spaces
        lines, signs, against = [], [], []
        for method in methods(known):
            mode = "relative" if (method, "relative", "core") in cells else ""
            if (method, mode, "full") not in cells:
                continue
            difference = found[recipe].difference((method, mode, "core"), (method, mode, "full"))
            signs.append(difference.sign)
            lines.append(f"| `{method}` | {gain(known, method):+.1f} | {difference} |")
            if difference.sign < 0 < gain(known, method):
                against.append(f"`{method}` {difference} (paper {gain(known, method):+.1f})")
        yield f"{recipe}_paired", "\n".join(["| method | paper | ours |", "|---|---:|---:|", *lines])
        yield f"{recipe}_sure", f"{signs.count(1)} of {len(signs)}"
        yield f"{recipe}_under", f"{signs.count(-1)} of {len(signs)}"
        yield f"{recipe}_against", ", ".join(against) or "none"
        yield f"{recipe}_count_against", f"{len(against)} of {len(signs)}"
        yield f"{recipe}_seeds", str(len(found[recipe].single))
        yield f"{recipe}_absolute", f"{mean(cells['tsv+iso', 'absolute', 'core'].values()):.1f}"
        for space in ("full", "core"):
            yield f"{recipe}_relative_{space}", f"{mean(cells['tsv+iso', 'relative', space].values()):.1f}"
        yield f"{recipe}_ta", f"{mean(cells['ta', '', 'core'].values()):.1f}"
    yield from of_the_family(Summary.of(RECIPE), found["r16"])
    yield "basis_range", dict(of_the_bases(found["r16"]))["basis_ties_range"]
    yield "r16_apart", f"{max(float(row['which']) for row in found['r16'].part('checks')):.0e}"


def of_the_llama_layers() -> Iterator[tuple[str, str]]:
    """Ratios of processor times, medians over rounds."""
    seconds: dict[tuple[str, str, str], list[float]] = {}
    for row in read(DATA / "claims_llama.csv"):
        seconds.setdefault((row["layer"], row["method"], row["space"]), []).append(float(row["seconds"]))
    shapes = {row["layer"]: f"{row['m']} × {row['n']}" for row in read(DATA / "claims_llama.csv")}
    lines = [
        "| layer | method | full / core | KnOTS / core | full / ours | KnOTS / ours | rounds: dense, core |",
        "|---|---|" + "---:|" * 5,
    ]
    for layer, method in dict.fromkeys(key[:2] for key in seconds):
        ratios = {}
        for slow, fast in ((a, b) for b in ("core", "ours") for a in ("full", "knots")):
            ratios[slow, fast] = median(seconds[layer, method, slow]) / median(seconds[layer, method, fast])
            yield f"{layer}_{method}_{slow}_{fast}".replace("_proj", ""), f"{ratios[slow, fast]:.0f}"
        rounds = f"{len(seconds[layer, method, 'full'])}, {len(seconds[layer, method, 'core'])}"
        cells = " | ".join(f"{ratio:.0f}×" for ratio in ratios.values())
        lines.append(f"| {layer}, {shapes[layer]} | `{method}` | {cells} | {rounds} |")
    yield "llama_table", "\n".join(lines)


def of_the_demo() -> Iterator[tuple[str, str]]:
    """Losslessness and accuracies that `coremerge demo --json` reports."""
    result = json.loads((DATA / "claims_demo.json").read_text(encoding="utf-8"))
    core = {line["method"]: line for line in result["merged"] if line["space"] == "core"}
    yield "demo_lossless", f"{result['lossless']['core']:.0e}"
    yield "demo_layers", str(sum(size["layers"] for size in result["sizes"]))
    yield "demo_methods", str(len(core))
    best = max(core.values(), key=lambda line: line["normalised"])
    yield "demo_best", f"`{best['method']}`, {100 * best['normalised']:.1f} %"
    for method in ("ta", "tsv+iso"):
        yield f"demo_{method.replace('+', '_')}", f"{100 * core[method]['normalised']:.1f}"
    yield "demo_base", f"{100 * result['base']['normalised']:.1f}"


def of_truncation() -> Iterator[tuple[str, str]]:
    """Accuracy against components kept."""
    rows = read(DATA / "claims_truncation.csv")
    names = list(dict.fromkeys(row["method"] for row in rows))
    table = {(row["method"], int(row["kept"])): float(row["accuracy"]) for row in rows}
    kept = sorted({k for _, k in table})
    lines = [
        f"| kept | of core's size | of full's | {' | '.join(f'`{name}`' for name in names)} |",
        "|---:" * (3 + len(names)) + "|",
    ]
    for k in kept:
        core, full = next((row["share_of_core"], row["share_of_full"]) for row in rows if int(row["kept"]) == k)
        cells = " | ".join(f"{table[name, k]:.1f}" for name in names)
        lines.append(f"| {k} | {100 * float(core):.0f} % | {100 * float(full):.0f} % | {cells} |")
    yield "truncation_table", "\n".join(lines)
    for name in names:
        short = name.replace("+", "_")
        steps = [table[name, b] - table[name, a] for a, b in pairwise(kept)]
        enough = next(k for k in kept if table[name, k] >= table[name, kept[-1]] - 1)
        yield f"cut_{short}_half", f"{table[name, kept[-1]] - table[name, 16]:.1f}"
        yield f"cut_{short}_one", f"{table[name, kept[-1]] - table[name, 31]:.1f}"
        yield f"cut_{short}_enough", str(enough)
        yield f"cut_{short}_falls", f"{sum(step > 0 for step in steps)} of {len(steps)}"


def of_null_vectors() -> Iterator[tuple[str, str]]:
    """The ablation."""
    rows = read(DATA / "claims_null_vectors.csv")
    lines = ["| method | null vectors | size | full | KnOTS | core |", "|---|---|---|---:|---:|---:|"]
    keys = dict.fromkeys((row["method"], row["null_vectors"], row["size"]) for row in rows)
    cells = {(r["method"], r["null_vectors"], r["size"], r["space"]): r for r in rows}
    for key in keys:
        there = [cells[*key, space] for space in SPACES]
        shown = [f"{_distance(float(cell['distance']))} ({float(cell['accuracy']):.1f})" for cell in there]
        lines.append(f"| `{key[0]}` | {' | '.join([*key[1:], *shown])} |")
    yield "null_table", "\n".join(lines)
    for method in ("tsv", "iso", "tsv+iso", "cart"):
        for null, size in (("out", "absolute"), ("out", "relative"), ("in", "relative")):
            cell = cells[method, null, size, "full"]
            name = f"null_{method.replace('+', '_')}_{null}_{size}"
            yield f"{name}_accuracy", f"{float(cell['accuracy']):.1f}"
            yield f"{name}_distance", _distance(float(cell["distance"]))


def _distance(value: float) -> str:
    return "0" if value < 1e-9 else f"{value:.2f}"


def of_diagnostics() -> Iterator[tuple[str, str]]:
    """Alignment of the study's merged updates with the tasks."""
    rows = {(row["method"], row["space"]): float(row["alignment"]) for row in read(IMG / "diagnostics.csv")}
    for mode in ("relative", "absolute"):
        for space in ("full", "core"):
            yield f"aligned_{mode}_{space}", f"{rows[f'tsv:{mode}', space]:.3f}"
    yield "aligned_ties_full", f"{rows['ties', 'full']:.3f}"
    yield "aligned_ties_core", f"{rows['ties', 'core']:.3f}"


def of_complexity() -> Iterator[tuple[str, str]]:
    """Measured exponents of docs/complexity.md: how many are known how well, and what they say of the counts."""
    laws = read(DATA / "sweeps_laws.csv")
    verdicts = Counter(law["verdict"] for law in laws)
    yield "exponents", str(len(laws))
    yield "exponents_agree", str(sum(n for verdict, n in verdicts.items() if verdict.startswith("agrees")))
    yield "exponents_fixed", str(sum(n for verdict, n in verdicts.items() if verdict.startswith("not asymptotic yet")))
    for name, why in (("rates", "rate"), ("beside", "beside")):
        disagree = (n for verdict, n in verdicts.items() if verdict.startswith("disagrees") and why in verdict)
        yield f"exponents_{name}", str(sum(disagree))
    yield "exponents_undecided", str(verdicts["undecided"])
    page = (ROOT / "docs" / "complexity.md").read_text(encoding="utf-8")
    table = re.search(r"<!-- table1 -->\n(.*?)<!-- /table1 -->", page, re.DOTALL)
    if table is None:
        raise ValueError("docs/complexity.md: expected its table 1 between markers")
    yield "table1", str(len(table[1].strip().splitlines()) - 2)


def figures() -> dict[str, str]:
    """All of them."""
    parts = (
        of_the_paper, of_the_study, of_the_llama_layers, of_the_demo, of_truncation, of_null_vectors, of_diagnostics,
        of_complexity,
    )  # fmt: skip
    return {name: text for part in parts for name, text in part()}
