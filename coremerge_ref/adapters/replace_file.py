"""An output that is one file: it appears whole or not at all, with the record of its merge beside it."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from coremerge_ref.adapters.exchange import rename_new
from coremerge_ref.adapters.files import identity, is_regular_file
from coremerge_ref.adapters.replace import Output
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
        if not os.path.lexists(output):
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

    The record first, the file last, each by one rename; nothing else of the folder stays, and nothing where the body
    raises. AdapterError where the disk refuses, and where the file is not the one, or not as, it was when checked.
    """
    output = place.path
    try:
        hidden = Path(tempfile.mkdtemp(prefix=f".{output.name[:40]}.coremerge-", dir=output.parent))
    except OSError as error:
        raise AdapterError(f"{shown(output)}: cannot be written: {reason(error)}") from error
    try:
        yield hidden
        if identity(output) != place.was:  # looked at here, too, so that the old file keeps its record
            raise _changed(output)
        for source, target in ((record, record_beside(output, record)), (output.name, output)):
            with open(hidden / source, "rb+") as file:
                os.fsync(file.fileno())
            if target == output:
                _put(hidden / source, place)
            else:
                os.replace(hidden / source, target)
    except OSError as error:
        if isinstance(error, AdapterError):
            raise
        raise AdapterError(f"{shown(output)}: cannot be written: {reason(error)}; nothing was put there") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


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
