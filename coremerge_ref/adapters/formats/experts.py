"""LoRA on bare parameters (PEFT's `target_parameters`): the experts of a mixture, fused into one 3-D weight.

One pair of tensors holds a product per expert: A (E·r, in) with the expert slowest, B (out, r·E) with the expert
fastest (peft.tuners.lora.layer.ParamWrapper, 0.21.2). Each expert is a module of its own here, "….experts[3]".
A module's second parameter is nested as "….experts.base_layer"; which parameter is which is not in the file.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from coremerge_ref.adapters.config import AdapterConfig
from coremerge_ref.adapters.modules import LINEAR, Module, checked, widest
from coremerge_ref.adapters.patterns import module_path, scaling
from coremerge_ref.adapters.tensors import Entry
from coremerge_ref.errors import AdapterError, shown

INNER = ".base_layer"


def stems(config: AdapterConfig, names: Mapping[str, object]) -> set[str]:
    """Those of `names`, modules of the file, whose tensors belong to a parameter that the config targets."""
    return {name for name in names if parameter_paths(name, config.target_parameters)}


def parameter_paths(stem: str, parameters: Sequence[str]) -> list[str]:
    """The parameters that the tensors at `stem` may belong to, as paths in the base model, which PEFT's patterns match.

    All of `parameters`, a config's target_parameters, in that module: which of them these are depends on their order
    in the model.
    """
    path = module_path(stem).split(INNER)[0]
    targets = [parameter.rpartition(".") for parameter in parameters]
    return [f"{path}.{name}" for owner, _, name in targets if owner and f".{path}".endswith(f".{owner}")]


def rank_paths(module: Module, parameters: Sequence[str]) -> list[str]:
    """The paths by which rank_pattern speaks of a module: its own, or those of its targeted parameters."""
    return parameter_paths(module.stem, parameters) if module.stack else [module_path(module.group)]


def modules(
    stem: str, roles: Mapping[str, str], entries: Mapping[str, Entry], config: AdapterConfig
) -> dict[str, Module]:
    """One module for each expert of the parameter at `stem`. AdapterError where the tensors do not fit."""
    if roles.keys() != {"A", "B"}:
        raise AdapterError(f"module {shown(stem)}: expected lora_A and lora_B of a parameter; save the adapter again")
    A, B = (checked(roles[role], entries[roles[role]], (2,)) for role in "AB")
    settings = {scaling(path, config) for path in parameter_paths(stem, config.target_parameters)}
    if len(settings) > 1:
        raise AdapterError(
            f"module {shown(stem)}: refused: rank_pattern or alpha_pattern tells its parameters apart, and the file "
            "does not say which tensors belong to which; train them at one rank and alpha"
        )
    ((rank, scale),) = settings
    count, rest = divmod(A.shape[0], rank)
    if rest or not count or B.shape[1] != A.shape[0]:
        raise AdapterError(
            f"module {shown(stem)}: expected A (E·r, in) and B (out, r·E) of the config's rank r = {rank}, got A "
            f"{A.shape} and B {B.shape}; config and tensors do not belong together"
        )
    shape, dtype = (B.shape[0], A.shape[1]), widest(A.dtype, B.dtype)
    return {
        name: Module(name, LINEAR, shape, rank, scale, dtype, stack=(stem, expert, count))
        for expert in range(count)
        for name in [f"{stem}[{expert}]"]
    }


def factors(module: Module, A: np.ndarray, B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One expert's A (r, in) and B (out, r) from the tensors of all."""
    assert module.stack, "a module of a stack"
    _, expert, count = module.stack
    return A.reshape(count, -1, A.shape[1])[expert], B.reshape(B.shape[0], -1, count)[:, :, expert]


def fused(factors_of: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The tensors A (E·r, in) and B (out, r·E) of all experts from each one's B (out, r) and A (r, in)."""
    B = np.stack([B for B, _ in factors_of], axis=-1)  # (out, r, E)
    A = np.concatenate([A for _, A in factors_of])
    return A, B.reshape(B.shape[0], -1)
