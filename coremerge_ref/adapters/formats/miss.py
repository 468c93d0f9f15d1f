"""MiSS: ΔW[o, i] = block[i mod r, o], the product of blockᵀ with a matrix of zeros and ones."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from coremerge_ref.adapters.config import AdapterConfig
from coremerge_ref.adapters.formats.products import ProductReader, expect
from coremerge_ref.adapters.formats.refused import CONVERT, EXTRACT
from coremerge_ref.adapters.modules import LINEAR, Module, checked
from coremerge_ref.adapters.tensors import Entry
from coremerge_ref.errors import shown


class MissConfig(AdapterConfig):
    """init_weights chooses among three kinds of adapter, of which one is a product that the file holds."""

    default_rank = 64
    init_weights: Any = True

    def complaints(self, harmless: frozenset[str]) -> list[str]:
        """As AdapterConfig, and the two other kinds."""
        found = super().complaints(harmless)
        if self.init_weights == "bat":
            found.append(f"init_weights: refused, 'bat' multiplies the base weights; {EXTRACT}")
        elif self.init_weights == "mini":
            found.append(f"init_weights: refused, 'mini' leaves the output sizes out of the file; {CONVERT}")
        elif not (self.init_weights is None or isinstance(self.init_weights, bool)):
            found.append(f"init_weights: expected one that PEFT 0.21 has, got {shown(repr(self.init_weights))}")
        return found


class MissReader(ProductReader):
    """No scaling; n is not in the file (widths.py finds it)."""

    title = "PEFT MiSS"
    peft_type = "MISS"
    Config = MissConfig
    harmless = frozenset({"mini_r", "miss_dropout"})
    suffixes = {"block": ".miss_block"}  # noqa: RUF012 (a table)

    def describe(self, name: str, entries: Mapping[str, Entry]) -> Module:
        """block (r, out)."""
        block = checked(f"{name}.miss_block", entries["block"], (2,))
        rank = self.config.rank
        expect(block.shape[0] == rank, name, f"miss_block (r, out) of the config's r = {rank}", entries)
        return Module(name, LINEAR, (block.shape[1], None), rank, 1.0, block.dtype)

    def product(self, module: Module, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """blockᵀ, and A[j, i] = 1 where i mod r = j."""
        n = module.shape[1]
        assert n is not None, "widths are resolved before anything is loaded"
        return arrays["block"].T, (np.arange(n) % module.rank == np.arange(module.rank)[:, None]).astype(np.float64)
