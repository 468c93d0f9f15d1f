"""The figures and sentences of docs/accuracy.md, each computed from the CSV files of raw results: {name: text}."""

from collections.abc import Iterator
from pathlib import Path
from statistics import mean

from benchmarks.accuracy import family, methods, results, summary, tables, tasks
from benchmarks.accuracy.methods import ABSOLUTE, RELATIVE
from benchmarks.accuracy.summary import Interval, Summary, spread

RECIPES = ("r16", "mixed", "vera")
ORTHOGONALIZED, ADDED = ("tsv", "iso", "tsv+iso"), ("ta", "ties", "cart", "karcher")
RULE_WORDS = {
    "one": "α = 1",
    "mean": "α = 1/T",
    "norm": "the size of a task's update",
    "sum": "the size of the sum",
}
Pairs = Iterator[tuple[str, str]]


def listed(names: list[str]) -> str:
    """`a`, `b` and `c`."""
    shown = [f"`{name}`" for name in names]
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1]))) if shown else "none"


def of_a_recipe(found: Summary) -> Pairs:
    """Its tables, and how core space compares with the others."""
    name = found.recipe
    yield f"{name}_seeds", str(len(found.single))
    yield f"{name}_singles", tables.singles(found)
    yield f"{name}_spaces", tables.spaces(found)
    yield f"{name}_differences", tables.differences(found)
    yield f"{name}_nulls", tables.null_vectors(found)
    yield f"{name}_sampling", f"{mean(found.sampling(row) for row in found.part('spaces')):.1f}"
    theirs = summary.paper(name)
    compared = [(m, mode) for m, mode in tables.compared(found) if (m, "core") in theirs]
    against = {m: found.difference((m, mode, "core"), (m, mode, "full")) for m, mode in compared}
    gains = {m: theirs[m, "core"] - theirs[m, "full"] for m in against}
    yield f"{name}_compared", str(len(against))
    yield f"{name}_gain", f"{mean(d.mean for d in against.values()):+.1f}"
    yield f"{name}_paper_gain", f"{mean(gains.values()):+.1f}"
    for word, sign in (("above", 1), ("below", -1), ("open", 0)):
        chosen = [m for m, d in against.items() if d.sign == sign]
        yield f"{name}_{word}", listed(chosen)
        yield f"{name}_{word}_count", str(len(chosen))
    yield f"{name}_reversed", listed([m for m, d in against.items() if d.sign < 0 < gains[m]])
    ours = [cell for cell in found.spaces if cell[1] != RELATIVE]
    best = max(ours, key=lambda cell: mean(found.spaces[cell].values()))
    yield f"{name}_best", tables.named(best[0], best[1]) + ("" if best[1] == ABSOLUTE else f" in {best[2]} space")
    yield f"{name}_best_figure", spread(found.spaces[best].values())
    yield f"{name}_ta", spread(found.spaces["ta", "", "core"].values())
    for method in ("tsv", "iso", "tsv+iso", "cart", "cart+iso", "iso_cts", "karcher"):
        if (method, ABSOLUTE, "core") in found.spaces:
            short = f"{name}_{method.replace('+', '_')}"
            yield f"{short}_absolute", spread(found.spaces[method, ABSOLUTE, "core"].values())
            yield f"{short}_over_ta", str(found.difference((method, ABSOLUTE, "core"), ("ta", "", "core")))
        for space in methods.PAPERS:
            if (method, RELATIVE, space) in found.spaces:
                short = f"{name}_{method.replace('+', '_')}_{space}"
                yield f"{short}", spread(found.spaces[method, RELATIVE, space].values())
                gain = found.difference((method, ABSOLUTE, "core"), (method, RELATIVE, space))
                yield f"{short}_cost", str(gain)
    for method in methods.ELEMENTWISE:
        yield f"{name}_{method.replace('+', '_')}_gain", f"{against[method]} (paper: {gains[method]:+.1f})"
        short = f"{name}_{method.replace('+', '_')}"
        cells = {space: by for (m, _, space), by in found.spaces.items() if m == method}
        best_space = max(cells, key=lambda space: mean(cells[space].values()))
        yield f"{short}_best_space", tables.TITLES[best_space]
        yield f"{short}_best", spread(cells[best_space].values())
        for space in cells:
            yield (
                f"{short}_{space.replace('-', '_')}_over_ta",
                str(found.difference((method, "", space), ("ta", "", "core"))),
            )


def of_the_sum(found: Summary) -> Pairs:
    """Which methods are above the plain sum, in core space, by the interval."""
    over = {
        cell: found.difference(cell, ("ta", "", "core"))
        for cell in found.spaces
        if cell[2] == "core" and cell[0] != "ta" and cell[1] != RELATIVE
    }
    for word, sign in (("above", 1), ("below", -1), ("open", 0)):
        yield f"{found.recipe}_sum_{word}", listed([m for (m, _, _), d in over.items() if d.sign == sign])


def of_the_checks(found: Summary) -> Pairs:
    """The independent dense computation."""
    apart = tables.checks(found)
    yield f"{found.recipe}_apart", f"{max(apart.values()):.0e}"


def of_more(found: Summary) -> Pairs:
    """Number of tasks, components, α, bases, as far as they are measured: LoRA of rank 16."""
    parts = {
        "tasks": lambda: tables.against(found, "tasks", str(len(tasks.TASKS))),
        "rank": lambda: tables.against(found, "rank", "all"),
        "alpha": lambda: tables.alpha(found),
        "basis": lambda: tables.basis(found),
    }
    words = {"tasks": of_the_number_of_tasks, "rank": of_components, "alpha": of_alpha, "basis": of_the_bases}
    for part, table in parts.items():
        if found.part(part):
            yield part, table()
            yield f"{part}_seeds", str(len({row["seed"] for row in found.part(part)}))
            yield from words[part](found)


def of_alpha(found: Summary) -> Pairs:
    """What α by a rule costs beside α by search, and which method and rule are best without any evaluation."""
    cells = found.by_seed("alpha", ("method", "mode", "which"))
    for rule in ("one", "norm", "sum"):
        costs = {method: tables.rule_cost(found, method, mode, rule) for method, mode, r in cells if r == rule}
        least, most = (choose(costs, key=lambda m: costs[m].mean) for choose in (max, min))
        yield f"{rule}_costs", f"{lost(costs[least])} (`{least}`) to {lost(costs[most])} (`{most}`)"
    for words, rule, names in (("orthogonal", "sum", ORTHOGONALIZED), ("others", "norm", ADDED)):
        costs = {m: tables.rule_cost(found, m, mode, r) for m, mode, r in cells if r == rule and m in names}
        yield f"{words}_lose", ", ".join(f"`{m}` {lost(cost)}" for m, cost in costs.items())
    method, mode, rule = max(cells, key=lambda key: mean(cells[key].values()))
    yield "blind", f"`{method}` at {RULE_WORDS[rule]}"
    yield "blind_figure", spread(cells[method, mode, rule].values())
    yield "blind_cost", str(tables.rule_cost(found, method, mode, rule))
    ta = max((key for key in cells if key[0] == "ta"), key=lambda key: mean(cells[key].values()))
    yield "blind_ta", f"{spread(cells[ta].values())} at {RULE_WORDS[ta[2]]}"
    alphas: dict[str, list[float]] = {method: [] for method, _, _ in cells}
    for row in found.part("spaces"):
        if (row["method"], row["mode"], "one") in cells and row["space"] == "core":
            alphas[row["method"]].append(float(row["alpha"]))
    yield "alphas", ", ".join(f"`{m}` {ends(values)}" for m, values in alphas.items())


def ends(values: list[float]) -> str:
    """From the least to the largest; one number where they read the same."""
    return " to ".join(dict.fromkeys(f"{x:.2g}" for x in (min(values), max(values))))


def lost(cost: Interval) -> str:
    """Points that a rule loses."""
    return f"{max(0.0, -cost.mean):.1f}"


def of_the_bases(found: Summary) -> Pairs:
    """Where the paper's and Tucker's basis lie among the random ones."""
    for method, by in tables.bases(found).items():
        values = [value for which, value in by.items() if which.isdecimal()]
        short = method.replace("+", "_")
        for name in ("paper", "tucker"):
            yield f"basis_{short}_{name}_beaten", f"{sum(value >= by[name] for value in values)} of {len(values)}"
        yield f"basis_{short}_range", f"{min(values):.1f} to {max(values):.1f}"


def of_components(found: Summary) -> Pairs:
    """What cutting the merge to few components costs."""
    cells = found.by_seed("rank", ("method", "mode", "space", "which"))
    for method, mode, space in dict.fromkeys(key[:3] for key in cells):
        short = f"cut_{method.replace('+', '_')}_{space}"
        for kept in (8, 64):
            by = cells[method, mode, space, str(kept)]
            whole = found.spaces[method, mode, space]
            yield f"{short}_{kept}", str(Interval.of([by[seed] - whole[seed] for seed in by]))


def of_the_number_of_tasks(found: Summary) -> Pairs:
    """How far a merge of few and of all tasks is behind single adapters, and the best method ahead of the sum."""
    cells = found.by_seed("tasks", ("method", "mode", "which"))
    for method, mode in dict.fromkeys(key[:2] for key in cells):
        yield f"two_{method.replace('+', '_')}", f"{mean(cells[method, mode, '2'].values()):.1f}"
        by, ta = cells[method, mode, "6"], cells["ta", "", "6"]
        yield f"six_{method.replace('+', '_')}_over_ta", str(Interval.of([by[seed] - ta[seed] for seed in by]))
        by, ta = cells[method, mode, "2"], cells["ta", "", "2"]
        yield f"two_{method.replace('+', '_')}_over_ta", str(Interval.of([by[seed] - ta[seed] for seed in by]))


def figures(folder: Path = results.FOLDER) -> dict[str, str]:
    """All that the results there give."""
    found: dict[str, str] = {"texts": str(summary.TEXTS)}
    for recipe in RECIPES:
        one = Summary.of(recipe, folder)
        if one.part("spaces"):
            found |= dict(of_a_recipe(one)) | dict(of_the_sum(one))
        if one.part("checks"):
            found |= dict(of_the_checks(one))
        if recipe == "r16":
            found |= dict(of_more(one))
    second = Summary.of(family.RECIPE, folder)
    if second.part("spaces"):
        found |= dict(family.of_the_family(second, Summary.of("r16", folder)))
    return found
