"""A part of a merge on disk, made by a job that knows nothing of the others; `joining` makes one of all."""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from coremerge_ref.adapters import record as records
from coremerge_ref.adapters.contents import PART
from coremerge_ref.adapters.files import is_regular_file, read_json
from coremerge_ref.adapters.memory import within_memory
from coremerge_ref.adapters.order import Order, Way, stamps, versions
from coremerge_ref.adapters.pieces import Piece, cut, numbered, piece_name, write_piece
from coremerge_ref.adapters.prepared import PreparedFolders
from coremerge_ref.adapters.ready import Options
from coremerge_ref.adapters.replace import check_output, replaced
from coremerge_ref.adapters.report import MergeReport
from coremerge_ref.adapters.spreading import do_pieces, pieces_folder
from coremerge_ref.adapters.streaming import Progress
from coremerge_ref.errors import AdapterError, shown

_STRICT = ConfigDict(extra="forbid", frozen=True)


class PieceRecord(BaseModel):
    """A Piece and its digest. groups: {group: (which it is in the order of all, {tensor: bytes})}."""

    model_config = _STRICT
    file: str
    sha256: str
    groups: dict[str, tuple[int, dict[str, int]]]
    ranks: dict[str, int]
    facts: dict[str, dict[str, Any]]
    zeros: list[str]


class PartRecord(BaseModel):
    """coremerge-part.json. part: (i, n). groups: how many all parts have. stamps: (size, second of change) of inputs.

    how, method, space, scale: the settings, as the record of the merge has them. versions: of the programs.
    """

    model_config = _STRICT
    versions: str
    part: tuple[int, int]
    adapters: list[str]
    base: str | None
    how: dict[str, Any]
    method: str
    space: str
    scale: float
    stamps: list[tuple[int, int]]
    groups: int
    pieces: list[PieceRecord]

    def settings(self) -> dict[str, Any]:
        """What all parts of one merge agree on."""
        recipe = self.how.get("recipe")
        how = self.how | ({"recipe": recipe | {"output": None}} if isinstance(recipe, dict) else {})
        return {**how, **{n: getattr(self, n) for n in ("versions", "adapters", "base", "stamps", "groups", "method")}}


def write_part(
    prepared: PreparedFolders,
    output: str | Path,
    options: Options,
    ragged: bool,
    force: bool,
    dry_run: bool,
    ignore_memory: bool,
    progress: Progress | None,
    tell: Callable[[str], None] | None,
    about: Mapping[str, Any],
    way: Way,
) -> MergeReport:
    """The part way.part of the merge of checked options, in the folder `output`, for join_parts."""
    assert way.part is not None
    started, target, dense, (i, n) = time.monotonic(), Path(output), options.dense, way.part
    prepared.check_shards(way, dense)
    there = check_output(target, force, prepared.inputs)
    whole = replace(prepared.job(options), progress=progress or (lambda *_: None))
    batches = whole.batches(dense)
    order = numbered(batches, dense)
    mine = cut(batches, dense)[i - 1 :: n]
    todo = [batch for piece in mine for batch in piece]
    job = replace(whole, layers=[layer for batch in todo for layer in batch], todo=todo)
    if way.executor is None:
        job = within_memory(job, dense, ignore_memory, tell or (lambda _: None))
    pieces: list[Piece] = []
    size = 0
    if not dry_run:
        with replaced(there) as folder:
            with pieces_folder(folder.parent) as place:
                if way.executor is not None:
                    sent = Order.of(prepared, options, ignore_memory, way.share)
                    pieces = do_pieces(job, sent, way, mine, place)
                elif todo:
                    pieces = [write_piece(job, prepared.form, prepared.turned(dense), place / piece_name(0))]
                for piece in pieces:
                    os.rename(place / piece.file, folder / piece.file)
            size = sum(entry.stat().st_size for entry in folder.iterdir())
            record = PartRecord(
                versions=versions(),
                part=way.part,
                adapters=[adapter.called for adapter in prepared.adapters],
                base=None if prepared.base is None else os.fspath(prepared.base),
                how=prepared.how(options, ragged, about, way),
                method=options.method_text(),
                space=options.where.name,
                scale=float(options.scale),
                stamps=[stamp[1:] for stamp in stamps(prepared.adapters)],
                groups=len(order),
                pieces=[
                    PieceRecord(
                        file=piece.file,
                        sha256=records.sha256(folder / piece.file),
                        groups={group: (order[group], dict(sizes)) for group, sizes in piece.groups.items()},
                        ranks=piece.outcome.ranks,
                        facts=piece.outcome.facts,
                        zeros=piece.outcome.zeros,
                    )
                    for piece in pieces
                ],
            )
            for adapter in prepared.adapters:
                adapter.check_unchanged()
            text = json.dumps(record.model_dump(), allow_nan=False) + "\n"
            (folder / PART).write_text(text, encoding="utf-8")
    ranks = [rank for piece in pieces for rank in piece.outcome.ranks.values()]
    return MergeReport(
        output=str(target),
        written=not dry_run,
        method=options.method_text(),
        space=options.where.name,
        adapters=len(prepared.adapters),
        layers=len(job.all_layers),
        ranks=(min(ranks), max(ranks)) if ranks else None,
        bytes=size,
        seconds=round(time.monotonic() - started, 3),
        scale=float(options.scale),
        notes=[
            *prepared.notes,
            f"{target}: part {i} of {n}, {len(job.all_layers)} of {len(whole.all_layers)} layers; coremerge join makes "
            "an adapter of all parts",
            *there.notes,
        ],
        facts={path: fact for piece in pieces for path, fact in piece.outcome.facts.items()},
    )


def read_part(folder: Path) -> PartRecord:
    """The record of the part in `folder`. AdapterError where there is none, or it is none."""
    if not is_regular_file(folder / PART):
        raise AdapterError(
            f"{shown(folder)}: expected a part of a merge, with {PART} in it, got none; coremerge merge --layers i/n "
            "writes parts"
        )
    try:
        part = PartRecord.model_validate(read_json(folder / PART))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))[:200]
        raise AdapterError(
            f"{shown(folder / PART)}: expected the record of a part, got another {shown(where)}: {first['msg']}; "
            "merge this part again"
        ) from error
    if odd := next((piece.file for piece in part.pieces if os.path.basename(piece.file) != piece.file), None):
        raise AdapterError(f"{shown(folder / PART)}: expected files beside it, got {shown(odd)}; merge this part again")
    return part
