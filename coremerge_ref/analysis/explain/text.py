"""Explanations as text, with rich."""

import io
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from coremerge_ref.analysis.explain.explanation import LOOSE

if TYPE_CHECKING:
    from coremerge_ref.analysis.explain.explanation import Bound, Explanation, Explanations
    from coremerge_ref.perturbation.carried import Margin

COLOURS = {"well-posed": "green", "sensitive": "yellow", "ill-posed": "red"}
WORST = 5  # how many groups of layers are shown
ESTIMATED = "The numbers are estimates, made by probing: no bound is known for this method or space."


def described(e: "Explanation") -> Group:
    """One layer: verdict, reason, bounds, the smallest margin of each kind, spectra with their cuts."""
    name = f"{e.layer}: " if e.layer else ""
    sizes = f"{e.tasks} tasks of {e.shape[0]} × {e.shape[1]}, live {e.rows} × {e.cols}"
    what = f"  {name}{e.method} in {e.space} space, {sizes}"
    parts: list[Any] = [Text.assemble((e.verdict, f"bold {COLOURS[e.verdict]}"), what), Text(e.reason)]
    parts += [Text(f"What to do: {b.remedy}.") for b in (e.bound, e.input_bound) if b.remedy][:1]
    parts.append(_bounds(e))
    if e.estimated:
        parts.append(Text(ESTIMATED))
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
    if e.narrower_zeros:
        what = "; ".join(f"{title}, {count}" for title, count in e.narrower_zeros.items())
        parts.append(Text(f"\nTaken for zero in {e.bound.dtype} and not in float64, which is another merge: {what}."))
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
    table = _table("rounding of", "eps", "condition", "moves ΔW by at most", "verdict")  # none where it says nothing
    for what, b in ((f"arithmetic in {e.bound.dtype}", e.bound), (f"inputs to {e.input_bound.dtype}", e.input_bound)):
        table.add_row(
            what,
            f"{b.eps:.1e}",
            f"{b.condition:.2g}" if b.relative <= LOOSE else "–",
            _moves(b),
            Text(b.verdict, COLOURS[b.verdict]),
        )
    return Padding(table, (1, 0, 0, 0))


def headline(many: "Explanations") -> str:
    """Both readings in a line: what arithmetic does, and what the rounding of the inputs did before."""
    dtypes = sorted({e.input_bound.dtype for e in many.values()})
    return f"arithmetic: {_counted(e.bound for e in many.values())} · your {' and '.join(dtypes)} inputs: " + _counted(
        e.input_bound for e in many.values()
    )


def _counted(bounds: "Iterable[Bound]") -> str:
    verdicts = [b.verdict for b in bounds]
    return ", ".join(f"{verdicts.count(v)} {v}" for v in COLOURS if v in verdicts)


def tabulated(many: "Explanations", every: bool = False) -> Group:
    """The headline, the layers that a user should look at first, and what to do; every: all layers, one by one."""
    groups: dict[str, list[Explanation]] = {}
    for e in many.ranked():
        groups.setdefault(e.layer if every else _stem(e.layer) + f"|{e.verdict}|{e.input_bound.verdict}", []).append(e)
    shown = list(groups.values())[: None if every else WORST]
    table = _table("layer", "layers", "arithmetic", "moves by", "inputs", "move by")
    for members in shown:
        e = members[0]
        row = [
            f"{len(members)}",
            *(x for b in (e.bound, e.input_bound) for x in (Text(b.verdict, COLOURS[b.verdict]), _moves(b))),
        ]
        table.add_row(_Name(e.layer if len(members) == 1 else _stem(e.layer)), *row)
    parts: list[Any] = [Text(headline(many)), Padding(table, (1, 0))]
    for members in shown:
        bad = next((b for b in (members[0].bound, members[0].input_bound) if b.remedy), None)
        if bad is not None:
            parts.append(Text(f"{members[0].layer}: {bad.reason}. What to do: {bad.remedy}."))
    if any(e.estimated for e in many.values()):
        parts.append(Text(ESTIMATED))
    if count := sum(bool(e.narrower_zeros) for e in many.values()):
        what = f"{next(iter(many.values())).bound.dtype} takes singular values for zero that float64 would not"
        parts.append(Text(f"In {count} of {len(many)} layers {what}, which is another merge."))
    if len(shown) < len(groups):
        parts.append(Text(f"and {sum(map(len, groups.values())) - sum(map(len, shown))} layers more; --all shows them"))
    return Group(*parts)


def _moves(b: "Bound") -> str:
    return f"{b.relative:.1e}" if b.relative <= LOOSE else "–"


def _stem(name: str) -> str:
    """The name with * for layer numbers."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", f".{name}.")[1:-1]


def at_separators(name: str, width: int) -> list[str]:
    """A name in lines of at most `width`, broken after dots, underscores, slashes and hyphens."""
    lines = [""]
    for part in re.findall(r"[^._/\-]+[._/\-]*|[._/\-]+", name):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return lines


class _Name:
    """A name in a table: whole, and broken at its separators where the column is narrow."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(max(map(len, at_separators(self.name, 1)), default=1), len(self.name))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text("\n".join(at_separators(self.name, options.max_width)), overflow="fold")


def plain(shown: Any) -> str:
    """What a terminal of 100 columns would show, without colours."""
    out = io.StringIO()
    Console(file=out, width=100, color_system=None).print(shown)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column(columns[0], overflow="fold")
    for column in columns[1:]:
        table.add_column(column, no_wrap=True)
    return table
