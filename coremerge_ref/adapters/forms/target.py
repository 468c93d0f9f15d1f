"""What one adapter becomes in another format: factors are kept bit for bit where they can be.

Only what is exact and needs no table of architectures; the refusals say why the rest is not.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from coremerge_ref.adapters.modules import Module

if TYPE_CHECKING:
    from coremerge_ref.adapters.folder import Adapter

Factors: TypeAlias = tuple[np.ndarray, np.ndarray]  # B (m, r), A (r, n)
Group: TypeAlias = Sequence[tuple[Module, Factors]]  # one module, or all experts of one stack


class Target(ABC):
    """A format to convert to. weights: the file of tensors; suffix: of an output that is one file."""

    weights: ClassVar[str]
    suffix: ClassVar[str] = ""
    keeps_base_weights: ClassVar[bool] = False  # those that PEFT saves of targeted embeddings

    def __init__(self, adapter: "Adapter") -> None:
        self.adapter = adapter
        self.modules = adapter.modules
        self.family = adapter.reader.family

    @abstractmethod
    def refusal(self) -> str:
        """Why this adapter cannot be converted exactly, and what to do; "" where it can."""

    @abstractmethod
    def tensors(self, group: Group) -> dict[str, np.ndarray]:
        """The tensors of one module, or of all experts of one stack, with their factors as they were read."""

    def metadata(self) -> dict[str, str]:
        """The header's __metadata__."""
        return {"format": "pt"}

    def companions(self) -> dict[str, dict[str, Any]]:
        """{name: JSON content} of the files beside the tensors."""
        return {}


def rank_of(module: Module) -> int:
    """At least 1: formats have no rank 0, which pruning can leave."""
    return max(1, module.rank)


def alpha_of(module: Module) -> float:
    """The alpha that gives the module its scaling, alpha / r."""
    return module.scale * rank_of(module)


def most_common(values: Sequence[Any]) -> Any:
    """The value that is there most often, the first among equals."""
    return Counter(values).most_common(1)[0][0]


def unflattened(module: Module, B: np.ndarray, A: np.ndarray, ones: int = 0) -> Factors:
    """Factors of a convolution in its shape (or a matrix with axes of length 1)."""
    kernel = module.kernel or (A.shape[1], *(1,) * ones)
    return B.reshape(*B.shape, *(1,) * (len(kernel) - 1)), A.reshape(A.shape[0], *kernel)
