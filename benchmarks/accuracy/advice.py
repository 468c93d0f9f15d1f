"""What docs/which.md and docs/faq.md say of the study: {name: text}, put between marks that name it."""

import re
from collections.abc import Iterator
from statistics import mean, stdev

from benchmarks.accuracy import tables
from benchmarks.accuracy.figures import listed, of_alpha
from benchmarks.accuracy.methods import ABSOLUTE, ELEMENTWISE, RELATIVE
from benchmarks.accuracy.summary import BySeed, Summary, spread

MARKED = re.compile(r"(<!-- study (\w+) -->).*?(<!-- /study -->)", re.DOTALL)
RULES = {"one": "α = 1"}


def in_core(found: Summary) -> dict[tuple[str, str], BySeed]:
    """Methods and modes as this package has them, in core space."""
    return {(m, mode): by for (m, mode, space), by in found.spaces.items() if space == "core" and mode != RELATIVE}


def method_table(r16: Summary, mixed: Summary, vera: Summary) -> str:
    """Normalized accuracy in core space, best first; α searched, and by rules that need no data."""
    cells = r16.by_seed("alpha", ("method", "mode", "which"))
    others = in_core(mixed), in_core(vera)
    lines = []
    for (method, mode), by in sorted(in_core(r16).items(), key=lambda item: -mean(item[1].values())):
        rules = [cells.get((method, mode, rule)) for rule in RULES]
        more = [*rules, *(other.get((method, mode)) for other in others)]
        lines.append([f"`{method}`", spread(by.values()), *(spread(x.values()) if x else tables.DASH for x in more)])
    return tables.markdown(["method", "rank 16, α searched", *RULES.values(), "mixed ranks", "VeRA"], lines)


def space_table(r16: Summary) -> str:
    """TIES and DARE with TIES by space."""
    titles = {space: title for space, title in tables.TITLES.items() if space != "knots"}
    lines = [
        [f"`{method}`", *(spread(by.values()) if by else tables.DASH for by in row)]
        for method in ELEMENTWISE
        for row in ([r16.spaces.get((method, "", space)) for space in titles],)
    ]
    return tables.markdown(["method", *titles.values()], lines)


def advice(r16: Summary, mixed: Summary, vera: Summary) -> Iterator[tuple[str, str]]:
    """Tables, and numbers inside sentences."""
    yield "methods", method_table(r16, mixed, vera)
    yield "spaces", space_table(r16)
    means = [mean(by.values()) for by in in_core(r16).values()]
    yield "range", f"{min(means):.0f} to {max(means):.0f} %"
    spreads = [stdev(by.values()) for by in r16.spaces.values()]
    yield "spreads", f"{min(spreads):.1f} to {max(spreads):.1f}"
    yield (
        "seeds",
        f"{len(r16.single)} seeds; mixed ranks (4, 8, 16, 64) and VeRA: {len(mixed.single)} and {len(vera.single)}",
    )
    for recipe, found in (("r16", r16), ("mixed", mixed), ("vera", vera)):
        over = {cell: found.difference((*cell, "core"), ("ta", "", "core")) for cell in in_core(found)}
        for word, sign in (("above", 1), ("below", -1)):
            names = [f"`{m}` ({d})" for (m, _), d in over.items() if d.sign == sign]
            yield f"{recipe}_{word}", ", ".join(names) or "none"
    yield from alphas(r16)


def alphas(found: Summary) -> Iterator[tuple[str, str]]:
    """Without an evaluation, method by method."""
    figures = dict(of_alpha(found))
    names = ("blind", "blind_figure", "blind_ta", "one_costs", "orthogonal_lose", "others_lose")
    yield from ((name, figures[name]) for name in names)
    yield "alpha_seeds", str(len({row["seed"] for row in found.part("alpha")}))
    yield "default", spread(found.by_seed("alpha", ("method", "mode", "which"))["tsv", ABSOLUTE, "one"].values())
    yield "default_cost", str(tables.rule_cost(found, "tsv", ABSOLUTE, "one"))
    rows = [row for row in found.part("spaces") if row["space"] == "core" and row["mode"] != RELATIVE]
    values = [float(row["alpha"]) for row in rows]
    yield "alphas", f"{min(values):.2f} to {max(values):.2f}"
    by_size: dict[str, list[str]] = {}
    for method, mode in dict.fromkeys((row["method"], row["mode"]) for row in rows):
        by_size.setdefault(tables.sizes(found, method, mode), []).append(method)
    yield "sizes", "; ".join(f"{size} for {listed(by_size[size])}" for size in sorted(by_size))


def put_into(page: str, found: dict[str, str]) -> str:
    """The page with what stands between its marks, tables on lines of their own; KeyError for a name not there."""

    def filled(match: re.Match[str]) -> str:
        text = found[match[2]]
        return match[1] + (f"\n{text}\n" if text.startswith("|") else text) + match[3]

    return MARKED.sub(filled, page)
