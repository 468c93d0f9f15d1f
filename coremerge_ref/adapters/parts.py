"""A part of a merge on disk, made by a job that knows nothing of the others, and all of them joined."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from coremerge_ref.adapters import record as records
from coremerge_ref.adapters.assembling import Shard, assemble
from coremerge_ref.adapters.contents import PART
from coremerge_ref.adapters.files import folder_at, is_regular_file, read_json
from coremerge_ref.adapters.forms.base import Form
from coremerge_ref.adapters.memory import within_memory
from coremerge_ref.adapters.pieces import Piece, cut, group_of, numbered, piece_name, write_piece
from coremerge_ref.adapters.prepared import PreparedFolders
from coremerge_ref.adapters.publishing import Publication, Said
from coremerge_ref.adapters.ready import Options
from coremerge_ref.adapters.replace import check_output, replaced
from coremerge_ref.adapters.report import MergeReport
from coremerge_ref.adapters.spreading import Order, Way, do_pieces, pieces_folder, stamps, versions
from coremerge_ref.adapters.streaming import Progress
from coremerge_ref.adapters.writing import Outcome
from coremerge_ref.errors import AdapterError, CoreMergeError, reason, shown

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


def join_parts(parts: Sequence[str | Path], output: str | Path, *, force: bool = False) -> MergeReport:
    """Makes of all parts of a merge (merge_folders(layers="i/n")) what one merge writes, byte for byte.

    parts: their folders, in any order. The adapters are opened again, as the parts name them: where these are relative
    paths, from the same folder. force: replace an existing adapter folder.

    Returns the merge's report. AdapterError, with nothing written, where parts are missing, are there twice, are of
    different merges, or where they or the adapters were changed since.
    """
    started = time.monotonic()
    folders = [folder_at(Path(part)) for part in parts]
    found = [_read(folder) for folder in folders]
    _check_complete(folders, found)
    first = found[0]
    how = {**first.how}
    dense, most = bool(how.get("dense")), how.get("max_shard_size")
    if isinstance(how.get("recipe"), dict):
        how["recipe"] = {**how["recipe"], "output": os.fspath(output)}
    reading = Options(
        dense=dense,
        dtype=how.get("dtype"),
        **{name: how.get(name, ()) for name in ("include", "exclude", "rename")},
        allow_missing=bool(how.get("allow_missing")),
    )
    prepared = PreparedFolders(first.adapters, reading, how.get("others", "refuse"), first.base, keep=False)
    _check_inputs(prepared, first)
    pieces, order = _pieces(folders, found)
    job = prepared.job(reading)
    if {group_of(layer, dense) for layer in job.layers} != order.keys():
        raise AdapterError(
            f"{shown(folders[0])}: expected a part of a merge of {', '.join(map(shown, first.adapters))}, got other "
            "modules; merge again"
        )
    target = Path(output)
    there, one_file = prepared.output(target, dense, force, [Path(piece.file) for piece in pieces])

    def fill(folder: Path) -> Outcome:
        with _fitting(folders[0]), pieces_folder(folder if one_file else folder.parent) as place:
            return assemble(
                pieces, order, job, prepared.form, prepared.turned(dense),
                folder / (target.name if one_file else prepared.weights(dense)), place, bool(how.get("ragged")),
                prepared.beside, most, lambda shards, ranks: _write(shards, None if dense else prepared.form, ranks),
            )  # fmt: skip

    said = Said(first.method, first.space, first.scale, started)
    return Publication(prepared, target, there, one_file, dense, said).publish(how, fill)


@contextmanager
def _fitting(folder: Path) -> Iterator[None]:
    """AdapterError for records that are whole and untrue of what lies beside them."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        if isinstance(error, CoreMergeError):
            raise
        raise AdapterError(
            f"{shown(folder)}: the parts do not fit together: {type(error).__name__}: {reason(error)}; merge them again"
        ) from error


def _write(shards: Sequence[Shard], form: Form | None, ranks: Mapping[str, int]) -> dict[str, str]:
    for shard in shards:
        shard.write(form, ranks)
    return {}


def _read(folder: Path) -> PartRecord:
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


def _check_complete(folders: Sequence[Path], parts: Sequence[PartRecord]) -> None:
    """AdapterError unless the parts are of one merge, and all of its."""
    if not parts:
        raise AdapterError("parts: expected the folders of all parts of a merge, got none")
    first, n = parts[0], parts[0].part[1]
    expected = first.settings()
    seen: dict[int, Path] = {}
    for folder, part in zip(folders, parts, strict=True):
        i = part.part[0]
        if part.part[1] != n:
            raise AdapterError(
                f"{shown(folder)}: expected one of {n} parts, as {shown(folders[0])} is, got part {i} of "
                f"{part.part[1]}; join parts of one merge"
            )
        mine = part.settings()
        if differs := next((key for key in {**expected, **mine} if expected.get(key) != mine.get(key)), None):
            raise AdapterError(
                f"{shown(folder)}: {differs}: expected {shown(json.dumps(expected.get(differs)))} as in "
                f"{shown(folders[0])}, got {shown(json.dumps(mine.get(differs)))}; join parts of one merge, with the "
                "same settings and inputs"
            )
        if i in seen:
            raise AdapterError(f"{shown(folder)}: part {i} of {n} is {shown(seen[i])}, too; give each part once")
        seen[i] = folder
    if missing := [i for i in range(1, n + 1) if i not in seen]:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise AdapterError(
            f"parts: expected all {n}, got {len(seen)}: part {', '.join(map(str, missing[:5]))}{more} is missing; "
            f"make it with coremerge merge --layers {missing[0]}/{n}"
        )


def _check_inputs(prepared: PreparedFolders, part: PartRecord) -> None:
    now = [stamp[1:] for stamp in stamps(prepared.adapters)]
    if now != part.stamps:
        paths = [path for adapter in prepared.adapters for path in adapter.files]
        odd = next((i for i, (a, b) in enumerate(zip(now, part.stamps, strict=False)) if a != b), 0)
        raise AdapterError(f"{shown(paths[odd])}: changed since the parts were merged; merge them again")


def _pieces(folders: Sequence[Path], parts: Sequence[PartRecord]) -> tuple[list[Piece], dict[str, int]]:
    """All pieces, with their files' whole paths, and the order of the groups. AdapterError where a file is another."""
    pieces: list[Piece] = []
    order: dict[str, int] = {}
    for folder, part in zip(folders, parts, strict=True):
        for piece in part.pieces:
            path = folder / piece.file
            if not is_regular_file(path) or records.sha256(path) != piece.sha256:
                raise AdapterError(
                    f"{shown(path)}: is not the file that {PART} beside it describes; merge this part again"
                )
            order |= {group: index for group, (index, _) in piece.groups.items()}
            sizes = {group: sizes for group, (_, sizes) in piece.groups.items()}
            pieces.append(Piece(os.path.abspath(path), sizes, Outcome(piece.ranks, piece.facts, piece.zeros)))
    if sorted(order.values()) != list(range(parts[0].groups)):
        raise AdapterError(f"{shown(folders[0])}: the parts do not hold every module once; merge them again")
    return pieces, order
