"""The demo's tables, in ASCII: they may go to any terminal or file."""

from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

_WIDE = 130  # columns: on narrower terminals the accuracies per task give way to their average


def show(result: dict[str, Any], console: Console) -> None:
    """Prints what run returns."""
    console.print(_table(result, wide=console.width >= _WIDE))
    lossless = ", ".join(f"{value:.1e} in {space}" for space, value in result["lossless"].items())
    console.print(f"Lossless: || U U' dW V V' - dW || / || dW || of all layers and tasks is at most {lossless}.")
    for size in result["sizes"]:
        (m, n), (p, q) = size["full"], size["core"]
        smaller = f"{m * n / (p * q):.0f} times smaller"
        console.print(f"Size: {size['layers']} layers of {m} x {n} are {p} x {q} in core space, {smaller}.")
    written = result["written"]
    console.print(
        f"Written: {escape(written['output'])}, a PEFT adapter: {written['method']} in {written['space']} space at "
        f"alpha {result['chosen']['alpha']}, the core-space merge with the best validation accuracy."
    )


def _table(result: dict[str, Any], wide: bool) -> Table:
    tasks = result["tasks"] if wide else []
    table = Table(
        title=f"{len(result['tasks'])} adapters merged: test accuracy in %, alpha chosen on validation images",
        caption="norm.: average of merged / single accuracy. from full: relative distance from full space's "
        "result; 0: full space was computed in core space too, as it may be for methods that commute with rotations.",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for name in ("method", "space"):
        table.add_column(name, no_wrap=True)
    for name in ("alpha", *tasks, "avg", "norm.", "from full"):
        table.add_column(name.replace("_", " "), justify="right")
    for name, found in (("base model", result["base"]), ("single adapters", result["single"])):
        cells = [_percent(found["accuracy"][task]) for task in tasks]
        table.add_row(name, "", "", *cells, _percent(found["average"]), _percent(found["normalised"]), "")
    for method in dict.fromkeys(line["method"] for line in result["merged"]):
        table.add_section()
        for line in (line for line in result["merged"] if line["method"] == method):
            cells = [_percent(line["accuracy"][task]) for task in tasks]
            apart = "" if line["space"] == "full" else _apart(line["from_full"])
            table.add_row(
                line["method"], line["space"], f"{line['alpha']:g}", *cells,
                _percent(line["average"]), _percent(line["normalised"]), apart,
            )  # fmt: skip
    return table


def _apart(distance: float) -> str:
    return f"{distance:.1g}" if distance else "0"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"
