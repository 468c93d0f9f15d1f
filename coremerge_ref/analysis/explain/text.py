"""Explanations as text, with rich."""

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from coremerge_ref.analysis.explain.explanation import Explanation, Explanations
    from coremerge_ref.analysis.explain.trace import Margin

COLOURS = {"well-posed": "green", "sensitive": "yellow", "ill-posed": "red"}
REASONS = 5  # of how many layers the text gives the reason


def described(e: "Explanation") -> Group:
    """One layer: verdict, reason, bounds, the smallest margin of each kind, spectra with their cuts."""
    name = f"{e.layer}: " if e.layer else ""
    sizes = f"{e.tasks} tasks of {e.shape[0]} × {e.shape[1]}, live {e.rows} × {e.cols}"
    what = f"  {name}{e.method} in {e.space} space, {sizes}"
    parts: list[Any] = [Text.assemble((e.verdict, f"bold {COLOURS[e.verdict]}"), what), Text(e.reason), _bounds(e)]
    if e.estimated:
        parts.append(Text("No bound is known for this method: a stage was probed, and the numbers are estimates."))
    if e.undecided is not None and e.undecided.any():
        parts.append(Text(f"{int(e.undecided.sum())} of {e.undecided.size} entries are undecided."))
    if e.margins:
        table = _table("margin", "stage", "at", "number", "condition")
        for m in smallest(e.margins):
            task = "" if m.task is None else f"task {m.task}"
            table.add_row(
                m.what.rstrip(","), m.stage, task, f"{m.value:.2g}", f"{m.amplifies:.2g}" if m.amplifies else ""
            )
        parts.append(Padding(table, (1, 0, 0, 0)))
    if e.spectra:
        table = _table("spectrum", "kept", "largest", "last kept", "first dropped", "zero below")
        for s in e.spectra:
            ends = (f"{s.values[i]:.3g}" if 0 <= i < len(s.values) else "" for i in (0, s.kept - 1, s.kept))
            table.add_row(s.title, f"{s.kept} of {len(s.values)}", *ends, f"{s.cut:.1e}" if s.cut else "")
        parts.append(Padding(table, (1, 0, 0, 0)))
    return Group(*parts)


def smallest(margins: "tuple[Margin, ...]") -> "list[Margin]":
    """One margin of each kind: that of the task where it is smallest."""
    found: dict[tuple[str, str], Margin] = {}
    for margin in margins:
        key = (margin.stage, margin.what)
        if key not in found or margin.value < found[key].value:
            found[key] = margin
    return list(found.values())


def _bounds(e: "Explanation") -> Padding:
    table = _table("rounding of", "eps", "condition", "moves ΔW by at most", "verdict")
    for what, b in ((f"arithmetic in {e.bound.dtype}", e.bound), (f"inputs to {e.input_bound.dtype}", e.input_bound)):
        table.add_row(
            what, f"{b.eps:.1e}", f"{b.condition:.2g}", f"{b.relative:.1e}", Text(b.verdict, COLOURS[b.verdict])
        )
    return Padding(table, (1, 0, 0, 0))


def tabulated(many: "Explanations") -> Group:
    """One line a layer, worst first, and the reasons of the worst."""
    from coremerge_ref.analysis.explain.explanation import VERDICTS, WELL_POSED

    counts = {v: sum(e.verdict == v for e in many.values()) for v in VERDICTS}
    head = Text(", ".join(f"{n} {v}" for v, n in counts.items() if n) + f", of {len(many)} layers")
    table = _table("layer", "verdict", "live", "condition", "arithmetic", "inputs")
    order = sorted(many.values(), key=lambda e: (-VERDICTS.index(e.verdict), -e.bound.relative))
    for e in order:
        verdict, live = Text(e.verdict, COLOURS[e.verdict]), f"{e.rows} × {e.cols}"
        bounds = (f"{b.relative:.1e}" for b in (e.bound, e.input_bound))
        table.add_row(e.layer, verdict, live, f"{e.bound.condition:.2g}", *bounds)
    troubled = [e for e in order if e.verdict != WELL_POSED] or order[:1]
    reasons = [Text(f"{e.layer}: {e.reason}") for e in troubled[:REASONS]]
    if len(troubled) > REASONS:
        reasons.append(Text(f"and {len(troubled) - REASONS} layers more"))
    return Group(head, Padding(table, (1, 0)), *reasons)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column(columns[0], overflow="fold")
    for column in columns[1:]:
        table.add_column(column, no_wrap=True)
    return table
