"""The time that PEFT takes to merge the same adapters by the same method, where PEFT is installed."""

import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from coremerge_ref import merge_adapters
from coremerge_ref.demo.data import Data

METHOD: Final = "ties"  # the one that both have
ROUNDS = 3


def beside_peft(data: Data) -> dict[str, Any] | None:
    """{"method", "seconds": {"coremerge_ref", "peft"}}: TIES of all layers; None where torch or PEFT is missing.

    Ours in core space, PEFT's `add_weighted_adapter` with "ties_svd": on dense matrices, then an SVD of each to get
    back to an adapter of as high a rank as ours. Adapters are in memory on both sides; best of three.
    """
    if find_spec("torch") is None or find_spec("peft") is None:
        return None
    model = _model(data)
    names = list(data.adapters)
    rank = sum(update.rank for update in next(iter(data.updates.values())))

    def peft() -> None:
        model.add_weighted_adapter(names, [1.0] * len(names), "merged", "ties_svd", svd_rank=rank, density=0.2)
        model.delete_adapter("merged")

    taken = {"coremerge_ref": _fastest(lambda: merge_adapters(data.updates, METHOD)), "peft": _fastest(peft)}
    return {"method": METHOD, "seconds": taken}


def _model(data: Data) -> Any:
    """A PeftModel of linear layers with the names and sizes of the base model's, holding every adapter."""
    import torch
    from peft import PeftModel

    root = torch.nn.Module()
    for layer, updates in data.updates.items():
        m, n = updates[0].shape
        *folders, name = layer.split(".")
        place = root
        for folder in folders:
            if folder not in place._modules:
                place.add_module(folder, torch.nn.Module())
            place = place.get_submodule(folder)
        place.add_module(name, torch.nn.Linear(n, m))
    (first, path), *others = data.adapters.items()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PeftModel.from_pretrained(root, path, adapter_name=first)
        for name, path in others:
            model.load_adapter(path, adapter_name=name)
    return model.base_model


def _fastest(function: Callable[[], Any]) -> float:
    """Seconds."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return float(np.min(seconds))
