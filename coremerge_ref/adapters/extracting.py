"""What two models differ by, module by module: which weights are compared, and the nearest update of a small rank."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from coremerge_ref.adapters.base_model import BaseModel
from coremerge_ref.adapters.cutting import Cut
from coremerge_ref.adapters.formats.place import WEIGHTS, Place
from coremerge_ref.adapters.layer import Layer
from coremerge_ref.adapters.modules import widest
from coremerge_ref.adapters.orientation import stored_alike
from coremerge_ref.adapters.patterns import PREFIX
from coremerge_ref.adapters.selection import chosen
from coremerge_ref.adapters.sketching import OVERSAMPLING, sketch
from coremerge_ref.adapters.streaming import Job, computing
from coremerge_ref.adapters.tensors import DTYPES, Entry, TensorFile
from coremerge_ref.core import linalg
from coremerge_ref.core.updates import DenseUpdate, LowRankUpdate
from coremerge_ref.errors import AdapterError, shown

FULL, RANDOMIZED, AUTO = WAYS = ("full", "randomized", "auto")
_SMALL = 512  # rows or columns up to which a full SVD takes no time
_EMBEDDING = re.compile(r"embed|^(emb|wte|wpe|shared)$", re.IGNORECASE)  # what input embeddings are called
_CODES = {name: code for code, name in DTYPES.items()}


class Pair:
    """Two models of one architecture. names: {module path: (base's tensor, the other's)} of weights that are compared.

    left: why other tensors are not, by name. AdapterError for modules of two shapes and models that share none.
    """

    def __init__(self, base: BaseModel, tuned: BaseModel, include: Sequence[str], exclude: Sequence[str]) -> None:
        self.base, self.tuned = base, tuned
        self.names: dict[str, tuple[str, str]] = {}
        self.left: dict[str, str] = {}
        weights = {name.removesuffix(".weight"): name for name in tuned.entries if name.endswith(".weight")}
        found = base.match(list(weights))
        for name in tuned.entries:
            if name not in weights.values():
                self.left[name] = "no weight of a module"
        for path, name in weights.items():
            if why := self._why_not(path, name, found.get(path), include, exclude):
                self.left[name] = why
            else:
                self.names[path] = (found[path], name)
        if not self.names:
            raise AdapterError(
                f"{shown(base.path)} and {shown(tuned.path)}: expected weights of linear layers or convolutions that "
                "both have, got none; are they two models of one architecture? see --include and --exclude"
            )

    def _why_not(self, path: str, name: str, there: str | None, include: Sequence[str], exclude: Sequence[str]) -> str:
        shape = self.tuned.entries[name].shape
        if not chosen(path, include, exclude):
            return "left out"
        if _EMBEDDING.search(path.rpartition(".")[2]):
            return "an embedding"
        if not 2 <= len(shape) <= 5:
            return "no matrix"
        if len(shape) > 2 and shape[1] == 1:
            return "a grouped convolution"
        if there is None:
            return f"not in {self.base.path}"
        other = self.base.check_plain(there).shape
        self.tuned.check_plain(name)
        if other != shape:
            raise AdapterError(
                f"module {shown(path)}: expected shape {other} as {shown(self.base.path)} has, got {shape} in "
                f"{shown(self.tuned.path)}; leave the module out with --exclude"
            )
        return ""

    @cached_property
    def turned(self) -> dict[str, bool]:
        """Whether each module's weight is stored as (in, out): where weights with a bias show it."""
        alike = stored_alike(self.tuned)
        return {
            path: len(self.tuned.entries[name].shape) == 2 and alike.get(path.rpartition(".")[2], False)
            for path, (_, name) in self.names.items()
        }

    def difference(self, path: str) -> tuple[np.ndarray, float]:
        """(W₁ − W₀ (m, n) in float64, ‖W₀‖_F) of one module."""
        base, tuned = self.names[path]
        before = self.base.read(base).astype(np.float64)
        size = float(linalg.norm(before.reshape(before.shape[0], -1)))
        difference = self.tuned.read(tuned).astype(np.float64)
        difference -= before
        if not np.all(np.isfinite(difference)):
            raise AdapterError(f"module {shown(path)}: the difference of the two weights does not fit float64")
        flat = difference.reshape(difference.shape[0], -1)
        return (flat.T if self.turned[path] else flat), size

    def change(self, name: str) -> float:
        """‖W₁ − W₀‖_F / ‖W₀‖_F of a tensor that is not compared, 0 where that is not known."""
        there = (
            name
            if name in self.base.entries
            else next(iter(self.base.match([name.removesuffix(".weight")]).values()), "")
        )
        same = there and self.base.entries[there] == self.tuned.entries[name]
        if not same or self.tuned.entries[name].code not in DTYPES:
            return 0.0
        before = self.base.read(there).astype(np.float64).reshape(1, -1)
        size = float(linalg.norm(before))
        return float(linalg.norm(self.tuned.read(name).reshape(1, -1) - before)) / size if size else 0.0


class DifferencePlace(Place):
    """The difference of two models in the place of the adapter that it becomes."""

    def __init__(self, pair: Pair, config: Mapping[str, Any]) -> None:
        self.path = self.given = pair.tuned.path
        self.called = pair.tuned.called
        self._pair = pair
        self.__dict__["fields"] = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "bias": "none", **config}

    @property
    def is_there(self) -> bool:
        """It is what was opened."""
        return True

    def weights(self) -> TensorFile:
        """Headers alone, of rank 1: what is read is read of the models."""
        return _Headers(self.path / WEIGHTS, self._pair)


class _Headers(TensorFile):
    def __init__(self, path: Path, pair: Pair) -> None:
        self.path, self.entries = path, {}
        for module, (base, tuned) in pair.names.items():
            entry = pair.tuned.entries[tuned]
            code = _CODES[widest(entry.dtype, pair.base.entries[base].dtype)]
            m, *inputs = reversed(entry.shape) if pair.turned[module] else entry.shape
            ones = (1,) * (len(inputs) - 1)
            self.entries[f"{PREFIX}{module}.lora_A.weight"] = Entry(code, (1, *inputs))
            self.entries[f"{PREFIX}{module}.lora_B.weight"] = Entry(code, (m, 1, *ones))


@dataclass(frozen=True)
class Extraction(Job):
    """The job whose updates are the differences of `pair`, cut by `cut`; svd: one of WAYS."""

    pair: Pair | None = None
    svd: str = AUTO

    def _merged(self, batch: Sequence[Layer], finish: Callable[..., Any], count: Any) -> list[tuple[Layer, Any, bool]]:
        count.at(batch[0])
        results = []
        with computing(batch), self.backend.session(), np.errstate(all="ignore"):
            for layer in batch:
                update = self._extracted(layer.path)
                results.append((layer, finish(layer, update), True))
                count.after(layer)
        return results

    def takes_all(self, layer: Layer) -> bool:
        """Whether a full SVD of the layer is taken at once."""
        return self.svd == FULL or (self.svd == AUTO and min(layer.shape) <= _SMALL)

    def _extracted(self, path: str) -> LowRankUpdate:
        assert self.pair is not None
        assert self.cut is not None
        difference, size = self.pair.difference(path)
        D = self.backend.send(difference)
        update, sketched = self._cut(D, path, self.cut)
        facts = {"change": update.info["norm"] / size if size else math.inf, "sketched": sketched}
        return replace(update, info={**update.info, **facts})

    def _cut(self, D: Any, path: str, cut: Cut) -> tuple[LowRankUpdate, int]:
        """The nearest update that `cut` asks for, and of how many directions it was taken: 0 for all, a full SVD."""
        least = min(D.shape)
        size = OVERSAMPLING + (cut.rank or 32)
        most = least if self.svd == RANDOMIZED else least // 4
        whole = self.svd == FULL or (self.svd == AUTO and least <= _SMALL)
        while not whole and size <= most:
            held, beyond = sketch(D, min(size, least), path)
            update = cut.apply(held, self.backend.fetch, beyond)
            enough = cut.retain is None or update.info["energy"] >= cut.retain or update.rank == cut.rank
            if enough:
                return update, size
            size *= 2
        return cut.apply(DenseUpdate(D), self.backend.fetch), 0
