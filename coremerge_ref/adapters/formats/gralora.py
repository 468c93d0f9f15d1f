"""GraLoRA: a small LoRA in each of k × k blocks of the weight; together a product of rank k·r."""

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from coremerge_ref.adapters.config import AdapterConfig, Alpha, Rank
from coremerge_ref.adapters.formats.products import ProductReader, expect, thin
from coremerge_ref.adapters.modules import LINEAR, Module, checked, widest
from coremerge_ref.adapters.tensors import Entry


class GraloraConfig(AdapterConfig):
    """k blocks a side, and a plain LoRA of rank hybrid_r beside them."""

    default_rank = 32
    lora_alpha: Alpha = Field(64.0, alias="alpha")
    gralora_k: Rank = 2
    hybrid_r: Rank = 0


class GraloraReader(ProductReader):
    """s = alpha / (r + hybrid_r) (peft.tuners.gralora.layer.Linear.get_delta_weight, 0.21.2)."""

    title = "PEFT GraLoRA"
    peft_type = "GRALORA"
    Config = GraloraConfig
    harmless = frozenset({"gralora_dropout"})
    required = frozenset("AB")
    suffixes = {  # noqa: RUF012 (a table)
        "A": ".gralora_A",
        "B": ".gralora_B",
        "A_general": ".gralora_A_general.weight",
        "B_general": ".gralora_B_general.weight",
    }

    def describe(self, name: str, entries: Mapping[str, Entry]) -> Module:
        """A (k, in/k, r), B (k, r, out/k), and of the plain LoRA A (h, in), B (out, h)."""
        config = self.config
        assert isinstance(config, GraloraConfig)
        k, r, h = config.gralora_k, config.rank, config.hybrid_r
        expect(
            bool(k and r and r % k == 0), name, f"r divisible by gralora_k, both positive, not r={r}, k={k}", entries
        )
        for role, entry in entries.items():
            checked(name + self.suffixes[role], entry, (2,) if "general" in role else (3,))
        whole = entries.keys() == ({"A", "B"} if h == 0 else self.suffixes.keys())
        expect(whole, name, f"tensors of hybrid_r = {h}", entries)
        A, B = entries["A"].shape, entries["B"].shape
        m, n = k * B[2], k * A[1]
        fits = (A[0], A[2]) == (k, r) == B[:2]
        if h:
            fits = fits and entries["A_general"].shape == (h, n) and entries["B_general"].shape == (m, h)
        expect(fits, name, f"A (k, in/k, r) and B (k, r, out/k) with k = {k}, r = {r}", entries)
        dtype = widest(*(entry.dtype for entry in entries.values()))
        return Module(name, LINEAR, (m, n), min(k * r + h, m, n), config.lora_alpha / (r + h), dtype)

    def product(self, module: Module, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """One rank-one term for output block j, input block i and s < r/k: B[j, i·r/k + s, :], A[i, :, j·r/k + s]."""
        A_blocks, B_blocks = arrays["A"], arrays["B"]  # (k, in/k, r), (k, r, out/k)
        k, width, r = A_blocks.shape
        part, height = r // k, B_blocks.shape[2]
        A, B = np.zeros((k, k, part, k, width)), np.zeros((k, height, k, k, part))
        for j in range(k):
            for i in range(k):
                A[j, i, :, i, :] = A_blocks[i, :, j * part : (j + 1) * part].T
                B[j, :, j, i, :] = B_blocks[j, i * part : (i + 1) * part, :].T
        left, right = B.reshape(k * height, -1), A.reshape(-1, k * width)
        if "A_general" in arrays:
            left, right = np.hstack([left, arrays["B_general"]]), np.vstack([right, arrays["A_general"]])
        return thin(left, right)
