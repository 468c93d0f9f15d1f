"""PEFT types whose modules are products of a few small tensors each: what their readers have in common."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from coremerge_ref.adapters import names
from coremerge_ref.adapters.formats.base import PeftReader
from coremerge_ref.adapters.modules import Module
from coremerge_ref.adapters.tensors import Entry
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.errors import AdapterError, shown


class ProductReader(PeftReader):
    """A type that says how its tensors are called, what module they are, and which product.

    suffixes: role → the end of a tensor's name. required: roles that every module has. shared: tensors of the whole
    adapter.
    """

    suffixes: ClassVar[Mapping[str, str]]
    required: ClassVar[frozenset[str]] = frozenset()
    shared: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def describe(self, name: str, entries: Mapping[str, Entry]) -> Module:
        """The module whose tensors have those headers, by role. AdapterError where they do not fit together."""

    @abstractmethod
    def product(self, module: Module, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """B (m, r) and A (r, n) of ΔW without the module's scale; arrays by role and shared ones by name, float64."""

    def find_modules(self) -> dict[str, Module]:
        """As the base class says."""
        entries = self.file.entries
        for tensor in self.shared:
            if tensor not in entries:
                raise AdapterError(f"expected the shared tensor {shown(tensor)}; save the adapter again with PEFT")
        own = [name for name in entries if name not in self.shared]
        self.roles = names.by_role(own, self.suffixes, self.peft_type)
        modules = {}
        for name, roles in self.roles.items():
            if missing := [self.suffixes[role] for role in self.suffixes if role in self.required - roles.keys()]:
                raise AdapterError(
                    f"module {shown(name)}: expected a tensor {shown(name + missing[0])}, got none; "
                    "the file is incomplete: save the adapter again"
                )
            modules[name] = self.describe(name, {role: entries[tensor] for role, tensor in roles.items()})
        return modules

    def load(self, modules: Sequence[Module]) -> dict[str, LowRankUpdate]:
        """In float64, where products of float32 numbers are exact."""
        wanted = [tensor for module in modules for tensor in self.roles[module.name].values()]
        arrays = {name: array.astype(np.float64) for name, array in self.file.read([*wanted, *self.shared]).items()}
        shared = {name: arrays[name] for name in self.shared}
        updates = {}
        for module in modules:
            own = {role: arrays[tensor] for role, tensor in self.roles[module.name].items()}
            with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):  # checked as a whole
                B, A = self.product(module, {**own, **shared})
            updates[module.name] = LowRankUpdate(B, A, module.scale)
        return updates


def expect(fits: bool, name: str, expected: str, entries: Mapping[str, Entry]) -> None:
    """AdapterError naming the module and what its tensors should be unless they fit."""
    if not fits:
        got = ", ".join(f"{role} {entry.shape}" for role, entry in entries.items())
        raise AdapterError(
            f"module {shown(name)}: expected {expected}, got {got}; config and tensors do not belong together"
        )


def thin(B: np.ndarray, A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same product of a rank no larger than m or n: multiplied out where R is larger."""
    m, n = B.shape[0], A.shape[1]
    if B.shape[1] <= min(m, n):
        return B, A
    return (B @ A, np.eye(n)) if n <= m else (np.eye(m), B @ A)
