"""What lies at a path, found out by looking inside: configs, headers and first bytes, never names alone."""

import os
from functools import cached_property
from pathlib import Path
from typing import Any

from coremerge_ref.adapters.contents import PART
from coremerge_ref.adapters.files import folder_at, identity, is_regular_file, open_regular, read_json
from coremerge_ref.adapters.formats.shards import INDEX, ShardedFile
from coremerge_ref.adapters.hub import ADAPTER, located
from coremerge_ref.adapters.tensors import TensorFile
from coremerge_ref.errors import AdapterError, shown

CONFIG, WEIGHTS, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
_POINTER = b"version https://git-lfs.github.com/spec/"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
DIFFUSERS_WEIGHTS = "pytorch_lora_weights.safetensors"
GGUF = b"GGUF"


class Place:
    """A path that should hold one adapter: a folder or a file. What it holds is read when first asked for.

    given: where it is. called: the path as it was given, of hf://… with the commit. initial: for
    TRAINED@INITIAL, where INITIAL is; path is then TRAINED's.
    """

    initial: "Place | None" = None

    def __init__(self, path: str | Path) -> None:
        """AdapterError if nothing readable is there."""
        self.given, self.called = located(path, ADAPTER)
        self.look()

    def look(self) -> None:
        """Sees what is there now; what was read before is forgotten. AdapterError if nothing readable is there."""
        for read in ("fields", "single", "gguf"):
            self.__dict__.pop(read, None)
        trained, mark, initial = str(self.given).rpartition("@")
        if mark and _is_folder(trained) and _is_folder(initial) and not is_regular_file(self.given):
            self.path, self.initial = folder_at(Path(trained)), Place(initial)
        else:
            self.path = self.given if is_regular_file(self.given) else folder_at(self.given)
        if self.path.is_dir() and is_regular_file(self.path / PART):
            raise AdapterError(f"{shown(self.path)}: is a part of a merge; make an adapter of all with coremerge join")
        self._seen = self._now()

    @property
    def is_there(self) -> bool:
        """Whether what was seen is still there: merges replace folders as a whole, others write into them.

        The number of a folder says nothing alone: that of one that was removed soon is another's, and one that was
        exchanged and put back has the same. Its time of change is then another.
        """
        return self._now() == self._seen and (self.initial is None or self.initial.is_there)

    def _now(self) -> tuple[Any, ...]:
        try:
            changed = os.stat(self.path).st_ctime_ns
        except OSError:
            changed = None
        return identity(self.path), changed, identity(self.path / CONFIG)

    @cached_property
    def fields(self) -> dict[str, Any] | None:
        """adapter_config.json; None where there is none."""
        path = self.path / CONFIG
        if is_regular_file(self.path) or not is_regular_file(path):
            return None
        refuse_pointer(path)
        return read_json(path)

    @cached_property
    def single(self) -> TensorFile | None:
        """The one safetensors file that is given, or that lies in a folder without a config; None if there is none."""
        path = (
            self.path if is_regular_file(self.path) else None if self.fields is not None else self._alone("safetensors")
        )
        if path is None or path.suffix.lower() in (*PICKLES, ".json") or first_bytes(path, 4) == GGUF:
            return None
        refuse_pointer(path)
        return TensorFile(path)

    @cached_property
    def gguf(self) -> Path | None:
        """The one GGUF file that is given, or that lies in the folder; None if there is none."""
        path = self._alone("gguf")
        return path if path is not None and first_bytes(path, 4) == GGUF else None

    def _alone(self, suffix: str) -> Path | None:
        """The file that is given, or the one file with that suffix in a folder without a config."""
        if is_regular_file(self.path):
            return self.path
        if self.fields is not None:
            return None
        preferred = self.path / DIFFUSERS_WEIGHTS
        if suffix == "safetensors" and is_regular_file(preferred):
            return preferred
        files = sorted(path for path in self.path.glob(f"*.{suffix}") if is_regular_file(path))
        return files[0] if len(files) == 1 else None

    @property
    def peft_type(self) -> Any:
        """What the config says, None where it says nothing."""
        return None if self.fields is None else self.fields.get("peft_type")

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


def first_bytes(path: Path, count: int) -> bytes:
    """The first bytes of a file; none if it cannot be read."""
    try:
        with open_regular(path) as file:
            return file.read(count)
    except (OSError, ValueError):
        return b""


def refuse_pointer(path: Path) -> None:
    """AdapterError if `path` is what git leaves in place of a large file that was not downloaded."""
    if first_bytes(path, len(_POINTER)) == _POINTER:
        raise AdapterError(
            f"{shown(path)}: a git-lfs pointer, not the file itself; download it with git lfs pull, or from the hub"
        )


def _is_folder(path: str) -> bool:
    try:
        return os.path.isdir(path)
    except ValueError:  # a null character
        return False


def pickled(path: Path) -> str:
    """Why a pickled file is refused, and what to do."""
    return (
        f"{shown(path)}: refused, pickled files can run code when opened; load the adapter with PEFT where you trust "
        "it and save it with save_pretrained, which writes safetensors"
    )
