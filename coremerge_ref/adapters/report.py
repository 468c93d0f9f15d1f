"""What a merge of folders reports."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from coremerge_ref.core.stages import STAGES

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


def outcome_notes(zeros: Sequence[str], facts: Mapping[str, Mapping[str, Any]], layers: int) -> list[str]:
    """What people should be told of a merge: layers whose merged update is zero although an adapter's is not, what the
    stages note of layers (Stage.noted), how much of the tasks a lossy space has kept.
    """
    notes = []
    if zeros:
        notes.append(
            f"the merged update is zero in {len(zeros)} of {layers} layers, though an adapter's is not there: "
            f"{_some(zeros)}; see method, weights and scale"
        )
    for name, stage in STAGES.items():
        for key, sentence in stage.noted.items():
            if paths := [path for path, known in facts.items() if known.get(key)]:
                notes.append(f"{name}: {sentence}, in {len(paths)} of {layers} layers: {_some(paths)}")
    kept = {(share, path): t for path, known in facts.items() for t, share in enumerate(known.get("kept", ()))}
    if kept:
        least, path = min(kept)
        notes.append(
            f"the space keeps {least:.1%} to {max(kept)[0]:.1%} of the norm of each task's update, least of "
            f"{path}, task {kept[least, path]}"
        )
    return notes


def _some(paths: Sequence[str]) -> str:
    return ", ".join(paths[:_NAMED]) + (" …" if len(paths) > _NAMED else "")
