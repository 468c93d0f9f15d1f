"""What a merge of folders reports."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class MergeReport:
    """What a merge did, or with dry_run would do. ranks: (smallest, largest) of the output's factors, None if dense."""

    output: str
    written: bool
    method: str
    space: str
    adapters: int
    layers: int
    ranks: tuple[int, int] | None
    bytes: int
    seconds: float
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)
