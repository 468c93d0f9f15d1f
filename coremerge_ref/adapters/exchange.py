"""Folders put in place by one system call: renamed where nothing is, or exchanged with what is there."""

import ctypes
import errno
import os
import sys
from pathlib import Path

# Linux: renameat2 with RENAME_NOREPLACE, RENAME_EXCHANGE. macOS: renamex_np with RENAME_EXCL, RENAME_SWAP.
_AT_FDCWD = -100
_NEW, _EXCHANGE = (4, 2) if sys.platform == "darwin" else (1, 2)
_UNKNOWN = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EXDEV)  # to this system, or to this file system


def rename_new(source: Path, target: Path) -> None:
    """Renames `source`; FileExistsError if anything is at `target`, also where it appears at this very moment.

    Where the system cannot, it is looked at just before.
    """
    if not _rename(source, target, _NEW):
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        os.rename(source, target)


def exchange(a: Path, b: Path) -> bool:
    """Exchanges two folders in one step; False where that is not possible."""
    return _rename(a, b, _EXCHANGE)


def _rename(a: Path, b: Path, flags: int) -> bool:
    library = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin" and hasattr(library, "renamex_np"):
        failed = library.renamex_np(os.fsencode(a), os.fsencode(b), flags)
    elif hasattr(library, "renameat2"):
        failed = library.renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), flags)
    else:
        return False
    code = ctypes.get_errno()
    if failed and code not in _UNKNOWN:
        raise OSError(code, os.strerror(code))
    return not failed


def sync(path: str | Path) -> None:
    """Hands a file, or what a folder lists, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
