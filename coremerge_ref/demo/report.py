"""The demo's report; in ASCII where the terminal or file is."""

import shlex
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

BAR = 50  # characters that stand for 100 %


def show(result: dict[str, Any], console: Console, plot: bool = False) -> None:
    """Prints what run returns."""
    console.print(_inputs(result))
    console.print("Right answers on test images, in % of each task's own adapter's, mean over the tasks:")
    console.print(_table(result))
    console.print("= is the same update as in core space. Scales and the best are chosen on validation images.\n")
    console.print(_sentence(result))
    if plot:
        console.print(_bars(result), highlight=False)
    console.print(_lossless(result))
    if result["beside_peft"] is not None:
        console.print(_time(result["beside_peft"]))
    output = result["written"]["output"]
    console.print(f"Written: {escape(output)}, a PEFT adapter of this merge. See that it is what it says:")
    console.print(f"  coremerge verify {escape(shlex.quote(output))}", soft_wrap=True)


def _inputs(result: dict[str, Any]) -> str:
    layers = sum(size["layers"] for size in result["sizes"])
    return (
        f"{len(result['tasks'])} LoRA adapters of one small encoder ({layers} layers), each trained on signs of its "
        f"own kind ({', '.join(result['tasks'])}), become one adapter."
    )


def _table(result: dict[str, Any]) -> Table:
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("merged by", no_wrap=True)
    for space in _spaces(result):
        table.add_column(space, justify="right")
    table.add_column("", no_wrap=True)
    blank = [""] * (len(_spaces(result)) - 1)
    table.add_row("base model", *blank, _percent(result["base"]["normalised"]), "")
    table.add_row("plain average", *blank, _percent(result["averaged"]["normalised"]), "")
    for method, row in _rows(result).items():
        best = method == result["chosen"]["method"]
        cells = [_cell(row, space) for space in row]
        table.add_row(method, *cells, "<- best" if best else "", style="bold" if best else None)
    table.add_row("separate adapters", *blank, _percent(result["single"]["normalised"]), "")
    return table


def _sentence(result: dict[str, Any]) -> str:
    rows, best = _rows(result), result["chosen"]["method"]
    kept, averaged = rows[best]["core"]["normalised"], result["averaged"]["normalised"]
    return (
        f"One model, {best} in core space, keeps {_percent(kept)} % of what {len(result['tasks'])} adapters get right; "
        f"plain averaging keeps {_percent(averaged)} %."
    )


def _bars(result: dict[str, Any]) -> str:
    """Core space, a bar a method."""
    heights = {
        "base": result["base"],
        "averaging": result["averaged"],
        **{name: row["core"] for name, row in _rows(result).items()},
    }
    width = max(map(len, heights))
    lines = [
        f"{name:>{width}} |{'#' * round(BAR * found['normalised']):{BAR}}| {_percent(found['normalised'])}"
        for name, found in heights.items()
    ]
    return escape("\n".join(["", *lines, ""]))


def _lossless(result: dict[str, Any]) -> str:
    times = sorted({m * n // (p * q) for (m, n), (p, q) in ((s["full"], s["core"]) for s in result["sizes"])})
    (p, q), (m, n) = result["sizes"][0]["core"], result["sizes"][0]["full"]
    return (
        f"Lossless: into core space and back, no update changes by more than {result['lossless']['core']:.0e} of "
        f"itself. There {m} x {n} becomes {p} x {q}: matrices {times[0]} to {times[-1]} times smaller."
    )


def _time(beside: dict[str, Any]) -> str:
    ours, peft = (beside["seconds"][name] for name in ("coremerge_ref", "peft"))
    return f"Time: {beside['method']} of all layers took {ours:.2f} s here, {peft:.2f} s in PEFT."


def _spaces(result: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(line["space"] for line in result["merged"]))


def _rows(result: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """{method: {space: line}}."""
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for line in result["merged"]:
        rows.setdefault(line["method"], {})[line["space"]] = line
    return rows


def _cell(row: dict[str, dict[str, Any]], space: str) -> str:
    """The number; = where core space, which is last, has the same update and shows it."""
    here, core = row[space], row["core"]
    same = space != "core" and (here["same_as"] or space) == (core["same_as"] or "core")
    return "=" if same else _percent(here["normalised"])


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f}"
