"""Single .safetensors files: kohya, LyCORIS, ComfyUI and diffusers, read by the ends of names, whatever comes before.

No table of architectures is needed: names are opaque, and all inputs of a merge use one scheme.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from coremerge_ref.adapters.config import AdapterConfig
from coremerge_ref.adapters.formats.base import Reader
from coremerge_ref.adapters.formats.hadamard import hadamard_module, hadamard_product
from coremerge_ref.adapters.formats.kronecker import kronecker_module, kronecker_product
from coremerge_ref.adapters.formats.lora import LoraConfig
from coremerge_ref.adapters.formats.peft_metadata import PEFT_METADATA, read_peft_metadata
from coremerge_ref.adapters.formats.place import Place
from coremerge_ref.adapters.formats.spellings import Found, group, is_update
from coremerge_ref.adapters.modules import Module, as_matrix, checked, factor_module, floating, widest
from coremerge_ref.adapters.patterns import scaling
from coremerge_ref.adapters.tensors import Entry
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.errors import AdapterError, shown

_ADVICE = "merge it into its checkpoint and extract a LoCon from the difference with coremerge extract"


class SingleFileReader(Reader):
    """ΔW = s · B A with s = alpha / r where the file has an alpha, as PEFT says where it has PEFT's fields, else 1."""

    title = (
        "single `.safetensors` files of kohya-ss, LyCORIS (LoRA, LoCon, LoHa, decomposed LoKr), ComfyUI and diffusers, "
        "in every spelling"
    )
    family = "single file"

    @classmethod
    def recognise(cls, place: Place) -> bool:
        """By the names of its tensors."""
        return place.single is not None and any(map(is_update, place.single.entries))

    def __init__(self, place: Place) -> None:
        assert place.single is not None
        self.file, self.base_weights = place.single, {}
        self.metadata: dict[str, str] = place.single.metadata
        entries = self.file.entries
        try:
            self.found = group(entries)
            self.alphas = self._read_alphas()
            configs = self._peft_configs()
            self.config = AdapterConfig(base_model_name_or_path=_base_of(self.metadata, configs))
            self.modules: dict[str, Module] = {}
            self.ones: dict[str, int] = {}  # axes of length 1 after (out, in), of 1 × 1 convolutions
            for name, found in self.found.items():
                self.modules[name] = self._module(name, found, entries, configs)
        except AdapterError as error:
            raise AdapterError(f"{shown(self.file.path)}: {error}") from error
        self.unsure_kernels = frozenset(name for name, found in self.found.items() if "A" not in found.roles)

    def set_kernel(self, name: str, kernel: tuple[int, ...]) -> None:
        """As the base class says; of 1 × 1 convolutions, as of those read, only the axes are kept."""
        if set(kernel[1:]) == {1}:
            self.ones[name] = len(kernel) - 1
        else:
            super().set_kernel(name, kernel)

    def _read_alphas(self) -> dict[str, float]:
        tensors = {name: found.roles["alpha"] for name, found in self.found.items() if "alpha" in found.roles}
        for tensor in tensors.values():
            entry = floating(tensor, self.file.entries[tensor])
            if math.prod(entry.shape) != 1:
                raise AdapterError(f"tensor {shown(tensor)}: expected one number, got shape {entry.shape}")
        values = self.file.read(tensors.values())
        alphas = {name: float(values[tensor].reshape(())) for name, tensor in tensors.items()}
        for name, alpha in alphas.items():
            if alpha == 0:
                raise AdapterError(
                    f"tensor {shown(tensors[name])}: refused, an alpha of 0 is r for sd-scripts and 0 for ComfyUI; "
                    "write r into it, or leave the module out"
                )
        return alphas

    def _peft_configs(self) -> dict[str, LoraConfig]:
        """What diffusers wrote of PEFT's config, by component ("unet", "transformer" …)."""
        text = self.metadata.get(PEFT_METADATA)
        if text is None:
            if any(name.startswith("base_model.model.") for name in self.found) and not self.alphas:
                raise AdapterError(
                    "the scaling of a PEFT adapter is in adapter_config.json: give the folder that holds both files"
                )
            return {}
        if self.alphas:
            raise AdapterError(
                f"expected alphas or {PEFT_METADATA}, got both, which diffusers refuses; remove the metadata"
            )
        return read_peft_metadata(text)

    def _module(
        self, name: str, found: Found, entries: Mapping[str, Entry], configs: Mapping[str, LoraConfig]
    ) -> Module:
        own = {role: entries[tensor] for role, tensor in found.roles.items() if role != "alpha"}
        if lycoris := _without_prefix(own, "hada_"):
            module, r = hadamard_module(name, lycoris, 1.0)
            return replace(module, scale=self.alphas.get(name, r) / r)
        if lycoris := _without_prefix(own, "lokr_"):
            module, r = kronecker_module(name, lycoris, 1.0, _ADVICE)
            return replace(module, scale=self.alphas.get(name, r) / r)
        if own.keys() not in ({"A", "B"}, {"A", "B", "mid"}):
            raise AdapterError(
                f"module {shown(name)}: expected both factors, got {shown(', '.join(found.roles.values()))}; "
                "the file is incomplete: download or save it again"
            )
        A, B = (checked(found.roles[role], own[role], (2, 3, 4, 5)) for role in "AB")
        scale = self._scale(name, A.shape[0], configs)
        if "mid" in own:
            return _tucker_module(name, A, B, checked(found.roles["mid"], own["mid"], (4,)), scale)
        self.ones[name] = len(A.shape) - 2 if A.shape[2:] == (1,) * (len(A.shape) - 2) else 0
        if self.ones[name] and B.shape[2:] == A.shape[2:]:
            A, B = Entry(A.code, A.shape[:2]), Entry(B.code, B.shape[:2])
        return factor_module(name, A, B, scale)

    def _scale(self, name: str, rank: int, configs: Mapping[str, LoraConfig]) -> float:
        if name in self.alphas:
            return self.alphas[name] / rank
        component, _, path = name.partition(".")
        if component not in configs:
            return 1.0
        expected, scale = scaling(path, configs[component])
        if expected != rank:
            raise AdapterError(
                f"module {shown(name)}: expected the rank r = {expected} of {PEFT_METADATA}, got {rank}; "
                "the metadata is of another file"
            )
        return scale

    def load(self, modules: Sequence[Module]) -> dict[str, LowRankUpdate]:
        """Plain factors in the dtypes of the file; other products in float64."""
        wanted = [t for m in modules for role, t in self.found[m.name].roles.items() if role != "alpha"]
        tensors = self.file.read(wanted)
        return {module.name: self._update(module, tensors) for module in modules}

    def _update(self, module: Module, tensors: Mapping[str, np.ndarray]) -> LowRankUpdate:
        arrays = {r: tensors[t] for r, t in self.found[module.name].roles.items() if r != "alpha"}
        if arrays.keys() == {"A", "B"}:
            return LowRankUpdate(as_matrix(arrays["B"]), as_matrix(arrays["A"]), module.scale)
        arrays = {role: array.astype(np.float64) for role, array in arrays.items()}
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # checked as a whole
            if "mid" in arrays:
                A = np.einsum("mnkl,nj->mjkl", arrays["mid"], as_matrix(arrays["A"]))
                return LowRankUpdate(as_matrix(arrays["B"]), as_matrix(A), module.scale)
            lycoris = _without_prefix(arrays, "hada_")
            B, A = hadamard_product(lycoris) if lycoris else kronecker_product(_without_prefix(arrays, "lokr_"))
        return LowRankUpdate(B, A, module.scale)

    @property
    def files(self) -> tuple[Path, ...]:
        """The one file."""
        return (self.file.path,)


def _without_prefix(roles: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """LyCORIS' roles of one kind, none if any is of another."""
    if not all(role.startswith(prefix) for role in roles):
        return {}
    return {role.removeprefix(prefix): value for role, value in roles.items()}


def _tucker_module(name: str, A: Entry, B: Entry, mid: Entry, scale: float) -> Module:
    """A LoCon with a core: ΔW[o, j, k, l] = Σ B[o, m] mid[m, n, k, l] A[n, j]."""
    fits = A.shape[2:] == B.shape[2:] == (1, 1) and mid.shape[:2] == (B.shape[1], A.shape[0])
    if not fits:
        raise AdapterError(
            f"module {shown(name)}: expected lora_down (r, in, 1, 1), lora_mid (r, r, k, l), lora_up (out, r, 1, 1), "
            f"got {A.shape}, {mid.shape} and {B.shape}; the tensors do not belong together"
        )
    whole = Entry(A.code, (mid.shape[0], A.shape[1], *mid.shape[2:]))
    module = factor_module(name, whole, B, scale)
    return replace(module, dtype=widest(A.dtype, B.dtype, mid.dtype))


def _base_of(metadata: Mapping[str, str], configs: Mapping[str, LoraConfig]) -> str | None:
    """What the file says it was trained on, in words that two files of one base share."""
    for key in ("ss_base_model_version", "modelspec.architecture"):
        if metadata.get(key):
            return metadata[key]
    named = [config.base_model_name_or_path for config in configs.values() if config.base_model_name_or_path]
    return named[0] if named else None
