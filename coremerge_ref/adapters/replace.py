"""A folder that appears whole or not at all, and takes the place of nothing that it should not.

Everything is written to a hidden folder beside the output, synced to disk, and put in place by one system call. An
existing output is *exchanged* with the new one, so that a kill or a power cut at any moment leaves the old output or
the whole new one under its name, never a mixture and never nothing. Where the system or the file system has no such
call, two renames are used: a kill between them leaves the name absent, with both folders whole beside it.

Of an existing output, what a merge writes is replaced. Everything else in it is somebody else's: it gets a second name
(a hard link) in the new folder before the exchange. What is there is looked at three times: before the merge, just
before the exchange, and when it came back; where it is not what it was, the exchange is undone. What killed runs left
is removed by the next that writes to the same place (leftovers.py).
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from coremerge_ref.adapters.contents import Contents, contents, link_others, remove
from coremerge_ref.adapters.exchange import exchange, rename_new, sync
from coremerge_ref.adapters.leftovers import Hidden, discard, hidden_folder, sweep
from coremerge_ref.errors import AdapterError, reason, shown


@dataclass
class Output:
    """A folder that may be written. there: what it holds now, None where it is absent.

    notes: after it was written, what is worth knowing: files that were kept, and what could not be tidied. was: which
    file is there, for an output that is one.
    """

    path: Path
    there: Contents | None
    notes: list[str] = field(default_factory=list)
    was: tuple[int, ...] | None = None


def check_output(output: Path, force: bool, inputs: Iterable[Path]) -> Output:
    """What is at `output`. AdapterError unless it may be written: it is absent, or with force an adapter folder and
    holds none of the files `inputs`.
    """
    try:
        if not output.parent.is_dir():
            raise AdapterError(f"{shown(output)}: expected its parent folder to exist; create it first")
        if not is_there(output):
            return Output(output, None)
        if output.is_symlink() or not output.is_dir():
            raise AdapterError(f"{shown(output)}: expected a new folder, got a file or link; choose another output")
        if not force:
            raise AdapterError(f"{shown(output)}: already exists; choose another output, or replace it with --force")
        for given in inputs:
            if output.resolve() in (given.resolve(), *given.resolve().parents, given.parent.resolve()):
                raise AdapterError(f"{shown(output)}: is an input ({shown(given)}), or holds it; choose another output")
        return Output(output, contents(output))
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, AdapterError):
            raise
        raise AdapterError(f"{shown(output)}: cannot be written: {reason(error)}") from error


def is_there(output: Path) -> bool:
    """Whether anything is at `output`; ValueError and OSError where that can be no path, unlike os.path.lexists."""
    try:
        os.lstat(output)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def replaced(output: Output) -> Iterator[Path]:
    """A hidden folder to fill; on leaving, it becomes `output.path`. On any failure nothing is left of it.

    AdapterError where the disk is full or refuses to write, and where what is at the output is not what was checked;
    then nothing was changed. What goes wrong after that is in `output.notes`.
    """
    path = output.path
    sweep(path)
    known: Contents | None = None
    try:
        with hidden_folder(path) as hidden:
            ours = os.lstat(hidden.new).st_ino
            try:
                yield hidden.new
                known = _prepare(hidden, output)
                _put(hidden, path, known)
            finally:
                _tidy(hidden, ours, known, output)
    except OSError as error:
        raise AdapterError(f"{shown(path)}: cannot be written: {reason(error)}; nothing was changed") from error
    try:
        sync(path.parent)
    except OSError as error:
        output.notes.append(
            f"{path}: is written, but its parent folder cannot be synced to disk ({reason(error)}): a power cut in the "
            "next seconds could undo it"
        )


def _prepare(hidden: Hidden, output: Output) -> Contents | None:
    """All that is in the new folder synced, with the modes of what it replaces, and the files of others beside it.

    Returns what is at the output now; AdapterError if that is not what was there before the merge.
    """
    path, known, mode = output.path, None, hidden.mode
    if os.path.lexists(path):
        known, mode = _contents(path), stat.S_IMODE(os.lstat(path).st_mode)
    if (known and (known.folder, known.replaced)) != (output.there and (output.there.folder, output.there.replaced)):
        raise _changed(path)
    for entry in list(os.scandir(hidden.new)):
        finish(Path(entry.path), path / entry.name)
    if known:
        link_others(known, path, hidden.new)
    sync(hidden.new)
    os.chmod(hidden.new, mode)
    return known


def finish(made: Path, old: Path) -> None:
    """A file synced, with the mode of the one that it replaces."""
    mode = os.stat(old if old.is_file() else made).st_mode
    os.chmod(made, 0o600)  # also where the umask leaves nothing
    sync(made)
    os.chmod(made, stat.S_IMODE(mode))


def _put(hidden: Hidden, path: Path, known: Contents | None) -> None:
    """The new folder in place; what was there in the hidden folder, if it is what is known, else where it was."""
    if known is None:
        try:
            rename_new(hidden.new, path)
        except FileExistsError:
            raise _changed(path) from None
    elif exchange(hidden.new, path):
        if _contents(hidden.new) != known:
            exchange(hidden.new, path)
            raise _changed(path)
    else:
        os.rename(path, hidden.old)
        try:
            if _contents(hidden.old) != known:
                raise _changed(path)
            rename_new(hidden.new, path)
        except BaseException:
            rename_new(hidden.old, path)
            raise


def _tidy(hidden: Hidden, ours: int, known: Contents | None, output: Output) -> None:
    """Removes the hidden folder: what was written and is not in place, and what was replaced if it is what is known."""
    for folder in (hidden.new, hidden.old):
        try:
            if os.path.lexists(folder) and os.lstat(folder).st_ino != ours:
                assert known, "nothing is exchanged with what was not looked at"
                remove(folder, known)
                output.notes += [f"kept in {output.path}: {', '.join(known.others)}"] if known.others else []
        except (OSError, AdapterError) as error:
            output.notes.append(f"{folder}: what was replaced is left there: it cannot be removed ({reason(error)})")
            return
    discard(hidden.path)


def _contents(folder: Path) -> Contents | None:
    """What is in the folder; None where it is none that may be replaced."""
    try:
        return contents(folder)
    except (OSError, AdapterError):
        return None


def _changed(path: Path) -> AdapterError:
    return AdapterError(
        f"{shown(path)}: what is there changed while the merge ran; nothing was replaced: look at it and merge again"
    )
