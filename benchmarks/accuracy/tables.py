"""The measurements as Markdown tables."""

from collections.abc import Iterable
from statistics import mean, stdev

from benchmarks.accuracy import methods, summary
from benchmarks.accuracy.methods import ABSOLUTE, RELATIVE
from benchmarks.accuracy.summary import Interval, Summary, spread

TITLES = {
    "full": "full",
    "knots": "KnOTS",
    "knots-scaled": "KnOTS, scaled",
    "core": "core",
    "core-tucker": "core, Tucker",
}
RULES = {"one": "α = 1", "mean": "α = 1/T", "norm": "as large as a task", "sum": "as large as the sum"}
DASH = "–"
VERDICTS = {1: "core above", -1: "core below", 0: "not decided"}


def markdown(header: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    header = list(header)
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *lines])


def named(method: str, mode: str) -> str:
    """A method in its mode."""
    return f"`{method}`" + (f", {mode}" if mode else "")


def spaces(found: Summary) -> str:
    """Every method and mode; absolute settings, one matrix in every lossless space, in core space alone."""
    theirs = summary.paper(found.recipe)
    lines = []
    for setting in methods.settings(found.recipe):
        by_space = {s: found.spaces.get((setting.method, setting.mode, s)) for s in TITLES}
        if not any(by_space.values()):
            continue
        cells = [spread(one.values()) if one else DASH for one in by_space.values()]
        if setting.mode == ABSOLUTE or setting.method == "ta":
            cells = ["=", DASH, "=", cells[3], "="]
        known = [None if setting.mode == ABSOLUTE else theirs.get((setting.method, s)) for s in methods.PAPERS]
        lines.append([named(setting.method, setting.mode), *cells, *(DASH if p is None else f"{p:.1f}" for p in known)])
    return markdown(["method", *TITLES.values(), "paper: full", "KnOTS", "core"], lines)


def compared(found: Summary) -> list[tuple[str, str]]:
    """Methods and modes that are measured in full and in core space."""
    cells = found.spaces
    return [
        (setting.method, setting.mode)
        for setting in methods.settings(found.recipe)
        if all((setting.method, setting.mode, space) in cells for space in ("full", "core"))
    ]


def differences(found: Summary) -> str:
    """Core space minus the others, paired by seed, with 95 % intervals, beside the paper's difference."""
    theirs = summary.paper(found.recipe)
    lines = []
    for method, mode in compared(found):
        ours = {s: difference(found, method, mode, s) for s in ("full", "knots", "knots-scaled")}
        known = [
            f"{theirs[method, 'core'] - theirs[method, s]:+.1f}" if (method, s) in theirs else DASH
            for s in ("full", "knots")
        ]
        verdict = VERDICTS[ours["full"].sign] if ours["full"] else DASH
        lines.append([named(method, mode), *(DASH if d is None else str(d) for d in ours.values()), verdict, *known])
    header = ["method", "core − full", "core − KnOTS", "core − KnOTS, scaled", "over full space"]
    return markdown([*header, "paper: core − full", "core − KnOTS"], lines)


def difference(found: Summary, method: str, mode: str, space: str) -> Interval | None:
    """Core minus that space, where both are measured."""
    one, other = (method, mode, "core"), (method, mode, space)
    return found.difference(one, other) if one in found.spaces and other in found.spaces else None


def null_vectors(found: Summary) -> str:
    """The paper's relative settings with null vectors in each space, beside the one absolute figure."""
    lines = []
    for method in dict.fromkeys(m for m, mode, _ in found.spaces if mode == ABSOLUTE):
        if (method, RELATIVE, "full") not in found.spaces:
            continue
        cells = [spread(found.spaces[method, RELATIVE, space].values()) for space in methods.PAPERS]
        gain = found.difference((method, ABSOLUTE, "core"), (method, RELATIVE, "full"))
        lines.append([f"`{method}`", *cells, spread(found.spaces[method, ABSOLUTE, "core"].values()), str(gain)])
    header = ["method", "relative: full", "KnOTS", "core", "absolute: every lossless space", "absolute − relative full"]
    return markdown(header, lines)


def singles(found: Summary) -> str:
    """Each task: the base model and its own adapter."""
    lines = []
    for name, base in found.base.items():
        alone = [single[name] for single in found.single.values()]
        lines.append([name, f"{base:.1f}", spread(alone)])
    return markdown(["task", "base model, %", "own adapter, %"], lines)


def against(found: Summary, part: str, last: str) -> str:
    """A part by its column `which`: one line a method, one column a value, and what `spaces` has as the last one."""
    cells = found.by_seed(part, ("method", "mode", "space", "which"))
    columns = list(dict.fromkeys(which for *_, which in cells))
    lines = []
    for method, mode, space in dict.fromkeys(key[:3] for key in cells):
        seeds = {seed for key, by_seed in cells.items() if key[:3] == (method, mode, space) for seed in by_seed}
        whole = [x for seed, x in found.spaces[method, mode, space].items() if seed in seeds]
        row = [spread(cells[method, mode, space, which].values()) for which in columns]
        title = named(method, mode) + (" in full space" if space == "full" else "")
        lines.append([title, *row, spread(whole)])
    return markdown(["method", *columns, last], lines)


def alpha(found: Summary) -> str:
    """α without an evaluation beside α by search, and the size that the search chose."""
    cells = found.by_seed("alpha", ("method", "mode", "which"))
    lines = []
    for method, mode in dict.fromkeys(key[:2] for key in cells):
        row = [spread(cells[method, mode, r].values()) if (method, mode, r) in cells else DASH for r in RULES]
        cost = rule_cost(found, method, mode, "one")
        searched = spread(found.spaces[method, mode, "core"][seed] for seed in cells[method, mode, "one"])
        lines.append([named(method, mode), *row, searched, sizes(found, method, mode), str(cost)])
    return markdown(["method", *RULES.values(), "searched", "size found", "α = 1 − searched"], lines)


def rule_cost(found: Summary, method: str, mode: str, rule: str) -> Interval:
    """A rule minus the search, paired by seed."""
    by = found.by_seed("alpha", ("method", "mode", "which"))[method, mode, rule]
    return Interval.of([by[seed] - found.spaces[method, mode, "core"][seed] for seed in by])


def sizes(found: Summary, method: str, mode: str) -> str:
    """‖α ΔW‖ / ‖Σ ΔW_t‖ at the α that was found in core space, from the least to the largest over seeds."""
    rows = found.part("spaces")
    values = [float(r["size"]) for r in rows if (r["method"], r["mode"], r["space"]) == (method, mode, "core")]
    return " to ".join(f"{size:.2f}" for size in sorted({min(values), max(values)}))


def basis(found: Summary) -> str:
    """Paper's basis, Tucker's, and the spread over random rotations."""
    lines = []
    for method, by in bases(found).items():
        values = sorted(value for which, value in by.items() if which.isdecimal())
        kept = [f"{by[name]:.1f}" for name in ("paper", "tucker")]
        numbers = [f"{number:.1f}" for number in (mean(values), stdev(values), values[0], values[-1])]
        lines.append([f"`{method}`", *kept, *numbers, str(len(values))])
    header = ["method", "paper's basis", "Tucker", "random: mean", "standard deviation", "lowest", "highest", "bases"]
    return markdown(header, lines)


def bases(found: Summary) -> dict[str, dict[str, float]]:
    """Method → basis (paper, tucker or the number of a rotation) → normalized accuracy."""
    rows = found.part("basis")
    single = next((summary.accuracies(row) for row in rows if row["method"] == "single"), {})
    by: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["method"] != "single":
            by.setdefault(row["method"], {})[row["which"]] = found.normalized(row, single)
    return by


def checks(found: Summary) -> dict[str, float]:
    """Method → how far the dense definition without null vectors is from the library's merge in core space."""
    return {row["method"]: float(row["which"]) for row in found.part("checks")}
