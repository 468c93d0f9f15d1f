"""A folder that appears whole or not at all.

Everything is written to a hidden sibling folder, synced to disk, and put in place by one rename. An existing output is
*exchanged* with the new folder in one system call (renameat2 with RENAME_EXCHANGE on Linux, renamex_np with RENAME_SWAP
on macOS), so that a kill or a power cut at any moment leaves the old output or the whole new one under its name, never
a mixture and never nothing. Where the system or the file system has no such call, two renames are used: a kill between
them leaves the name absent, with both folders whole beside it.

What a killed run leaves behind is removed by the next run that writes to the same place: each hidden folder is locked
while its writer lives.
"""

import ctypes
import errno
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coremerge_ref.adapters.files import reason, shown
from coremerge_ref.errors import AdapterError

_AT_FDCWD, _RENAME_EXCHANGE, _RENAME_SWAP = -100, 2, 2
_MARKS = ("adapter_config.json", "coremerge.json")  # a folder with one of these is an adapter and may be replaced


def check_output(output: Path, force: bool, inputs: list[Path]) -> None:
    """AdapterError unless `output` may be written: it is absent, or with force an adapter folder and no input."""
    try:
        if not output.parent.is_dir():
            raise AdapterError(f"{shown(output)}: expected its parent folder to exist; create it first")
        if not os.path.lexists(output):
            return
        if output.is_symlink() or not output.is_dir():
            raise AdapterError(f"{shown(output)}: expected a new folder, got a file or link; choose another output")
        if not force:
            raise AdapterError(f"{shown(output)}: already exists; choose another output, or replace it with --force")
        for given in inputs:
            if os.path.realpath(given) == os.path.realpath(output) or output.resolve() in given.resolve().parents:
                raise AdapterError(f"{shown(output)}: is an input ({shown(given)}), or holds it; choose another output")
        inside = sorted(os.scandir(output), key=lambda entry: entry.name)
        if inside and not any(entry.name in _MARKS for entry in inside):
            raise AdapterError(
                f"{shown(output)}: --force replaces adapter folders alone, this is none; remove it yourself"
            )
        for entry in inside:
            if entry.is_dir(follow_symlinks=False):
                raise AdapterError(
                    f"{shown(output)}: holds the folder {shown(entry.name)}, which --force would remove; move it"
                )
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, AdapterError):
            raise
        raise AdapterError(f"{shown(output)}: cannot be written: {reason(error)}") from error


@contextmanager
def replaced(output: Path, force: bool) -> Iterator[Path]:
    """A hidden folder to fill; on leaving, it becomes `output`. On any failure nothing is left of it.

    AdapterError where the disk is full or refuses to write. A folder that appeared meanwhile is
    replaced with force alone.
    """
    try:
        _sweep(output)
        hidden = Path(tempfile.mkdtemp(prefix=_prefix(output), dir=output.parent))
    except OSError as error:
        raise AdapterError(f"{shown(output)}: cannot be written: {reason(error)}") from error
    try:
        with _locked(hidden):
            yield hidden
            os.chmod(hidden, 0o777 & ~_umask())  # mkdtemp's are private
            for entry in os.scandir(hidden):
                _sync(entry.path)
            _sync(hidden)
            _put(hidden, output, force)
            _sync(output.parent)
    except OSError as error:
        raise AdapterError(f"{shown(output)}: cannot be written: {reason(error)}; nothing was changed") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)  # the unfinished folder, or the old output after an exchange


def _put(hidden: Path, output: Path, force: bool) -> None:
    if not os.path.lexists(output):
        os.rename(hidden, output)
    elif not force:
        raise FileExistsError(errno.EEXIST, "a folder appeared there meanwhile")
    elif not _exchange(hidden, output):
        aside = Path(tempfile.mkdtemp(prefix=_prefix(output), dir=output.parent)) / "old"
        os.rename(output, aside)
        try:
            os.rename(hidden, output)
        except OSError:
            os.rename(aside, output)
            raise
        shutil.rmtree(aside.parent, ignore_errors=True)


def _exchange(a: Path, b: Path) -> bool:
    """Exchanges two folders in one step; False where that is not possible."""
    library = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin" and hasattr(library, "renamex_np"):
        failed = library.renamex_np(os.fsencode(a), os.fsencode(b), _RENAME_SWAP)
    elif hasattr(library, "renameat2"):
        failed = library.renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE)
    else:
        return False
    code = ctypes.get_errno()
    if failed and code not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EXDEV):
        raise OSError(code, os.strerror(code))
    return not failed


def _prefix(output: Path) -> str:
    return f".{output.name[:100]}.coremerge-"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _sweep(output: Path) -> None:
    """Removes what killed runs left beside `output`: hidden folders that nobody holds the lock of."""
    for left in output.parent.glob(f"{_escaped(_prefix(output))}*"):
        if (left / "old").exists() and not output.exists():
            continue  # killed between two renames, where no exchange was possible: the old output is in there
        try:
            with _locked(left):
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue  # its writer lives, or it is not ours to remove


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _sync(path: str | Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
