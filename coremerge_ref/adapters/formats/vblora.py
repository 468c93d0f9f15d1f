"""VB-LoRA: factors made of vectors from one bank, each the mean of its top k by softmax weights."""

from collections.abc import Mapping

import numpy as np

from coremerge_ref.adapters.config import AdapterConfig, Flag, Rank
from coremerge_ref.adapters.formats.products import ProductReader, expect
from coremerge_ref.adapters.modules import LINEAR, Module, checked, widest
from coremerge_ref.adapters.tensors import Entry
from coremerge_ref.errors import AdapterError, shown

BANK = "base_model.vblora_vector_bank"
_INTEGERS = ("U8", "I8", "I16", "I32", "I64")


class VbloraConfig(AdapterConfig):
    """topk vectors for each piece of a factor."""

    default_rank = 4
    topk: Rank = 2
    save_only_topk_weights: Flag = False


class VbloraReader(ProductReader):
    """ΔW = B A, no scaling. Logits, or with save_only_topk_weights the indices and all but the last of the weights."""

    title = "PEFT VB-LoRA"
    peft_type = "VBLORA"
    Config = VbloraConfig
    harmless = frozenset(
        {"init_logits_std", "init_vector_bank_bound", "num_vectors", "vblora_dropout", "vector_length"}
    )
    shared = (BANK,)
    suffixes = {  # noqa: RUF012 (a table)
        f"{factor}{kind}": f".vblora_logits_{factor}{kind}"
        for factor in "AB"
        for kind in ("", "_topk_indices", "_topk_weights")
    }

    def describe(self, name: str, entries: Mapping[str, Entry]) -> Module:
        """Logits A (r, in/l, vectors), B (out/l, r, vectors); indices (…, topk), weights (…, topk − 1)."""
        config, bank = self.config, checked(BANK, self.file.entries[BANK], (2,))
        assert isinstance(config, VbloraConfig)
        kinds = ("_topk_indices", "_topk_weights") if config.save_only_topk_weights else ("",)
        roles = {factor + kind for factor in "AB" for kind in kinds}
        expect(entries.keys() == roles, name, f"save_only_topk_weights = {config.save_only_topk_weights}", entries)
        k, r = config.topk, config.rank
        last = {"": bank.shape[0], "_topk_indices": k, "_topk_weights": k - 1}
        for role, entry in entries.items():
            tensor = name + self.suffixes[role]
            whole_numbers = role.endswith("indices")
            fits = len(entry.shape) == 3 and entry.shape[2] == last[role[1:]] and entry.shape[role[0] == "B"] == r
            fits = fits and (entry.code in _INTEGERS if whole_numbers else True) and 0 not in entry.shape[:2]
            expect(fits and 0 < k <= bank.shape[0], name, f"top {k} of {bank.shape[0]} vectors, r = {r}", entries)
            if not whole_numbers and entry.shape[2]:
                checked(tensor, entry, (3,))
        A, B = entries["A" + kinds[0]].shape, entries["B" + kinds[0]].shape
        length = bank.shape[1]
        floats = [entry.dtype for entry in entries.values() if entry.code not in _INTEGERS]
        return Module(name, LINEAR, (B[0] * length, A[1] * length), r, 1.0, widest(bank.dtype, *floats))

    def product(self, module: Module, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """B (out/l, r, l) and A (r, in/l, l) as matrices."""
        A, B = (self.pieces(module.name, factor, arrays) for factor in "AB")
        return B.transpose(0, 2, 1).reshape(-1, module.rank), A.reshape(module.rank, -1)

    def pieces(self, name: str, factor: str, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """Σ over the top k of weight times vector: (…, …, l)."""
        assert isinstance(self.config, VbloraConfig)
        k, bank = self.config.topk, arrays[BANK]
        if factor in arrays:
            logits = arrays[factor]
            order = np.argsort(-logits, axis=-1, kind="stable")
            chosen = np.take_along_axis(logits, order, axis=-1)
            if k < chosen.shape[-1] and np.any(chosen[..., k - 1] == chosen[..., k]):
                raise AdapterError(
                    f"{shown(self.file.path)}: module {shown(name)}: logits are equal at place {k}, so which vectors "
                    "are the top ones depends on the reader; save the adapter with save_only_topk_weights=True"
                )
            indices = order[..., :k]
            weights = np.exp(chosen[..., :k] - chosen[..., :1])
            weights /= np.sum(weights, axis=-1, keepdims=True)
        else:
            indices = arrays[f"{factor}_topk_indices"].astype(np.int64)
            weights = arrays[f"{factor}_topk_weights"]
            weights = np.concatenate([weights, 1 - np.sum(weights, axis=-1, keepdims=True)], axis=-1)
            if np.min(indices) < 0 or np.max(indices) >= bank.shape[0]:
                raise AdapterError(
                    f"{shown(self.file.path)}: module {shown(name)}: expected indices of {bank.shape[0]} vectors, got "
                    f"{int(np.min(indices))} to {int(np.max(indices))}; save the adapter again"
                )
        return np.einsum("abk,abkl->abl", weights, bank[indices])
