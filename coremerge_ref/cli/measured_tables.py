"""The tables of `coremerge inspect --measure`."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.cli.inspect import grouped
from coremerge_ref.cli.measuring import SHARES, Overlap
from coremerge_ref.cli.reporting import visible
from coremerge_ref.cli.resize import range_text


def measured_table(adapter: Adapter, found: Mapping[str, Mapping[str, Any]], each: bool) -> Table:
    """The figures of one adapter, of modules that are alike in one line."""
    table = Table(box=None, pad_edge=False)
    columns = ["modules", "count", "‖ΔW‖", "directions", "stable rank", *[f"for {share:.0%}" for share in SHARES]]
    for column in columns:
        table.add_column(column, justify="left" if column == "modules" else "right")
    for name, modules in grouped(list(adapter.modules.values()), each).items():
        held = [found[module.name] for module in modules]
        table.add_row(
            escape(name),
            str(len(held)),
            range_text([one["norm"] for one in held], "{:.3g}"),
            range_text([one["numerical_rank"] for one in held], "{}"),
            range_text([one["stable_rank"] for one in held], "{:.2f}"),
            *[range_text([one["rank_for"][f"{share:g}"] for one in held], "{}") for share in SHARES],
        )
    return table


def overlap_table(pairs: Sequence[Overlap]) -> Table:
    """Each two adapters, means over the layers that both have."""
    table = Table(box=None, pad_edge=False)
    for column in ("adapters", "layers", "left", "right", "cosine", "opposite signs"):
        table.add_column(column, justify="left" if column == "adapters" else "right")
    for pair in pairs:
        means = pair.means
        table.add_row(
            escape(visible(f"{pair.one} – {pair.other}")),
            str(len(pair.by_layer)),
            *[f"{means[key]:.3f}" for key in ("left", "right", "cosine", "sign_conflict")],
        )
    return table
