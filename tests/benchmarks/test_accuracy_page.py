"""The accuracy page: it is what the raw results give, and figures it quotes come out of the CSV by plain arithmetic."""

import csv
import re
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev

import pytest

pytest.importorskip("matplotlib")
from benchmarks.accuracy import figures, report

DATA = Path(__file__).parents[2] / "docs" / "data"
PAGE = report.PAGE.read_text(encoding="utf-8")
TASKS = ("scipy", "library", "section", "type", "exception", "language", "symbol", "sentiment")
T95 = {5: 2.776445, 3: 4.302653}  # Student's t at 97.5 %, by number of seeds
SEEDS = {"r16": 5, "mixed": 3, "vera": 3, "family": 5}
OWN = ("r16", "mixed", "vera")


def read(recipe: str) -> list[dict[str, str]]:
    with (DATA / f"accuracy_{recipe}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def normalized(recipe: str) -> dict[tuple[str, str, str], list[float]]:
    """Method, mode and space → accuracy in percent of the single adapters', by seed."""
    rows = read(recipe)
    single = {r["seed"]: r for r in rows if r["part"] == "singles" and r["method"] == "single" and not r["space"]}
    found = defaultdict(dict)
    for row in rows:
        if row["part"] == "spaces":
            ratios = [100 * float(row[task]) / float(single[row["seed"]][task]) for task in TASKS]
            found[row["method"], row["mode"], row["space"]][row["seed"]] = mean(ratios)
    return {cell: [by[seed] for seed in sorted(by)] for cell, by in found.items()}


def test_the_page_is_what_the_results_give() -> None:
    assert report.page() == PAGE, "run: python -m benchmarks.accuracy.report"


@pytest.mark.parametrize("recipe", SEEDS)
def test_every_setting_has_every_seed_once(recipe: str) -> None:
    assert {len(values) for values in normalized(recipe).values()} == {SEEDS[recipe]}
    keys = [tuple(row[c] for c in ("part", "seed", "method", "mode", "space", "which")) for row in read(recipe)]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("recipe", SEEDS)
def test_a_thousand_texts_a_task(recipe: str) -> None:
    for row in read(recipe):
        if row["part"] == "spaces":
            assert all(abs(float(row[task]) * 10 - round(float(row[task]) * 10)) < 1e-3 for task in TASKS)


@pytest.mark.parametrize("recipe", OWN)
def test_tables_and_intervals_by_plain_arithmetic(recipe: str) -> None:
    cells, found = normalized(recipe), figures.figures()
    for method, mode in (("ties", ""), ("tsv+iso", "relative")):
        for space in ("full", "core"):
            values = cells[method, mode, space]
            assert f" {mean(values):.1f} ± {stdev(values):.1f} |" in found[f"{recipe}_spaces"], (method, space)
        gains = [a - b for a, b in zip(cells[method, mode, "core"], cells[method, mode, "full"], strict=True)]
        half = T95[len(gains)] * stdev(gains) / len(gains) ** 0.5
        assert f"| {mean(gains):+.1f} ± {half:.1f} |" in found[f"{recipe}_differences"], method
    best = max((cell for cell in cells if cell[1] != "relative"), key=lambda cell: mean(cells[cell]))
    assert f"`{best[0]}`" in found[f"{recipe}_best"]
    assert found[f"{recipe}_best_figure"] == f"{mean(cells[best]):.1f} ± {stdev(cells[best]):.1f}"


def interval(one: list[float], other: list[float]) -> tuple[float, float]:
    gains = [a - b for a, b in zip(one, other, strict=True)]
    return mean(gains), T95[len(gains)] * stdev(gains) / len(gains) ** 0.5


def sign(gain: float, half: float) -> int:
    return 0 if abs(gain) <= half else 1 if gain > 0 else -1


def test_the_second_familys_tables_by_plain_arithmetic() -> None:
    found, both = figures.figures(), (normalized("family"), normalized("r16"))
    for method, mode in (("ties", ""), ("tsv", "relative"), ("iso", "relative"), ("tsv+iso", "relative")):
        row, shown = "", ""
        for cells in both:
            for space in ("full", "knots", "core"):
                values = cells[method, mode, space]
                row += f" {mean(values):.1f} ± {stdev(values):.1f} |"
        for space in ("full", "knots"):
            for cells in both:
                shown += " {:+.1f} ± {:.1f} |".format(
                    *interval(cells[method, mode, "core"], cells[method, mode, space])
                )
        name = f"`{method}`" + f", {mode}" * bool(mode)
        assert f"| {name} |{row}" in found["family_spaces"]
        assert f"| {name} |{shown}" in found["family_differences"]
    for method in ("tsv", "iso", "tsv+iso"):
        costs = [interval(cells[method, "absolute", "core"], cells[method, "relative", "full"]) for cells in both]
        expected = "{:+.1f} ± {:.1f} (MiniLM: {:+.1f} ± {:.1f})".format(*costs[0], *costs[1])
        assert found[f"family_{method.replace('+', '_')}_cost"] == expected


def test_whether_the_order_of_methods_repeats_by_plain_arithmetic() -> None:
    found, both = figures.figures(), (normalized("family"), normalized("r16"))
    cells = [("ta", "", "core"), ("ties", "", "core"), *((m, "absolute", "core") for m in ("tsv", "iso", "tsv+iso"))]
    for name, values in zip(("family_order", "family_first_order"), both, strict=True):
        order = sorted(cells, key=lambda cell: mean(values[cell]), reverse=True)
        assert re.findall(r"`(\S+)`", found[name]) == [method for method, _, _ in order]
    kept = decided = agree = 0
    for one, other in combinations(cells, 2):
        (ours, ours_half), (theirs, theirs_half) = (interval(v[one], v[other]) for v in both)
        kept += (ours > 0) == (theirs > 0)
        signs = sign(ours, ours_half), sign(theirs, theirs_half)
        decided += all(signs)
        agree += all(signs) and signs[0] == signs[1]
    names = ("family_pairs", "family_pairs_kept", "family_pairs_decided", "family_pairs_agree")
    assert [found[name] for name in names] == ["10", str(kept), str(decided), str(agree)]


def test_whether_core_minus_full_repeats_by_plain_arithmetic() -> None:
    found, both = figures.figures(), (normalized("family"), normalized("r16"))
    words, means = {"same": [], "opposite": [], "open": []}, 0
    for method, mode in (("ties", ""), ("tsv", "relative"), ("iso", "relative"), ("tsv+iso", "relative")):
        gains = [interval(cells[method, mode, "core"], cells[method, mode, "full"]) for cells in both]
        signs = [sign(*gain) for gain in gains]
        word = "open" if 0 in signs else "same" if signs[0] == signs[1] else "opposite"
        words[word].append(method)
        means += (gains[0][0] > 0) == (gains[1][0] > 0)
    for word, names in words.items():
        assert re.findall(r"`(\S+)`", found[f"family_{word}"]) == names
    assert found["family_means_same"] == f"{means} of 4"


def test_which_methods_are_over_the_plain_sum_in_the_second_family_by_plain_arithmetic() -> None:
    found, cells = figures.figures(), normalized("family")
    others = [("ties", ""), *((method, "absolute") for method in ("tsv", "iso", "tsv+iso"))]
    signs = {m: sign(*interval(cells[m, mode, "core"], cells["ta", "", "core"])) for m, mode in others}
    for word, wanted in (("above", 1), ("below", -1)):
        assert re.findall(r"`(\S+)`", found[f"family_{word}"]) == [m for m, s in signs.items() if s == wanted]


def test_every_figure_on_the_page_has_its_name() -> None:
    used = set(re.findall(r"{(\w+)}", report.TEXT.read_text(encoding="utf-8")))
    assert used <= figures.figures().keys()


def test_the_images_are_there() -> None:
    for image in re.findall(r"\((img/[\w.]+)\)", PAGE):
        assert (report.PAGE.parent / image).exists(), image
