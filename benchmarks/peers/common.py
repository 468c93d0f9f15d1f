"""What the adapters share: torch matrices, batches layer by layer, DARE's masks in place of random draws."""

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from coremerge_ref.conformance import Case

Matrices = list[torch.Tensor]


def layer_by_layer(function: Callable[[Case], torch.Tensor]) -> Callable[[Case], np.ndarray]:
    """`function` of one layer as a function of a case: batches in turn, without what the package prints."""

    def answer(case: Case) -> np.ndarray:
        layers = [case]
        if len(case.shape) == 3:
            layers = [
                replace(case, updates=[(b[i], a[i], s) for b, a, s in case.updates]) for i in range(case.shape[0])
            ]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            made = [function(layer).detach().double().numpy() for layer in layers]
        return made[0] if len(case.shape) == 2 else np.stack(made)

    answer.__name__ = function.__name__
    answer.__doc__ = function.__doc__
    return answer


def deltas(case: Case) -> Matrices:
    """ΔW_t (m, n) in float64."""
    return [torch.from_numpy(s * (b.astype(np.float64) @ a.astype(np.float64))) for b, a, s in case.updates]


def weights(case: Case) -> list[float]:
    """The weights that some stage of the case asks for; 1 otherwise."""
    return next((p["weights"] for p in case.params.values() if "weights" in p), [1.0] * len(case.updates))


def require(holds: bool, reason: str) -> None:
    """NotImplementedError unless `holds`."""
    if not holds:
        raise NotImplementedError(reason)


@contextlib.contextmanager
def drawn(name: str, masks: np.ndarray | None) -> Iterator[None]:
    """torch.<name> gives the masks, one after the other, in place of random numbers: 1 where an entry is kept."""
    if masks is None:
        yield
        return
    original, queue = getattr(torch, name), list(masks)

    def give(like: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return torch.from_numpy(queue.pop(0)).to(like.dtype).reshape(like.shape)

    setattr(torch, name, give)
    try:
        yield
    finally:
        setattr(torch, name, original)
