"""How a merged adapter is laid out on disk: in the way of its inputs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from coremerge_ref.adapters.folder import Adapter
    from coremerge_ref.adapters.layer import Layer
    from coremerge_ref.adapters.plan import Plan

Merged: TypeAlias = "tuple[Layer, np.ndarray, np.ndarray]"  # a layer with its update's B (m, r) and A (r, n)


class Form(ABC):
    """What a merge of `adapters`, planned as `plan` says, writes.

    title: what it is, in the words of the table of what is written. library: its name on the hub. loading: how it is
    loaded there, with {path} for where it is. weights: the name of the file of tensors in the output folder. suffix: of
    an output that is one file, "" where only folders are written. sharded: whether its tensors may lie in several
    files. one_rank: whether readers know one rank for the whole file, so that factors are padded to it.
    """

    title: ClassVar[str]
    library: ClassVar[str] = "peft"
    loading: ClassVar[str] = 'PeftModel.from_pretrained(model, "{path}")'
    weights: ClassVar[str]
    suffix: ClassVar[str] = ""
    sharded: ClassVar[bool] = False
    one_rank: bool = False

    def __init__(self, adapters: "Sequence[Adapter]", plan: "Plan") -> None:
        self.adapters = adapters
        self.plan = plan
        self.layers = plan.layers

    @staticmethod
    def hub_names(bases: "Sequence[str | None]") -> "Sequence[str | None]":
        """Those of the inputs' base models that the hub could know."""
        return bases

    @abstractmethod
    def names(self) -> list[str]:
        """The names of all tensors of factors to come."""

    @abstractmethod
    def tensors(self, group: Sequence[Merged]) -> dict[str, np.ndarray]:
        """The tensors of the layers of one group (Module.group), whose factors have one rank."""

    @abstractmethod
    def padded(self, name: str, tensor: np.ndarray, ranks: Mapping[str, int]) -> np.ndarray:
        """The tensor called `name` with zero directions up to the rank of its module, in ranks by module name."""

    def module_of(self, name: str) -> str | None:
        """The module whose rank the size of the tensor called `name` grows with, where `sharded`; None: with none."""
        return None

    def metadata(self, ranks: Mapping[str, int], digest: str) -> dict[str, str]:
        """The header's __metadata__; ranks by module name, digest: SHA-256 of the tensors' bytes, as hex."""
        return {"format": "pt"}  # transformers and PEFT ask for it

    def finish(self, path: "Path", ranks: Mapping[str, int]) -> None:  # noqa: B027 (most have nothing to do)
        """Called when the safetensors file at `path` is complete, with ranks by module name."""

    def companions(self, ranks: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        """{name: JSON content} of the files that go beside the tensors; ranks by module name."""
        return {}


def with_experts(group: Sequence[Merged]) -> dict[str, tuple[bool, np.ndarray, np.ndarray]]:
    """{stem: (whether it is a stack of experts, B, A)}: experts' B (E, m, r) and A (E, r, n), zero where left out."""
    made: dict[str, tuple[bool, np.ndarray, np.ndarray]] = {}
    for layer, B, A in group:
        if not layer.first.stack:
            made[layer.name] = False, B, A
            continue
        stem, index, count = layer.first.stack
        if stem not in made:
            made[stem] = True, np.zeros((count, *B.shape), B.dtype), np.zeros((count, *A.shape), A.dtype)
        made[stem][1][index], made[stem][2][index] = B, A
    return made
