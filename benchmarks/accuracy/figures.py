"""The figures and sentences of docs/accuracy.md, each computed from the CSV files of raw results: {name: text}."""

from collections.abc import Iterator
from pathlib import Path
from statistics import mean

from benchmarks.accuracy import methods, results, summary, tables, tasks
from benchmarks.accuracy.methods import ABSOLUTE, RELATIVE
from benchmarks.accuracy.summary import Interval, Summary, spread

RECIPES = ("r16", "mixed", "vera")
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
    best = max(found.spaces, key=lambda cell: mean(found.spaces[cell].values()))
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
    """Number of tasks, components, α, bases: LoRA of rank 16."""
    yield "tasks", tables.against(found, "tasks", str(len(tasks.TASKS)))
    yield "rank", tables.against(found, "rank", "all")
    yield "alpha", tables.alpha(found)
    yield "basis", tables.basis(found)
    for part in ("tasks", "rank", "alpha"):
        yield f"{part}_seeds", str(len({row["seed"] for row in found.part(part)}))
    yield from of_alpha(found)
    yield from of_the_bases(found)
    yield from of_components(found)
    yield from of_the_number_of_tasks(found)


def of_alpha(found: Summary) -> Pairs:
    """What α by a rule costs beside α by search."""
    cells = found.by_seed("alpha", ("method", "mode", "which"))
    lost: dict[str, dict[str, Interval]] = {}
    for (method, mode, rule), by in cells.items():
        best = found.spaces[method, mode, "core"]
        lost.setdefault(rule, {})[method] = Interval.of([by[seed] - best[seed] for seed in by])
    for rule in ("one", "norm"):
        worst, least = (f(lost[rule], key=lambda m: lost[rule][m].mean) for f in (min, max))
        yield f"{rule}_worst", f"{-lost[rule][worst].mean:.1f} (`{worst}`)"
        yield f"{rule}_least", f"{-lost[rule][least].mean:.1f} (`{least}`)"
        yield f"{rule}_mean", f"{-mean(d.mean for d in lost[rule].values()):.1f}"
    norm = {method: mean(by.values()) for (method, _, rule), by in cells.items() if rule == "norm"}
    blind = max(norm, key=lambda method: norm[method])
    yield "blind", f"`{blind}`"
    yield "blind_figure", f"{norm[blind]:.1f}"
    yield "blind_ta", f"{norm['ta']:.1f}"
    one = {method: mean(by.values()) for (method, _, rule), by in cells.items() if rule == "one"}
    best_one = max(one, key=lambda method: one[method])
    yield "one_best", f"`{best_one}`, {one[best_one]:.1f}"
    yield "one_tsv", f"{one['tsv']:.1f}"
    yield "norm_tsv", f"{norm['tsv']:.1f}"
    alphas = {(row["method"], row["mode"]): [] for row in found.part("alpha")}
    sizes: list[float] = []
    for row in found.part("spaces"):
        if (row["method"], row["mode"]) in alphas and row["space"] == "core":
            alphas[row["method"], row["mode"]].append(float(row["alpha"]))
            sizes.append(float(row["size"]))
    yield "alphas", ", ".join(f"`{m}` {min(a):.2g} to {max(a):.2g}" for (m, _), a in alphas.items())
    yield "sizes", f"{min(sizes):.2g} to {max(sizes):.2g}"


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
        if recipe == "r16" and all(one.part(part) for part in ("tasks", "rank", "alpha", "basis")):
            found |= dict(of_more(one))
    return found
