"""All parts of a merge, joined into what one merge writes."""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from coremerge_ref.adapters import record as records
from coremerge_ref.adapters.assembling import Shard, assemble
from coremerge_ref.adapters.contents import PART
from coremerge_ref.adapters.files import folder_at, is_regular_file
from coremerge_ref.adapters.forms.base import Form
from coremerge_ref.adapters.order import stamps
from coremerge_ref.adapters.parts import PartRecord, read_part
from coremerge_ref.adapters.pieces import Piece, group_of
from coremerge_ref.adapters.prepared import PreparedFolders
from coremerge_ref.adapters.publishing import Publication, Said
from coremerge_ref.adapters.ready import Options
from coremerge_ref.adapters.report import MergeReport
from coremerge_ref.adapters.spreading import pieces_folder
from coremerge_ref.adapters.writing import Outcome
from coremerge_ref.errors import AdapterError, CoreMergeError, reason, shown

_THREADS = 4  # that check pieces, and write and hash an output of several files
T = TypeVar("T")
R = TypeVar("R")


def join_parts(parts: Sequence[str | Path], output: str | Path, *, force: bool = False) -> MergeReport:
    """Makes of all parts of a merge (merge_folders(layers="i/n")) what one merge writes, byte for byte.

    parts: their folders, in any order. The adapters are opened again, as the parts name them: where these are relative
    paths, from the same folder. force: replace an existing adapter folder.

    Returns the merge's report. AdapterError, with nothing written, where parts are missing, are there twice, are of
    different merges, or where they or the adapters were changed since.
    """
    started = time.monotonic()
    folders = [folder_at(Path(part)) for part in parts]
    found = [read_part(folder) for folder in folders]
    _check_complete(folders, found)
    first = found[0]
    how = {**first.how}
    dense, most = bool(how.get("dense")), how.get("max_shard_size")
    if isinstance(how.get("recipe"), dict):
        how["recipe"] = {**how["recipe"], "output": os.fspath(output)}
    reading = Options(
        dense=dense,
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
    if len(shards) == 1:  # beside which a form may write more; hashed with that
        shards[0].write(form, ranks)
        return {}

    def write(shard: Shard) -> str:
        shard.write(form, ranks)
        return records.sha256(shard.path)

    return {shard.path.name: digest for shard, digest in zip(shards, _on_threads(write, shards), strict=True)}


def _on_threads(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """function(item) of each, on a few threads: who reads, writes or hashes lets others run."""
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            return list(pool.map(function, items))
        finally:
            pool.shutdown(cancel_futures=True)


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
    paths = [folder / piece.file for folder, part in zip(folders, parts, strict=True) for piece in part.pieces]
    digests = iter(_on_threads(lambda path: records.sha256(path) if is_regular_file(path) else None, paths))
    for folder, part in zip(folders, parts, strict=True):
        for piece in part.pieces:
            path = folder / piece.file
            if next(digests) != piece.sha256:
                raise AdapterError(
                    f"{shown(path)}: is not the file that {PART} beside it describes; merge this part again"
                )
            order |= {group: index for group, (index, _) in piece.groups.items()}
            sizes = {group: sizes for group, (_, sizes) in piece.groups.items()}
            pieces.append(Piece(os.path.abspath(path), sizes, Outcome(piece.ranks, piece.facts, piece.zeros)))
    if sorted(order.values()) != list(range(parts[0].groups)):
        raise AdapterError(f"{shown(folders[0])}: the parts do not hold every module once; merge them again")
    return pieces, order
