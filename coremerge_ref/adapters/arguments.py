"""Arguments of a merge, checked before any folder is opened."""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from coremerge_ref.adapters.tensors import DTYPES
from coremerge_ref.core.merging import merge
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import Space
from coremerge_ref.core.updates import DenseUpdate, LowRankUpdate
from coremerge_ref.errors import DTypeError, ParameterError


def check_numbers(adapters: int, weights: Sequence[Any], dtype: str | None) -> None:
    """ParameterError or DTypeError for numbers and names out of range. weights: lists of them, or None."""
    if not adapters:
        raise ParameterError("adapters: expected at least one adapter folder, got none")
    if dtype is not None and dtype not in DTYPES.values():
        raise DTypeError(f"dtype: expected one of {', '.join(DTYPES.values())}, got {dtype!r}")
    for given in weights:
        if given is not None and not (isinstance(given, Sequence) and all(map(_is_number, given))):
            raise ParameterError(f"weights: expected numbers, one for each adapter, got {given!r}")
        if given is not None and len(given) != adapters:
            raise ParameterError(f"weights: expected {adapters}, one for each adapter, got {len(given)}")
        if given is not None and not all(map(math.isfinite, given)):
            raise ParameterError(f"weights: expected finite numbers, got {list(given)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def check_factors(
    pipelines: Sequence[Pipeline], space: Space, tasks: int, weights: Sequence[Any], scale: float, allowed: bool
) -> None:
    """ParameterError where the result would be full matrices and that is not `allowed`.

    Finds out by merging something tiny, which checks every parameter of the methods as well.
    """
    tiny = [LowRankUpdate(np.full((2, 1), 1.0 + t), np.ones((1, 2))) for t in range(tasks)]
    for pipeline, given in product(pipelines, weights):
        if isinstance(merge(tiny, pipeline, space, scale, given), DenseUpdate) and not allowed:
            raise ParameterError(
                f"method {str(pipeline)!r} in space {space.name!r} gives full matrices, not factors: "
                "truncate to a rank (--rank), or write full-size output (--dense), or merge in core space"
            )
