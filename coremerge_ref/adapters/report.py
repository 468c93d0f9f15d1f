"""What a merge of folders reports."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

_NAMED = 5  # layers in a note


@dataclass(frozen=True)
class MergeReport:
    """What a merge did, or with dry_run would do.

    ranks: (smallest, largest) of the output's factors, None if dense. facts: what is known of each layer, by path.
    scale: α. load: how to load the output; "" where no library does.
    """

    output: str
    written: bool
    method: str
    space: str
    adapters: int
    layers: int
    ranks: tuple[int, int] | None
    bytes: int
    seconds: float
    scale: float = 1.0
    load: str = ""
    notes: list[str] = field(default_factory=list)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    def as_json(self) -> dict[str, Any]:
        """As a JSON object, without `facts`, which coremerge.json has."""
        return {name: value for name, value in asdict(self).items() if name != "facts"}


def zero_notes(paths: Sequence[str], layers: int) -> list[str]:
    """A note that names layers whose merged update is zero although an adapter's is not."""
    if not paths:
        return []
    named = ", ".join(paths[:_NAMED]) + (" …" if len(paths) > _NAMED else "")
    return [
        f"the merged update is zero in {len(paths)} of {layers} layers, though an adapter's is not there: {named}; "
        "see method, weights and scale"
    ]
