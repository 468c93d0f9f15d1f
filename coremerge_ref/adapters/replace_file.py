"""An output that is one file: it appears whole or not at all, with the record of its merge beside it."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from coremerge_ref.adapters.exchange import rename_new
from coremerge_ref.adapters.files import identity, is_regular_file, read_json
from coremerge_ref.adapters.leftovers import discard, hidden_folder, mark_all_ours, sweep
from coremerge_ref.adapters.replace import Output, finish, is_there
from coremerge_ref.errors import AdapterError, reason, shown


def record_beside(output: Path, name: str) -> Path:
    """Where the record called `name` of an output file goes: merged.safetensors → merged.coremerge.json."""
    return output.with_name(f"{output.stem}.{name}")


def check_output_file(output: Path, force: bool, inputs: Iterable[Path]) -> Output:
    """AdapterError unless the file `output` may be written: nothing is there, or with force a file that is no input."""
    try:
        if not output.parent.is_dir():
            raise AdapterError(f"{shown(output)}: expected its parent folder to exist; create it first")
        seen = Output(output, None, was=identity(output))
        if not is_there(output):
            return seen
        if output.is_symlink() or not is_regular_file(output):
            raise AdapterError(f"{shown(output)}: expected a new file, got a folder or link; choose another output")
        if not force:
            raise AdapterError(f"{shown(output)}: already exists; choose another output, or replace it with --force")
        if any(os.path.realpath(given) == os.path.realpath(output) for given in inputs):
            raise AdapterError(f"{shown(output)}: is an input; choose another output")
        return seen
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, AdapterError):
            raise
        raise AdapterError(f"{shown(output)}: cannot be written: {reason(error)}") from error


@contextmanager
def replaced_file(place: Output, record: str) -> Iterator[Path]:
    """A hidden folder to write in; what is there at the end under the output's name and as `record` is put in place.

    Each by one rename, with the mode of what it replaces; a record is never beside a file that it does not tell of.
    Nothing else of the folder stays, and nothing where the body raises; what killed runs left is swept. AdapterError
    where the disk refuses, and where the file is not the one, or not as, it was when checked.
    """
    output, beside = place.path, record_beside(place.path, record)
    sweep(output)
    try:
        _check_record(beside, place)
        with hidden_folder(output) as hidden:
            try:
                mark_all_ours(hidden.new)
                yield hidden.new
                if identity(output) != place.was:  # looked at here, too, so that the old file keeps its record
                    raise _changed(output)
                finish(hidden.new / record, beside)
                finish(hidden.new / output.name, output)
                with _set_aside(beside, hidden.path / record):
                    _put(hidden.new / output.name, place)
                os.replace(hidden.new / record, beside)
            finally:
                discard(hidden.path)
    except OSError as error:
        if isinstance(error, AdapterError):
            raise
        raise AdapterError(f"{shown(output)}: cannot be written: {reason(error)}; nothing was put there") from error


def _check_record(beside: Path, place: Output) -> None:
    """AdapterError if what is where the record goes is anything but the record of this output alone."""
    if not os.path.lexists(beside):
        return
    if not is_regular_file(beside) or beside.is_symlink():
        raise AdapterError(f"{shown(beside)}: the record goes there, and there is a folder or link; move it")
    try:
        told = read_json(beside).get("outputs")
    except AdapterError:
        if place.was is not None:
            return
        raise AdapterError(f"{shown(beside)}: the record goes there, and something else is there; move it") from None
    for name in told if isinstance(told, dict) else ():
        if name != place.path.name and os.path.lexists(beside.parent / os.path.basename(name)):
            raise AdapterError(f"{shown(beside)}: is the record of {shown(name)}; choose another output")


@contextmanager
def _set_aside(record: Path, aside: Path) -> Iterator[None]:
    """The old record away from its place; back there where what happens meanwhile fails."""
    with suppress(FileNotFoundError):
        os.rename(record, aside)
    try:
        yield
    except BaseException:
        with suppress(FileNotFoundError):
            os.rename(aside, record)
        raise


def _put(made: Path, place: Output) -> None:
    output = place.path
    try:
        if place.was is None:
            rename_new(made, output)
        elif identity(output) == place.was:
            os.replace(made, output)
        else:
            raise _changed(output)
    except FileExistsError:
        raise _changed(output) from None


def _changed(output: Path) -> AdapterError:
    return AdapterError(f"{shown(output)}: what is there changed while the merge ran; it was not replaced")
