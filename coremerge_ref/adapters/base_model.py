"""A base model on disk: its safetensors files, where each weight lies, and which weight a module's is."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from coremerge_ref.adapters.conversions import tables
from coremerge_ref.adapters.files import is_regular_file, open_regular, read_json
from coremerge_ref.adapters.formats.place import GGUF, PICKLES, first_bytes, refuse_pointer
from coremerge_ref.adapters.formats.spellings import is_update
from coremerge_ref.adapters.hub import MODEL, located
from coremerge_ref.adapters.tensors import DTYPES, Entry, TensorFile, byte_ranges
from coremerge_ref.adapters.widths import BaseShapes
from coremerge_ref.errors import AdapterError, shown

CONFIG, INDEX = "config.json", ".safetensors.index.json"
_PIECE = 2**24  # bytes that are copied at a time
# What libraries put beside a packed weight, or call it: numbers that say nothing without the rest.
_WEIGHT = ".weight"
_NEAR = 4  # weights that share the end of a module's name; where more do, it says nothing
_PACKED = (".weight.absmax", ".weight_scale", ".weight_scale_inv", ".SCB", ".qweight", ".scales")


class BaseModel(BaseShapes):
    """A folder with a model's safetensors files, or one such file. Headers are read at once, weights when asked for.

    files: the shards by name, in order. index: the name of the file that says which tensor is in which, or None.
    names: after match, the weight of each module. config: config.json, {} where there is none.

    AdapterError for quantised models, pickles, GGUF, and files that do not belong together.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self.called = located(path, MODEL)
        self.one_file = is_regular_file(self.path)
        self.folder = self.path.parent if self.one_file else self.path
        if not self.one_file and not self.path.is_dir():
            raise AdapterError(f"{shown(self.path)}: expected a base model, but nothing is there; check the path")
        self.config: dict[str, Any] = {}
        if not self.one_file and is_regular_file(self.path / CONFIG):
            self.config = read_json(self.path / CONFIG)
        if self.config.get("quantization_config"):
            raise AdapterError(
                f"{shown(self.path / CONFIG)}: quantization_config: a quantised base model is refused, since its "
                "numbers are codes; give the model that it was made of"
            )
        self.index, names = self._shards()
        self.files: dict[str, TensorFile] = {}
        self.places: dict[str, str] = {}
        self.entries: dict[str, Entry] = {}
        for name in names:
            if not is_regular_file(self.folder / name):
                raise AdapterError(
                    f"{shown(self.folder / name)}: expected this file, which {self.index} names, got none; download it"
                )
            refuse_pointer(self.folder / name)
            file = self.files[name] = TensorFile(self.folder / name)
            if twice := next((tensor for tensor in file.entries if tensor in self.entries), None):
                raise AdapterError(
                    f"{shown(file.path)}: tensor {shown(twice)}: is in {self.places[twice]} too; give one model's files"
                )
            self.places |= dict.fromkeys(file.entries, name)
            self.entries |= file.entries
        if any(map(is_update, self.entries)):
            raise AdapterError(
                f"{shown(self.path)}: expected a base model, got an adapter; give the model's folder or file"
            )
        self.names: dict[str, str] = {}

    def _shards(self) -> tuple[str | None, list[str]]:
        if self.one_file:
            if self.path.suffix.lower() in PICKLES or first_bytes(self.path, 4) == GGUF:
                raise AdapterError(
                    f"{shown(self.path)}: expected safetensors, got a pickled or GGUF file; save the model with "
                    "save_pretrained, which writes safetensors"
                )
            return None, [self.path.name]
        indices = sorted(path.name for path in self.path.glob(f"*{INDEX}"))
        if len(indices) == 1:
            places = read_json(self.path / indices[0]).get("weight_map")
            if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
                raise AdapterError(
                    f"{shown(self.path / indices[0])}: expected a weight_map of tensors and files; download it again"
                )
            if outside := [name for name in places.values() if Path(name).name != name]:
                raise AdapterError(
                    f"{shown(self.path / indices[0])}: expected files beside it, got {shown(outside[0])}"
                )
            return indices[0], sorted(set(places.values()))
        files = sorted(path.name for path in self.path.glob("*.safetensors"))
        if len(files) == 1:
            return None, files
        what = f"{len(files)} of them and no index that says what is where" if files else "none"
        raise AdapterError(
            f"{shown(self.path)}: expected the base model's *.safetensors, got {what}; save the model with "
            "save_pretrained, or give one file"
        )

    def of(self, path: str) -> tuple[int, ...] | None:
        """Shape of the weight that `match` found for the module at `path`."""
        name = self.names.get(path)
        return self.entries[name].shape if name else super().of(path)

    def match(self, paths: Sequence[str]) -> dict[str, str]:
        """{module path: the name of its weight here}, for those that have one.

        Names of adapters and checkpoints differ by what stands before all of them, by a _ for every dot in single
        files, and by what transformers renames on loading. One way is taken for all modules: that which serves most.
        """
        modules = {name.removesuffix(_WEIGHT): name for name in self.entries if name.endswith(_WEIGHT)}
        ways = [modules, {module.replace(".", "_"): name for module, name in modules.items()}]
        self.names = max((_with_one_prefix(paths, way) for way in ways), key=len)
        if 2 * len(self.names) < len(paths):
            ways = [{table.rename(module): name for module, name in modules.items()} for table in tables()]
            self.names = max((self.names, *(_with_one_prefix(paths, way) for way in ways)), key=len)
        return self.names

    def check_plain(self, name: str) -> Entry:
        """The entry of a weight that holds numbers; AdapterError if it is a quantised one's."""
        entry = self.entries[name]
        module = name.removesuffix(_WEIGHT)
        beside = [end for end in _PACKED if module + end in self.entries]
        if entry.code not in DTYPES or beside:
            raise AdapterError(
                f"{shown(self.path)}: tensor {shown(name)}: a quantised base model is refused "
                f"({', '.join([entry.code, *beside])}), since its numbers are codes; give the model that it was made of"
            )
        return entry

    def read(self, name: str) -> np.ndarray:
        """One weight, to be written to."""
        return np.require(self.files[self.places[name]].read([name])[name], requirements=["W", "C"])

    def size(self, name: str) -> int:
        """Bytes of one tensor."""
        begin, end = self._offsets[self.places[name]][name]
        return end - begin

    def pieces(self, name: str) -> Iterator[bytes]:
        """The bytes of one tensor, a piece at a time."""
        file = self.files[self.places[name]].path
        begin, end = self._offsets[self.places[name]][name]
        with open_regular(file) as source:
            source.seek(begin)
            while begin < end:
                piece = source.read(min(_PIECE, end - begin))
                if not piece:
                    raise AdapterError(f"{shown(file)}: changed while it was read; try again")
                begin += len(piece)
                yield piece

    @cached_property
    def _offsets(self) -> dict[str, dict[str, tuple[int, int]]]:
        """{file: {tensor: where its bytes are}}."""
        return {name: byte_ranges(self.folder / name) for name in self.files}

    def others(self) -> Iterator[tuple[str, bool]]:
        """(name, whether it is a file to copy) of what else is in the folder: other weights and folders are not."""
        for entry in sorted(os.scandir(self.folder), key=lambda entry: entry.name):
            if entry.name in self.files or entry.name in (self.index, CONFIG) or entry.name.startswith("."):
                continue
            weights = entry.name.lower().endswith((*PICKLES, ".safetensors", ".gguf", ".h5", ".msgpack", ".onnx"))
            yield entry.name, entry.is_file() and not weights and not entry.name.endswith(".index.json")


def _with_one_prefix(paths: Sequence[str], modules: Mapping[str, str]) -> dict[str, str]:
    """{path: value in `modules`} of paths that are its keys once one prefix is taken from all, another put there."""
    exact = {path: modules[path] for path in paths if path in modules}
    if len(exact) == len(paths):
        return exact
    ending: dict[str, list[str]] = {}
    for module in modules:
        for tail in _tails(module):
            ending.setdefault(tail, []).append(module)
    pairs: Counter[tuple[str, str]] = Counter()  # (what is taken from a path, what is put there)
    for path in paths:
        tail = next((tail for tail in _tails(path) if tail in ending), "")
        near = ending.get(tail, [])
        if len(near) <= _NEAR:
            pairs.update((path.removesuffix(tail), module.removesuffix(tail)) for module in near)
    best = exact
    for (mine, theirs), _ in pairs.most_common(_NEAR * _NEAR):
        moved = {path: modules.get(theirs + path.removeprefix(mine)) for path in paths if path.startswith(mine)}
        there = {path: name for path, name in moved.items() if name is not None}
        there |= {path: name for path, name in exact.items() if name not in there.values()}
        best = max(best, there, key=len)
    return best


def _tails(path: str) -> Iterator[str]:
    """The path and all that follows one of its dots or, where it has none, underscores; the longest first."""
    yield path
    mark = "." if "." in path else "_"
    for i, character in enumerate(path):
        if character == mark:
            yield path[i + 1 :]
