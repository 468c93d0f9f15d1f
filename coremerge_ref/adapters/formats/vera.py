"""VeRA modules: ΔW = diag(λ_b) B diag(λ_d) A, with A and B shared by all modules and cut to each one's size.

The file says how many rows a module has (λ_b) but not how many columns: those come from elsewhere (see widths.py).
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from coremerge_ref.adapters.config import AdapterConfig, Flag
from coremerge_ref.adapters.formats.base import PeftReader
from coremerge_ref.adapters.formats.refused import CONVERT
from coremerge_ref.adapters.modules import LINEAR, Module, checked, widest
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.errors import AdapterError, shown

SHARED_A, SHARED_B = "base_model.vera_A", "base_model.vera_B"
_LAMBDA = re.compile(r"(.+)\.vera_lambda_([bd])")


class VeraConfig(AdapterConfig):
    """A VeRA config whose file holds the shared factors."""

    default_rank = 256
    save_projection: Flag = True

    def complaints(self, harmless: frozenset[str]) -> list[str]:
        """As AdapterConfig, and factors left out of the file."""
        left_out = f"save_projection: refused, false leaves vera_A and vera_B out of the file; {CONVERT}"
        return super().complaints(harmless) + ([] if self.save_projection else [left_out])


class VeraReader(PeftReader):
    """ΔW = diag(λ_b) B diag(λ_d) A."""

    title = "PEFT VeRA"
    peft_type = "VERA"
    Config = VeraConfig
    harmless = frozenset({"d_initial", "projection_prng_key", "vera_dropout"})

    @property
    def width(self) -> int:
        """Columns of the shared A: the widest module's n."""
        return self.file.entries[SHARED_A].shape[1]

    def find_modules(self) -> dict[str, Module]:
        """As the base class says."""
        entries, config = self.file.entries, self.config
        for shared in (SHARED_A, SHARED_B):
            if shared not in entries:
                raise AdapterError(f"expected the shared tensor {shared}; save the adapter with save_projection=True")
        A, B = checked(SHARED_A, entries[SHARED_A], (2,)), checked(SHARED_B, entries[SHARED_B], (2,))
        if A.shape[0] != config.rank or B.shape[1] != config.rank:
            raise AdapterError(
                f"vera_A, vera_B: expected (r, n) and (m, r) of the config's r = {config.rank}, got {A.shape} and "
                f"{B.shape}; config and tensors do not belong together"
            )
        found: dict[str, set[str]] = {}
        for tensor in entries.keys() - {SHARED_A, SHARED_B}:
            match = _LAMBDA.fullmatch(tensor)
            if match is None or not tensor.isprintable():
                raise AdapterError(
                    f"tensor {shown(tensor)} is not part of VeRA: biases and whole modules are refused; retrain"
                )
            found.setdefault(match[1], set()).add(match[2])
        modules = {}
        for name in (n for tensor in entries if (n := tensor.rpartition(".vera_lambda_")[0]) in found):
            if found[name] != {"b", "d"}:
                raise AdapterError(
                    f"module {shown(name)}: expected vera_lambda_b and vera_lambda_d, got one; save it again"
                )
            b, d = (checked(t, entries[t], (1,)) for t in (f"{name}.vera_lambda_b", f"{name}.vera_lambda_d"))
            if b.shape[0] > B.shape[0] or d.shape[0] != config.rank:
                raise AdapterError(
                    f"module {shown(name)}: expected vera_lambda_b of at most {B.shape[0]} and vera_lambda_d of "
                    f"{config.rank}, got {b.shape[0]} and {d.shape[0]}; the tensors do not belong together"
                )
            dtype = widest(A.dtype, B.dtype, b.dtype, d.dtype)
            modules[name] = Module(name, LINEAR, (b.shape[0], None), config.rank, 1.0, dtype)
        return modules

    def resolve(self, sizes: Mapping[str, int]) -> None:
        """As the base class says. AdapterError if one is wider than the shared A."""
        for name, width in sizes.items():
            if width > self.width:
                raise AdapterError(
                    f"{shown(self.file.path)}: module {shown(name)}: expected at most the {self.width} columns of "
                    f"vera_A, got {width}; the adapters or the base model do not belong together"
                )
        super().resolve(sizes)

    def load(self, modules: Sequence[Module]) -> dict[str, LowRankUpdate]:
        """The updates of those modules, by name, in float64: products of float32 numbers are exact there."""
        lambdas = self.file.read(f"{module.name}.vera_lambda_{x}" for module in modules for x in "bd")
        shared = {name: array.astype(np.float64) for name, array in self.file.read((SHARED_A, SHARED_B)).items()}
        made = {}
        for module in modules:
            m, n = module.shape
            b, d = (lambdas[f"{module.name}.vera_lambda_{x}"].astype(np.float64)[:, None] for x in "bd")
            with np.errstate(over="ignore", under="ignore"):  # an overflow is found when the update is checked
                made[module.name] = LowRankUpdate(b * shared[SHARED_B][:m], d * shared[SHARED_A][:, :n])
        return made
