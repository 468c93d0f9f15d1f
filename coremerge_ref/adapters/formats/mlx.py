"""MLX folders: adapter_config.json without a peft_type, and adapters.safetensors; read without mlx."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coremerge_ref.adapters.config import AdapterConfig, Alpha
from coremerge_ref.adapters.files import is_regular_file
from coremerge_ref.adapters.formats.base import Reader
from coremerge_ref.adapters.formats.place import CONFIG, Place, refuse_pointer
from coremerge_ref.adapters.formats.refused import EXTRACT_ANY
from coremerge_ref.adapters.modules import LINEAR, Module, checked, widest
from coremerge_ref.adapters.names import by_role
from coremerge_ref.adapters.tensors import Entry, TensorFile
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.errors import AdapterError, shown

MLX_WEIGHTS = "adapters.safetensors"
SUFFIXES = {"A": ".lora_a", "B": ".lora_b"}
_FIELDS = ("fine_tune_type", "lora_parameters")


class MlxConfig(AdapterConfig):
    """The one number that matters: lora_parameters.scale, which is the scaling itself."""

    scale: Alpha


class MlxReader(Reader):
    """ΔW = scale · (a b)ᵀ with a (in, r) and b (r, out); of experts scale · b a with a (E, r, in) and b (E, out, r).

    An embedding's a (vocabulary, r) and b (r, dimension) look like a linear layer's: they are merged as its transpose.
    """

    title = "MLX LoRA folders (mlx-lm, LM Studio), experts too"
    family = "mlx"

    @classmethod
    def recognise(cls, place: Place) -> bool:
        """By its config."""
        fields = place.fields
        return fields is not None and "peft_type" not in fields and any(name in fields for name in _FIELDS)

    def __init__(self, place: Place) -> None:
        self.path = place.path
        self.fields: dict[str, Any] = place.fields or {}
        path = place.path / CONFIG
        kind = self.fields.get("fine_tune_type", "lora")
        if kind != "lora":
            raise AdapterError(
                f"{shown(path)}: fine_tune_type {shown(str(kind))}: refused, it is no product of factors; {EXTRACT_ANY}"
            )
        parameters = self.fields.get("lora_parameters")
        if not isinstance(parameters, dict) or "scale" not in parameters:
            raise AdapterError(f"{shown(path)}: expected lora_parameters with a scale; save the adapter with mlx-lm")
        base = self.fields.get("model")
        known = {"scale": parameters["scale"], "base_model_name_or_path": base if isinstance(base, str) else None}
        self.config = MlxConfig.checked(path, known, frozenset())
        weights = place.path / MLX_WEIGHTS
        if not is_regular_file(weights):
            raise AdapterError(f"{shown(place.path)}: expected {MLX_WEIGHTS} in it; is this an MLX adapter folder?")
        refuse_pointer(weights)
        self.file, self.base_weights = TensorFile(weights), {}
        try:
            self.roles = by_role(self.file.entries, SUFFIXES, "an MLX LoRA")
            self.modules = {
                module.name: module for name, roles in self.roles.items() for module in self._modules(name, roles)
            }
        except AdapterError as error:
            raise AdapterError(f"{shown(weights)}: {error}") from error

    def _modules(self, name: str, roles: dict[str, str]) -> list[Module]:
        if roles.keys() != {"A", "B"}:
            raise AdapterError(f"module {shown(name)}: expected lora_a and lora_b; save the adapter again")
        a, b = (checked(roles[role], self.file.entries[roles[role]], (2, 3)) for role in "AB")
        assert isinstance(self.config, MlxConfig)
        scale, dtype = self.config.scale, widest(a.dtype, b.dtype)
        if len(a.shape) == len(b.shape) == 2 and a.shape[1] == b.shape[0]:
            return [Module(name, LINEAR, (b.shape[1], a.shape[0]), a.shape[1], scale, dtype)]
        if len(a.shape) == len(b.shape) == 3 and a.shape[0] == b.shape[0] and a.shape[1] == b.shape[2]:
            count, rank, n = a.shape
            return [
                Module(f"{name}[{i}]", LINEAR, (b.shape[1], n), rank, scale, dtype, stack=(name, i, count))
                for i in range(count)
            ]
        raise AdapterError(f"module {shown(name)}: {_misfit(a, b)}")

    def load(self, modules: Sequence[Module]) -> dict[str, LowRankUpdate]:
        """In the dtypes of the file."""
        arrays = self.file.read(dict.fromkeys(t for module in modules for t in self.roles[module.stem].values()))
        updates = {}
        for module in modules:
            a, b = (arrays[self.roles[module.stem][role]] for role in "AB")
            B, A = (b[module.stack[1]], a[module.stack[1]]) if module.stack else (b.T, a.T)
            updates[module.name] = LowRankUpdate(np.asarray(B), np.asarray(A), module.scale)
        return updates

    @property
    def files(self) -> tuple[Path, ...]:
        """The config and the weights."""
        return self.path / CONFIG, self.file.path


def _misfit(a: Entry, b: Entry) -> str:
    return (
        f"expected lora_a (in, r) and lora_b (r, out), or (E, r, in) and (E, out, r) of experts, got {a.shape} and "
        f"{b.shape}; the tensors do not belong together"
    )
