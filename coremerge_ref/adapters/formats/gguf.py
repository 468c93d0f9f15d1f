"""GGUF adapters of llama.cpp; read with the gguf package (extra `gguf`)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coremerge_ref.adapters.config import AdapterConfig
from coremerge_ref.adapters.formats.base import Reader
from coremerge_ref.adapters.formats.gguf_file import GgufFile
from coremerge_ref.adapters.formats.place import Place
from coremerge_ref.adapters.modules import EMBEDDING, LINEAR, Module, checked, widest
from coremerge_ref.adapters.names import by_role
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.errors import AdapterError, shown

SUFFIXES = {"A": ".lora_a", "B": ".lora_b"}
EMBEDDED = "token_embd.weight"


class GgufReader(Reader):
    """ΔW = s · b a with a (r, in) and b (out, r), experts first; s = alpha / r, or 1 where alpha is 0 or absent.

    Of the token embedding a is (vocabulary, r), b (dimension, r), and ΔW = s · a bᵀ. Names and the order of rows are
    llama.cpp's: GGUF adapters are merged with GGUF adapters alone.
    """

    title = "GGUF LoRA adapters of llama.cpp (F32, F16, BF16, Q8_0; extra `gguf`)"
    family = "gguf"

    @classmethod
    def recognise(cls, place: Place) -> bool:
        """By the first four bytes."""
        return place.gguf is not None

    def __init__(self, place: Place) -> None:
        assert place.gguf is not None
        self.gguf = GgufFile(place.gguf)
        self.file = self.gguf  # type: ignore[assignment]
        self.base_weights = {}
        values = self.gguf.values
        where = shown(place.gguf)
        if values.get("general.type") != "adapter" or values.get("adapter.type") != "lora":
            raise AdapterError(
                f"{where}: expected a GGUF of general.type 'adapter' and adapter.type 'lora', got "
                f"{shown(str(values.get('general.type')))} and {shown(str(values.get('adapter.type')))}; is it a model?"
            )
        if values.get("adapter.alora.invocation_tokens"):
            raise AdapterError(f"{where}: refused, Activated LoRA acts on some tokens alone; use one at a time")
        alpha = values.get("adapter.lora.alpha", 0.0)
        if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not np.isfinite(alpha):
            raise AdapterError(f"{where}: expected a finite adapter.lora.alpha, got {shown(str(alpha))}; make it anew")
        self.alpha = float(alpha)
        base = values.get("general.base_model.0.name")
        self.config = AdapterConfig(base_model_name_or_path=base if isinstance(base, str) else None)
        try:
            self.roles = by_role(self.gguf.entries, SUFFIXES, "a GGUF LoRA")
            self.modules = {
                module.name: module for name, roles in self.roles.items() for module in self._modules(name, roles)
            }
        except AdapterError as error:
            raise AdapterError(f"{where}: {error}") from error

    def _modules(self, name: str, roles: dict[str, str]) -> list[Module]:
        if roles.keys() != {"A", "B"}:
            raise AdapterError(f"module {shown(name)}: expected lora_a and lora_b; convert the adapter again")
        a, b = (checked(roles[role], self.gguf.entries[roles[role]], (2, 3)) for role in "AB")
        dtype = widest(a.dtype, b.dtype)
        misfit = AdapterError(
            f"module {shown(name)}: expected lora_a (r, in) and lora_b (out, r), experts first, got {a.shape} and "
            f"{b.shape}; the tensors do not belong together"
        )
        if len(a.shape) != len(b.shape):
            raise misfit
        if name == EMBEDDED:
            (vocabulary, r), dimension = a.shape[:2], b.shape[0]
            if len(a.shape) != 2 or b.shape[1] != r:
                raise misfit
            return [Module(name, EMBEDDING, (vocabulary, dimension), r, self._scale(r), dtype)]
        r, n, m = a.shape[-2], a.shape[-1], b.shape[-2]
        if b.shape[-1] != r or a.shape[:-2] != b.shape[:-2]:
            raise misfit
        if len(a.shape) == 2:
            return [Module(name, LINEAR, (m, n), r, self._scale(r), dtype)]
        count = a.shape[0]
        return [
            Module(f"{name}[{i}]", LINEAR, (m, n), r, self._scale(r), dtype, stack=(name, i, count))
            for i in range(count)
        ]

    def _scale(self, rank: int) -> float:
        return self.alpha / rank if self.alpha else 1.0  # as llama.cpp's llama_adapter_lora_weight::get_scale

    def load(self, modules: Sequence[Module]) -> dict[str, LowRankUpdate]:
        """In the dtypes of the file."""
        arrays = self.gguf.read(dict.fromkeys(t for module in modules for t in self.roles[module.stem].values()))
        updates = {}
        for module in modules:
            a, b = (arrays[self.roles[module.stem][role]] for role in "AB")
            if module.kind == EMBEDDING:
                B, A = a, b.T
            else:
                B, A = (b[module.stack[1]], a[module.stack[1]]) if module.stack else (b, a)
            updates[module.name] = LowRankUpdate(B, A, module.scale)
        return updates

    @property
    def files(self) -> tuple[Path, ...]:
        """The one file."""
        return (self.gguf.path,)
