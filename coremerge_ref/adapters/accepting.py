"""A place whose adapter is read without some of what it holds: modules left out, what was trained beside the update.

What is set aside never reaches the readers, which refuse what they cannot read; it is remembered here.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coremerge_ref.adapters.formats.place import Place
from coremerge_ref.adapters.formats.shards import ShardedFile
from coremerge_ref.adapters.names import BASE
from coremerge_ref.adapters.renaming import plain_path
from coremerge_ref.adapters.selection import chosen
from coremerge_ref.adapters.tensors import Entry, TensorFile

FIELDS = ("modules_to_save", "trainable_token_indices", "bias")
TOKENS = "trainable_tokens_delta"
# What PEFT's own tensors have in their names: none of these is a whole weight or a bias of the model.
_ADAPTER = re.compile(
    r"\.(lora|vera|hada|lokr|miss|delora|vblora|oft|boft|hra|ia3|ln_tuning|gralora|ranknum|fourierft)_?"
)
_FACTOR = ".lora_"


class Accepting(Place):
    """others: whether what was trained beside the update is set aside. exclude: patterns of modules to leave out.

    fields: the config without what is set aside. After weights(): set_aside, those fields; others, the names of those
    tensors; left_out, the paths of modules left out; entries, all tensors of the file.
    """

    def __init__(self, path: str | Path, others: bool, exclude: Sequence[str]) -> None:
        super().__init__(path)
        self._with_others, self._exclude = others, exclude
        self.set_aside: dict[str, Any] = {}
        self.others: list[str] = []
        self.left_out: set[str] = set()
        self.entries: dict[str, Entry] = {}

    @property
    def fields(self) -> dict[str, Any] | None:
        """adapter_config.json without what concerns the others."""
        read = super().fields
        if read is None:
            return None
        fields = dict(read)
        if self._with_others:
            aside = [name for name in FIELDS if fields.get(name) not in (None, "none", [], {})]
            self.set_aside = {name: fields.pop(name) for name in aside}
        return fields

    def weights(self) -> TensorFile | ShardedFile:
        """The tensors of the update."""
        self.file = super().weights()
        self.entries = self.file.entries
        modules = {name.rpartition(_FACTOR)[0] for name in self.entries if _FACTOR in name}
        excluded = {name for name in modules if not chosen(plain_path(name), (), self._exclude)}
        if len(excluded) < len(modules):  # with none left the plan says so, in words of patterns
            self.left_out = set(map(plain_path, excluded))
        self.others = [name for name in self.entries if self._with_others and _is_other(name, modules)]
        self.file.entries = {
            name: entry
            for name, entry in self.entries.items()
            if name not in self.others and plain_path(_module(name)) not in self.left_out
        }
        return self.file


def _module(name: str) -> str:
    return name.rpartition(_FACTOR)[0] or name.removesuffix(BASE)


def _is_other(name: str, modules: set[str]) -> bool:
    if not name.isprintable() or _ADAPTER.search(name) or name.removesuffix(BASE) in modules:
        return False
    return name.endswith((".weight", ".bias", TOKENS))
