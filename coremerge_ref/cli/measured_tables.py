"""The tables of `coremerge inspect --measure`."""

from collections.abc import Mapping, Sequence
from typing import Any

from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.cli.inspect import grouped
from coremerge_ref.cli.measuring import SHARES, Overlap
from coremerge_ref.cli.resize import range_text
from coremerge_ref.cli.tables import MIDDLE, Column, table


def measured_table(
    adapter: Adapter, found: Mapping[str, Mapping[str, Any]], each: bool, width: int | None = None
) -> str:
    """The figures of one adapter, of modules that are alike in one line."""
    numbers = ["count", "‖ΔW‖", "directions", "stable rank", *[f"for {share:.0%}" for share in SHARES]]
    drop = {"directions": 1, "count": 2}
    columns = [Column("modules", fits=MIDDLE), *[Column(name, right=True, drop=drop.get(name, 0)) for name in numbers]]
    rows = []
    for name, modules in grouped(list(adapter.modules.values()), each).items():
        held = [found[module.name] for module in modules]
        row = (
            name,
            str(len(held)),
            range_text([one["norm"] for one in held], "{:.3g}"),
            range_text([one["numerical_rank"] for one in held], "{}"),
            range_text([one["stable_rank"] for one in held], "{:.2f}"),
            *[range_text([one["rank_for"][f"{share:g}"] for one in held], "{}") for share in SHARES],
        )
        rows.append(row)
    return table(columns, rows, width)


def overlap_table(pairs: Sequence[Overlap], width: int | None = None) -> str:
    """Each two adapters, means over the layers that both have."""
    numbers = ("layers", "left", "right", "cosine", "opposite signs")
    columns = [Column("adapters", fits=MIDDLE), *[Column(name, right=True) for name in numbers]]
    keys = ("left", "right", "cosine", "sign_conflict")
    rows = [
        (f"{pair.one} – {pair.other}", str(len(pair.by_layer)), *[f"{pair.means[key]:.3f}" for key in keys])
        for pair in pairs
    ]
    return table(columns, rows, width)
