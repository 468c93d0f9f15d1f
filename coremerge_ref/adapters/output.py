"""The merged adapter as a PEFT LoRA folder: tensors in PEFT's shapes and names, and a config that PEFT loads.

alpha equals the rank everywhere, so that PEFT's scaling is 1 and the factors are the update.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.formats.experts import rank_paths
from coremerge_ref.adapters.layer import Layer
from coremerge_ref.adapters.modules import EMBEDDING
from coremerge_ref.adapters.names import SUFFIXES
from coremerge_ref.adapters.patterns import exact_pattern
from coremerge_ref.adapters.plan import Plan
from coremerge_ref.adapters.targets import target_fields

# Fields that say how PEFT loads an adapter and not what its tensors mean: kept where all inputs agree.
_KEPT = ("ensure_weight_tying",)

Factors = tuple[np.ndarray, np.ndarray]  # B (m, r), A (r, n)


def without_null(B: np.ndarray, A: np.ndarray) -> Factors:
    """The same product without the directions that are exactly zero in B or A (masked ones); never below rank 1.

    PEFT has no rank 0: a zero update keeps one zero direction.
    """
    live = np.any(B != 0, axis=0) & np.any(A != 0, axis=1)
    if not live.any():
        return np.zeros((B.shape[0], 1), B.dtype), np.zeros((1, A.shape[1]), A.dtype)
    return (B, A) if live.all() else (B[:, live], A[live])


def balanced(B: np.ndarray, A: np.ndarray) -> Factors:
    """The same product, exactly, with each column of B about as large as its row of A.

    Keeps both within reach of a narrow dtype: an update of size 1e-7 has a B that float16 cannot hold beside rows of A
    of norm 1. Powers of two move between them, so nothing is rounded.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        exponents = np.log2(np.max(np.abs(B), axis=0)) - np.log2(np.max(np.abs(A), axis=1))
    half = np.where(np.isfinite(exponents), np.rint(exponents / 2), 0).astype(np.int32)
    return np.ldexp(B, -half), np.ldexp(A, half[:, None])


def with_rank(factors: Factors, rank: int) -> Factors:
    """The same product with zero directions up to `rank`."""
    B, A = factors
    more = rank - B.shape[1]
    if not more:
        return factors
    return np.pad(B, ((0, 0), (0, more))), np.pad(A, ((0, more), (0, 0)))


def padded(name: str, tensor: np.ndarray, rank: int, stacked: int = 1) -> np.ndarray:
    """The factor called `name` with zero directions up to `rank`; of `stacked` experts, as forms.peft lays them out."""
    if name.endswith((SUFFIXES["A"], SUFFIXES["embedding_A"])):  # (r, …), or (experts · r, …)
        apart = tensor.reshape(stacked, -1, *tensor.shape[1:])
        wide = np.pad(apart, [(0, 0), (0, rank - apart.shape[1]), *[(0, 0)] * (tensor.ndim - 1)])
        return wide.reshape(-1, *tensor.shape[1:])
    apart = tensor.reshape(tensor.shape[0], -1, stacked, *tensor.shape[2:])  # (m, r, …), or (m, r · experts)
    wide = np.pad(apart, [(0, 0), (0, rank - apart.shape[1]), *[(0, 0)] * (apart.ndim - 2)])
    return wide.reshape(tensor.shape[0], -1, *tensor.shape[2:])


def names(layer: Layer) -> list[str]:
    """Names of the tensors that `tensors` makes."""
    return [layer.name + SUFFIXES[role] for role in roles(layer)]


def roles(layer: Layer) -> tuple[str, str]:
    """Which factors a layer's tensors are."""
    return ("embedding_A", "embedding_B") if layer.first.kind == EMBEDDING else ("A", "B")


def tensors(layer: Layer, B: np.ndarray, A: np.ndarray) -> dict[str, np.ndarray]:
    """PEFT's tensors of a layer's update B (m, r) A (r, n): convolutions unflattened, embeddings transposed back."""
    if layer.first.kind == EMBEDDING:
        return {layer.name + SUFFIXES["embedding_A"]: B.T, layer.name + SUFFIXES["embedding_B"]: A.T}
    kernel = layer.first.kernel
    if kernel:
        A, B = A.reshape(-1, *kernel), B.reshape(*B.shape, *(1,) * (len(kernel) - 1))
    return {layer.name + SUFFIXES["A"]: A, layer.name + SUFFIXES["B"]: B}


def peft_config(adapters: Sequence[Adapter], plan: Plan, ranks: Mapping[str, int]) -> dict[str, Any]:
    """adapter_config.json of the merged adapter; ranks by module name.

    Ranks that differ from the most common one go into rank_pattern, each under a pattern that matches that one module.
    """
    first = adapters[0].config
    parameters = next((a.config.target_parameters for a in adapters if a.config.target_parameters), [])  # alike in all
    r = Counter(ranks.values()).most_common(1)[0][0]
    differing = {
        exact_pattern(path): ranks[layer.name]
        for layer in plan.layers
        if ranks[layer.name] != r
        for path in rank_paths(layer.first, parameters)
    }
    fields = [adapter.config.model_extra or {} for adapter in adapters]
    return {
        "peft_type": "LORA",
        "task_type": shared([adapter.config.task_type for adapter in adapters]),
        "base_model_name_or_path": first.base_model_name_or_path,
        "revision": shared([adapter.config.revision for adapter in adapters]),
        "auto_mapping": shared([adapter.config.auto_mapping for adapter in adapters]),
        "inference_mode": True,
        "r": r,
        "lora_alpha": r,
        "lora_dropout": 0.0,
        "rank_pattern": differing,
        "alpha_pattern": differing,
        **target_fields(fields, plan.layers, plan.complete),
        "target_parameters": parameters or None,
        "fan_in_fan_out": any(adapter.config.fan_in_fan_out for adapter in adapters),
        "bias": "none",
        "modules_to_save": None,
        "init_lora_weights": True,
        "use_rslora": False,
        "use_dora": False,
        **{name: value for name in _KEPT if (value := shared([held.get(name) for held in fields]))},
    }


def shared(values: Sequence[Any]) -> Any:
    """The value that all have, else None."""
    return values[0] if all(value == values[0] for value in values) else None


def model_notes(adapters: Sequence[Adapter]) -> list[str]:
    """What a reader of the result should know about the adapters' base models."""
    bases = {adapter.config.base_model_name_or_path for adapter in adapters}
    if len(bases) < 2:
        return []
    named = ", ".join(sorted(map(str, bases)))
    return [f"the adapters name different base models ({named}); the output names the first adapter's"]
