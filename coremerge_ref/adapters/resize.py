"""One adapter at a smaller rank: the nearest update of each layer, exactly, in the format it came in."""

import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from coremerge_ref.adapters.accepting import Accepting
from coremerge_ref.adapters.cutting import Cut
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.merge import merge_folders
from coremerge_ref.adapters.others import FIRST
from coremerge_ref.adapters.plan import PEFT
from coremerge_ref.adapters.streaming import Progress
from coremerge_ref.errors import ParameterError


@dataclass(frozen=True)
class ResizeReport:
    """What each layer kept. layers: by path, "rank" as written and cutting.facts; before, bytes: sizes of the files."""

    output: str
    ranks: tuple[int, int]
    before: int
    bytes: int
    seconds: float
    layers: dict[str, dict[str, Any]]
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def resize_adapter(
    path: str | Path,
    output: str | Path,
    *,
    rank: int | None = None,
    retain: float | None = None,
    ratio: float | None = None,
    cumulative: float | None = None,
    one_rank: bool = False,
    dtype: str | None = None,
    backend: str = "numpy",
    device: str | None = None,
    base: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> ResizeReport:
    """Write the adapter at `path`, of any format that is read, with every layer truncated optimally (Eckart–Young).

    Parameters
    ----------
    rank : at most this rank. retain, ratio, cumulative : the fewest singular values that keep this much, at most one
        of the three, as cutting.Cut defines them: a share of Σ σ² (PEFT's convert_to_lora), σ_1 / τ as the smallest
        (sd-scripts' sv_ratio), a share of Σ σ (sd-scripts' sv_cumulative).
    one_rank : pad all layers with zero directions to the largest rank. By default layers have ranks of their own where
        retain, ratio or cumulative gives them, unless the format knows but one rank.
    dtype, backend, device, base, force, progress : as in merge_folders. Arithmetic is float64; factors are rounded
        once, to the dtype of the layer, with the singular values shared evenly between them.

    What was trained beside the update (heads, biases) is kept as it is. Raises what merge_folders raises; nothing was
    written then.
    """
    cut = Cut(rank, retain, ratio, cumulative)
    if cut == Cut():
        raise ParameterError("expected how much to keep, got nothing; give rank, retain, ratio or cumulative")
    adapter = Adapter(Accepting(path, True, ()))
    report = merge_folders(
        [path],
        output,
        "ta",
        "full",
        rank=cut.described,
        ragged=cut.by_layer and not one_rank,
        others=FIRST,
        dtype=dtype,
        backend=backend,
        device=device,
        base=base,
        force=force,
        progress=progress,
    )
    assert report.ranks is not None, "a truncated update has factors"
    notes = [text for text in report.notes if f"(--others {FIRST})" not in text]
    kept = [text for text in report.notes if f"(--others {FIRST})" in text]
    notes += [text.split(" were taken")[0] + " are kept as they are" for text in kept]
    before = sum(os.stat(file).st_size for file in adapter.files if file.suffix != ".json")
    about_ranks = (
        []
        if not cut.by_layer
        else _about_ranks(
            adapter.reader.family, [facts["rank"] for facts in report.facts.values()], report.ranks, one_rank
        )
    )
    layers = {name: report.facts[name] for name in sorted(report.facts, key=in_order)}
    return ResizeReport(report.output, report.ranks, before, report.bytes, report.seconds, layers, notes + about_ranks)


def in_order(path: str) -> list[int | str]:
    """What sorts paths by the numbers of their layers, 2 before 10: text, a number, text and so on."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", path))]


def _about_ranks(family: str, kept: Sequence[int], written: tuple[int, int], one_rank: bool) -> list[str]:
    """A note where the ranks that are written are not those that were kept, or may be misread."""
    if len(set(kept)) < 2 or one_rank:
        return []
    if written[0] == written[1]:
        return [f"all layers are padded with zero directions to rank {written[0]}, since this format knows one rank"]
    if family == PEFT:
        return ["layers have ranks of their own (rank_pattern); a reader that knows one rank alone needs --one-rank"]
    return []
