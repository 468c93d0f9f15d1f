"""How an adapter of one family is written times a number."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from coremerge_ref.adapters.folder import Adapter

Share: TypeAlias = Callable[[Path, Path], Any]  # a file that stays as it is, to its new place: a copy, or a link


class Writer(ABC):
    """Writes adapters of one family times a number."""

    @abstractmethod
    def refuses(self, adapter: "Adapter") -> bool:
        """Whether this adapter has no place for a scale; then it is first written anew as a plain LoRA."""

    @abstractmethod
    def write(self, adapter: "Adapter", folder: Path, weights: str, factor: float, share: Share) -> None:
        """Writes the adapter times `factor` into `folder`, its tensors to the file called `weights`."""


def times(number: float, factor: float) -> float | int:
    """The product, an integer where it is one, as configs have it."""
    product = number * factor
    return int(product) if float(product).is_integer() else product


def write_config(path: Path, fields: dict[str, Any]) -> None:
    """A config as JSON."""
    path.write_text(json.dumps(fields, indent=2, allow_nan=False) + "\n", encoding="utf-8")
