"""What every reader of adapters is: one class, in one file, with one line in the table of formats/__init__.py."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from coremerge_ref.adapters.config import AdapterConfig
from coremerge_ref.adapters.formats.place import CONFIG, Place
from coremerge_ref.adapters.formats.shards import ShardedFile
from coremerge_ref.adapters.modules import CONV, Module
from coremerge_ref.adapters.tensors import TensorFile
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.errors import AdapterError, shown


class Reader(ABC):
    """One adapter on disk, opened.

    title: what it is, in the words of the table of what is read. family: adapters of one family name modules alike and
    can be merged; the key of the table of forms. config: what is known of the adapter, as PEFT would say it.
    modules: {name: Module}, from headers alone; base_weights: {module: tensor} where PEFT saved a module's own weights.
    """

    title: ClassVar[str]
    family: ClassVar[str] = "peft"
    config: AdapterConfig
    modules: dict[str, Module]
    file: TensorFile | ShardedFile
    base_weights: dict[str, str]
    unsure_kernels: frozenset[str] = frozenset()  # modules that may be convolutions, whose kernels the file hides

    @classmethod
    @abstractmethod
    def recognise(cls, place: Place) -> bool:
        """Whether what lies there is of this kind; by content."""

    @abstractmethod
    def __init__(self, place: Place) -> None:
        """Reads config and headers. AdapterError in one line for anything that is no low-rank product or is damaged."""

    @abstractmethod
    def load(self, modules: Sequence[Module]) -> dict[str, LowRankUpdate]:
        """The updates of those modules, by name, read now; each of the rank that its Module says."""

    @property
    @abstractmethod
    def files(self) -> tuple[Path, ...]:
        """Every file that was read."""

    def resolve(self, sizes: Mapping[str, int]) -> None:
        """Sets n of modules whose tensors do not say it (widths.py), by name."""
        for name, n in sizes.items():
            self.modules[name] = replace(self.modules[name], shape=(self.modules[name].shape[0], n))

    def set_kernel(self, name: str, kernel: tuple[int, ...]) -> None:
        """Says that a module is a convolution, with kernel (c_in, k…) as the base model has it."""
        self.modules[name] = replace(self.modules[name], kind=CONV, kernel=kernel)


class PeftReader(Reader):
    """A PEFT folder of one peft_type.

    Config: its fields that matter. harmless: further fields of its config, which concern names, training or
    initialization and never what the saved tensors mean.
    """

    peft_type: ClassVar[str]
    Config: ClassVar[type[AdapterConfig]] = AdapterConfig
    harmless: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def recognise(cls, place: Place) -> bool:
        """By peft_type."""
        return bool(place.initial is None and place.peft_type == cls.peft_type)

    def __init__(self, place: Place) -> None:
        self.path = place.path
        self.config = self.Config.checked(place.path / CONFIG, place.fields or {}, self.harmless)
        self.file = place.weights()
        self.base_weights = {}
        try:
            self.modules = self.find_modules()
        except AdapterError as error:
            raise AdapterError(f"{shown(self.file.path)}: {error}") from error

    @abstractmethod
    def find_modules(self) -> dict[str, Module]:
        """The modules, from names and shapes. AdapterError for what is not of this kind; the file is named already."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The config and the weights."""
        weights = self.file.files if isinstance(self.file, ShardedFile) else (self.file.path,)
        return (self.path / CONFIG, *weights)
