"""This package on each array library that it is tested with: no peer, but held to the same cases."""

from collections.abc import Callable
from typing import Any

import numpy as np

import coremerge_ref as cm
from coremerge_ref.conformance import Case


def _merged(case: Case, asarray: Callable[[np.ndarray], Any]) -> cm.LowRankUpdate | cm.DenseUpdate:
    weights = next((p["weights"] for p in case.params.values() if "weights" in p), None)
    parameters = {stage: {k: v for k, v in p.items() if k != "weights"} for stage, p in case.params.items()}
    if "dare" in parameters:
        parameters["dare"]["masks"] = case.masks
    updates = [cm.LowRankUpdate(asarray(B), asarray(A), scale) for B, A, scale in case.updates]
    space = cm.Knots(scaled=False) if case.space == "knots-unscaled" else case.space
    return cm.merge(updates, cm.preset(case.method, "paper", parameters), space, weights=weights, out_dtype="float64")


def on_numpy(case: Case) -> Any:
    """On NumPy arrays."""
    return _merged(case, np.asarray)


def on_torch(case: Case) -> Any:
    """On torch tensors."""
    import torch

    def asarray(x: np.ndarray) -> Any:
        narrow = x.dtype.name == "bfloat16"
        tensor = torch.from_numpy(np.array(x, dtype=np.float32 if narrow else x.dtype))
        return tensor.bfloat16() if narrow else tensor

    return _merged(case, asarray)


def on_jax(case: Case) -> Any:
    """On JAX arrays."""
    import jax

    jax.config.update("jax_enable_x64", True)
    return _merged(case, jax.numpy.asarray)


def on_array_api_strict(case: Case) -> Any:
    """On array-api-strict, which has no bfloat16 and no float16."""
    import array_api_strict

    if any(x.dtype.name in ("bfloat16", "float16") for B, A, _ in case.updates for x in (B, A)):
        raise NotImplementedError("no such dtype")
    return _merged(case, array_api_strict.asarray)
