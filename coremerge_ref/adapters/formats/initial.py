"""PiSSA, OLoRA, CorDA, LoRA-GA and LoftQ: adapters that start from a product taken out of the base weights.

What such an adapter adds to the original base is ΔW = s (B₁ A₁ − B₀ A₀), trained minus initial, a product of twice the
rank. Both are given, as TRAINED@INITIAL; PEFT's own conversion (path_initial_model_for_weight_conversion) needs the
same two (peft.tuners.lora.model.subtract_mutated_init, 0.21.2).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from coremerge_ref.adapters.formats.base import Reader
from coremerge_ref.adapters.formats.lora import LoraConfig, LoraReader
from coremerge_ref.adapters.formats.place import Place
from coremerge_ref.adapters.modules import Module, widest
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.errors import AdapterError, shown


class _AnyStart(LoraConfig):
    """A LoRA config, whatever its initialization did to the base."""

    start_matters = False


class _EitherState(LoraReader):
    """The trained adapter, or the initial one."""

    Config = _AnyStart


class InitialReader(Reader):
    """Two PEFT LoRA folders as one adapter of rank 2r; the scaling is the trained one's for both."""

    title = "PEFT LoRA that started by changing the base (PiSSA, OLoRA, CorDA, LoRA-GA), as `trained@initial`"

    @classmethod
    def recognise(cls, place: Place) -> bool:
        """By the @ in the path, which leads to two folders."""
        return place.initial is not None

    def __init__(self, place: Place) -> None:
        assert place.initial is not None
        if place.peft_type != LoraReader.peft_type or place.initial.peft_type != LoraReader.peft_type:
            raise AdapterError(
                f"{shown(place.path)}: expected LoRA adapters before and after the @, got peft_type "
                f"{shown(place.peft_type)} and {shown(place.initial.peft_type)}; give the trained one and its start"
            )
        self.trained, self.initial = _EitherState(place), _EitherState(place.initial)
        self.config, self.file, self.base_weights = self.trained.config, self.trained.file, self.trained.base_weights
        before, after = self.initial.modules, self.trained.modules
        for name in before.keys() | after.keys():
            a, b = after.get(name), before.get(name)
            if a is None or b is None or (a.kind, a.shape, a.kernel, a.stack) != (b.kind, b.shape, b.kernel, b.stack):
                raise AdapterError(
                    f"{shown(place.initial.path)}: module {shown(name)}: expected it as {shown(place.path)} has it; "
                    "give the adapter as it was before that training"
                )
            if a.scale != b.scale:
                raise AdapterError(
                    f"{shown(place.initial.path)}: module {shown(name)}: expected scaling {a.scale:g} as "
                    f"{shown(place.path)} has, got {b.scale:g}; its start has the same lora_alpha, r and use_rslora"
                )
        self.modules = {
            name: replace(module, rank=module.rank + before[name].rank, dtype=widest(module.dtype, before[name].dtype))
            for name, module in after.items()
        }

    def load(self, modules: Sequence[Module]) -> dict[str, LowRankUpdate]:
        """[B₁, −B₀] and [A₁; A₀]."""
        names = [module.name for module in modules]
        after = self.trained.load([self.trained.modules[name] for name in names])
        before = self.initial.load([self.initial.modules[name] for name in names])
        updates = {}
        for name in names:
            (B1, A1), (B0, A0) = ((u.B.astype(np.float64), u.A.astype(np.float64)) for u in (after[name], before[name]))
            updates[name] = LowRankUpdate(np.hstack([B1, -B0]), np.vstack([A1, A0]), after[name].scale)
        return updates

    @property
    def files(self) -> tuple[Path, ...]:
        """Those of the trained and of the initial adapter."""
        return (*self.trained.files, *self.initial.files)
