"""What the page says of the second family: whether what MiniLM showed repeats with MPNet, LoRA of rank 16 in both."""

from collections.abc import Iterator
from itertools import combinations
from statistics import mean

from benchmarks.accuracy import methods, summary, tables
from benchmarks.accuracy.methods import RELATIVE
from benchmarks.accuracy.summary import Cell, Summary, spread

RECIPE = "family"
Pairs = Iterator[tuple[str, str]]


def of_the_family(second: Summary, first: Summary) -> Pairs:
    """Tables of both families side by side, and the verdicts."""
    yield "family_seeds", str(len(second.single))
    yield "family_singles", tables.singles(second)
    yield "family_spaces", side_by_side(second, first)
    yield "family_differences", differences(second, first)
    cells = one_figure(second)
    pairs = list(combinations(cells, 2))
    signs = [(second.difference(*pair).sign, first.difference(*pair).sign) for pair in pairs]
    yield "family_order", in_order(second, cells)
    yield "family_first_order", in_order(first, cells)
    yield "family_pairs", str(len(pairs))
    yield "family_pairs_kept", str(sum(kept(second, first, *pair) for pair in pairs))
    yield "family_pairs_decided", str(sum(bool(ours and theirs) for ours, theirs in signs))
    yield "family_pairs_agree", str(sum(bool(ours) and ours == theirs for ours, theirs in signs))
    over = {cell[0]: second.difference(cell, ("ta", "", "core")).sign for cell in cells if cell[0] != "ta"}
    for word, sign in (("above", 1), ("below", -1)):
        yield f"family_{word}", ", ".join(f"`{method}`" for method, found in over.items() if found == sign) or "none"
    compared = tables.compared(second)
    verdicts: dict[str, list[str]] = {"same": [], "opposite": [], "open": []}
    for method, mode in compared:
        ours, theirs = (one.difference((method, mode, "core"), (method, mode, "full")) for one in (second, first))
        word = "open" if not ours.sign * theirs.sign else "same" if ours.sign == theirs.sign else "opposite"
        verdicts[word].append(tables.named(method, mode))
    for word, names in verdicts.items():
        yield f"family_{word}", "; ".join(names) or "none"
    same = sum(kept(second, first, (method, mode, "core"), (method, mode, "full")) for method, mode in compared)
    yield "family_means_same", f"{same} of {len(compared)}"
    for method, mode, _ in cells:
        if mode:
            cost = [str(one.difference((method, mode, "core"), (method, RELATIVE, "full"))) for one in (second, first)]
            yield f"family_{method.replace('+', '_')}_cost", f"{cost[0]} (MiniLM: {cost[1]})"


def one_figure(found: Summary) -> list[Cell]:
    """Every method in core space, without null vectors."""
    return [cell for cell in found.spaces if cell[2] == "core" and cell[1] != RELATIVE]


def in_order(found: Summary, cells: list[Cell]) -> str:
    """Methods with their figures, best first."""
    best_first = sorted(cells, key=lambda cell: -mean(found.spaces[cell].values()))
    return ", ".join(f"`{cell[0]}` {spread(found.spaces[cell].values())}" for cell in best_first)


def kept(second: Summary, first: Summary, one: Cell, other: Cell) -> bool:
    """Whether the means of two cells are in the same order in both families."""
    return second.difference(one, other).mean * first.difference(one, other).mean > 0


def side_by_side(second: Summary, first: Summary) -> str:
    """Every method and mode, in the spaces that both families have."""
    lines = []
    for setting in methods.settings(RECIPE):
        cells = [setting.method, setting.mode]
        row = []
        for found in (second, first):
            by_space = [found.spaces.get((*cells, space)) for space in methods.PAPERS]
            shown = [spread(by.values()) if by else "=" for by in by_space]
            row += shown if len(setting.spaces) > 1 else ["=", tables.DASH, shown[-1]]
        lines.append([tables.named(setting.method, setting.mode), *row])
    return tables.markdown(["method", "MPNet: full", "KnOTS", "core", "MiniLM: full", "KnOTS", "core"], lines)


def differences(second: Summary, first: Summary) -> str:
    """Core space minus full space and KnOTS in both families, and in the paper."""
    theirs, lines = summary.paper(RECIPE), []
    for method, mode in tables.compared(second):
        row = [str(tables.difference(one, method, mode, s)) for s in ("full", "knots") for one in (second, first)]
        paper = f"{theirs[method, 'core'] - theirs[method, 'full']:+.1f}"
        lines.append([tables.named(method, mode), *row, paper])
    header = ["core − full: MPNet", "MiniLM", "core − KnOTS: MPNet", "MiniLM", "paper: core − full"]
    return tables.markdown(["method", *header], lines)
