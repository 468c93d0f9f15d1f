"""What lies at a path, found out by looking inside: configs, headers and first bytes, never names alone."""

import os
from functools import cached_property
from pathlib import Path
from typing import Any

from coremerge_ref.adapters.files import folder_at, is_regular_file, read_json, shown
from coremerge_ref.adapters.formats.shards import INDEX, ShardedFile
from coremerge_ref.adapters.tensors import TensorFile
from coremerge_ref.errors import AdapterError

CONFIG, WEIGHTS, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
_POINTER = b"version https://git-lfs.github.com/spec/"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")


class Place:
    """A path that should hold one adapter: a folder or a file. What it holds is read when first asked for.

    given: the path as it was given. initial: for TRAINED@INITIAL, where INITIAL is; path is then TRAINED's.
    """

    initial: "Place | None" = None

    def __init__(self, path: str | Path) -> None:
        """AdapterError if nothing readable is there."""
        self.given = Path(path)
        trained, mark, initial = str(path).rpartition("@")
        if mark and os.path.isdir(trained) and os.path.isdir(initial) and not os.path.exists(path):
            self.path, self.initial = folder_at(Path(trained)), Place(initial)
        else:
            self.path = folder_at(self.given)

    @cached_property
    def fields(self) -> dict[str, Any]:
        """adapter_config.json. AdapterError if it is none, naming the folders below that have one."""
        path = self.path / CONFIG
        if not is_regular_file(path):
            below = sorted(child.parent.name for child in self.path.glob(f"*/{CONFIG}"))[:5]
            if below:
                raise AdapterError(
                    f"{shown(self.path)}: expected one adapter, got a folder of adapters: give one of those in it, "
                    f"such as {', '.join(shown(name) for name in below)}"
                )
        refuse_pointer(path)
        return read_json(path)

    @property
    def peft_type(self) -> Any:
        """What the config says, None where it says nothing."""
        return self.fields.get("peft_type")

    def weights(self) -> TensorFile | ShardedFile:
        """The tensors of a PEFT folder, in one file or in shards. AdapterError if there are none."""
        path = self.path / WEIGHTS
        if is_regular_file(path):
            refuse_pointer(path)
            return TensorFile(path)
        if is_regular_file(self.path / INDEX):
            return ShardedFile(self.path / INDEX)
        if is_regular_file(self.path / PICKLED):
            raise AdapterError(pickled(self.path / PICKLED))
        raise AdapterError(f"{shown(self.path)}: expected {WEIGHTS} in it; is this a PEFT adapter folder?")


def refuse_pointer(path: Path) -> None:
    """AdapterError if `path` is what git leaves in place of a large file that was not downloaded."""
    if not is_regular_file(path):
        return
    with open(path, "rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise AdapterError(
                f"{shown(path)}: a git-lfs pointer, not the file itself; download it with git lfs pull, or from the hub"
            )


def pickled(path: Path) -> str:
    """Why a pickled file is refused, and what to do."""
    return (
        f"{shown(path)}: refused, pickled files can run code when opened; load the adapter with PEFT where you trust "
        "it and save it with save_pretrained, which writes safetensors"
    )
