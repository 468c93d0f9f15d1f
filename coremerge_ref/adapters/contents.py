"""What a folder holds that a merge is to replace: what the merge would write, and what is somebody else's."""

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from coremerge_ref.adapters import card
from coremerge_ref.errors import AdapterError, shown

# What any merge writes, and a later one may remove. README.md is ours where it says so.
WRITTEN = frozenset(
    {
        "adapter_config.json",
        "adapter_model.safetensors",
        "adapters.safetensors",
        "adapter.gguf",
        "coremerge.json",
        "delta_weights.safetensors",
        "pytorch_lora_weights.safetensors",
    }
)
# Shards and their index; pieces of a part.
_NUMBERED = re.compile(
    r"(adapter_model|delta_weights)(-\d{5}-of-\d{5}\.safetensors|\.safetensors\.index\.json)|piece-\d{5}\.safetensors"
)
PART = "coremerge-part.json"
MARKS = ("adapter_config.json", "coremerge.json", PART)  # a folder with one of these is an adapter, or a part of one

Identity: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Contents:
    """A folder at one moment: which it is, the files that a merge replaces, and which file each of the others is."""

    folder: Identity
    replaced: dict[str, Identity]
    others: dict[str, Identity]


def contents(folder: Path) -> Contents:
    """What is in `folder`. AdapterError if it holds a folder or no adapter; OSError where it cannot be read."""
    status = os.lstat(folder)
    replaced: dict[str, Identity] = {}
    others: dict[str, Identity] = {}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            raise AdapterError(
                f"{shown(folder)}: holds the folder {shown(entry.name)}, which --force would remove; move it"
            )
        about = entry.stat(follow_symlinks=False)
        if is_replaced(Path(entry.path)):
            replaced[entry.name] = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
        else:
            others[entry.name] = (about.st_dev, about.st_ino)
    if others and not any(mark in replaced for mark in MARKS):
        raise AdapterError(f"{shown(folder)}: --force replaces adapter folders alone, this is none; remove it yourself")
    return Contents((status.st_dev, status.st_ino), replaced, others)


def is_replaced(path: Path) -> bool:
    """Whether a merge into the folder of `path` would write or remove it."""
    try:
        ours = path.name in (*WRITTEN, PART) or _NUMBERED.fullmatch(path.name)
        return bool(ours) or (path.name == card.NAME and card.is_ours(path))
    except OSError:  # a card that may not be read
        return False


def link_others(known: Contents, source: Path, target: Path) -> None:
    """Gives the files of others in `source` a second name in `target`.

    The same files, not copies: changes made meanwhile, and all that files have beside their bytes, are kept.
    AdapterError naming the one that cannot be.
    """
    for name in known.others:
        try:
            if name == card.NAME:  # somebody else's, though a card of ours was written
                (target / name).unlink(missing_ok=True)
            if os.path.islink(source / name):
                os.symlink(os.readlink(source / name), target / name)
            else:
                os.link(source / name, target / name)
        except OSError as error:
            raise AdapterError(
                f"{shown(source)}: holds {shown(name)}, which cannot be kept ({error.strerror}); move it, or choose "
                "another output"
            ) from error


def remove(folder: Path, known: Contents) -> None:
    """Removes a folder that holds what is known, and nothing else.

    OSError where it cannot be removed, and if it holds anything else.
    """
    os.chmod(folder, stat.S_IMODE(os.lstat(folder).st_mode) | 0o700)
    if contents(folder) != known:
        raise OSError(errno.EBUSY, "it changed meanwhile")
    for name in (*known.replaced, *known.others):
        os.unlink(folder / name)
    os.rmdir(folder)
