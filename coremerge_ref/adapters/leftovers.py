"""The hidden folders that outputs are made in, and those that killed runs left.

`.NAME.coremerge-XXXXXXXX`, beside the output, with a file MARK in it, locked while its writer lives. Only what has the
mark, is this user's and is locked by nobody is ever removed, and of that only what a merge writes and second names of
files that the output has, too.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from coremerge_ref.adapters.contents import is_replaced

MARK = "made-by-coremerge"
ALL_OURS = "nothing-of-others"  # beside MARK where nobody else's file ever gets a second name in NEW
NEW, OLD = "new", "old"


@dataclass(frozen=True)
class Hidden:
    """A hidden folder. new: the folder in it that is to be filled; mode: what any new folder has here."""

    path: Path
    mode: int

    @property
    def new(self) -> Path:
        """What is written, and, after an exchange, what came back."""
        return self.path / NEW

    @property
    def old(self) -> Path:
        """What made room, where nothing can be exchanged."""
        return self.path / OLD


@contextmanager
def hidden_folder(output: Path) -> Iterator[Hidden]:
    """A hidden folder beside `output`, for this user alone, locked. What becomes of it is left to the caller."""
    path = Path(tempfile.mkdtemp(prefix=_prefix(output), dir=output.parent))
    handle = -1
    try:
        _make_private(path)
        handle = _opened(path)
        with suppress(OSError):  # a file system without locks: then nobody else can lock it either, and it is not swept
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (path / MARK).touch()
        os.mkdir(path / NEW)
        hidden = Hidden(path, stat.S_IMODE(os.stat(path / NEW).st_mode))
        _make_private(hidden.new)
    except BaseException:
        discard(path)
        raise
    else:
        yield hidden
    finally:
        if handle >= 0:
            os.close(handle)


def _make_private(folder: Path) -> None:
    """For this user alone, also where the umask leaves less; the group that new files get stays."""
    os.chmod(folder, 0o700 | os.stat(folder).st_mode & stat.S_ISGID)


def mark_all_ours(new: Path) -> None:
    """Says of a hidden folder, by what is to be filled in it, that all of it may be removed once its writer is gone."""
    if (new.parent / MARK).exists():
        (new.parent / ALL_OURS).touch()


def discard(hidden: Path) -> None:
    """Removes a hidden folder with all that is in it."""
    shutil.rmtree(hidden, ignore_errors=True)


def sweep(output: Path) -> None:
    """Removes what killed runs left beside `output`."""
    with suppress(OSError):  # a parent that may not be listed has nothing to sweep
        for name in os.listdir(output.parent):
            if name.startswith(_prefix(output)):
                with suppress(OSError):
                    _sweep(output.parent / name, output)


def _sweep(hidden: Path, output: Path) -> None:
    handle = _opened(hidden)
    try:
        mark = os.stat(MARK, dir_fd=handle, follow_symlinks=False)
        if not stat.S_ISREG(mark.st_mode) or {mark.st_uid, os.fstat(handle).st_uid} != {os.geteuid()}:
            return
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # killed between two renames, where no exchange was possible: the output that was there is in OLD
        if os.path.lexists(hidden / OLD) and not os.path.lexists(output):
            return
        ours = os.path.lexists(hidden / ALL_OURS) and not os.path.lexists(hidden / OLD)
        if ours or all(_is_ours(folder, output) for folder in (hidden / NEW, hidden / OLD) if os.path.lexists(folder)):
            discard(hidden)
    finally:
        os.close(handle)


def _is_ours(folder: Path, output: Path) -> bool:
    """Whether nothing is lost with `folder`: it holds what merges write, and what `output` holds as well."""
    return all(is_replaced(folder / name) or _is_same(folder / name, output / name) for name in os.listdir(folder))


def _is_same(a: Path, b: Path) -> bool:
    """Whether two names are of one file, or of links to one place."""
    if not os.path.lexists(b):
        return False
    if a.is_symlink() and b.is_symlink():
        return os.readlink(a) == os.readlink(b)
    return not a.is_dir() and os.path.samestat(os.lstat(a), os.lstat(b))


def _opened(folder: Path) -> int:
    """A handle of a folder; a link is not followed, a pipe not waited for."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _prefix(output: Path) -> str:
    name = output.name
    while len(os.fsencode(name)) > 200:  # bytes; a name has at most 255
        name = name[:-1]
    return f".{name}.coremerge-"
