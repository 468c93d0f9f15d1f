"""Arguments of a merge, checked before any folder is opened."""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from coremerge_ref.adapters.forms.base import Form
from coremerge_ref.adapters.tensors import DTYPES
from coremerge_ref.core.arrays import as_float
from coremerge_ref.core.merging import merge
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import Space
from coremerge_ref.core.updates import DenseUpdate, LowRankUpdate
from coremerge_ref.errors import DTypeError, ParameterError, shown


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
        if given is not None and not all(math.isfinite(as_float(weight)) for weight in given):
            raise ParameterError(f"weights: expected finite numbers, got {list(given)}")


def check_shards(most: int | None, form: type[Form], one_file: bool, dense: bool, into: bool) -> None:
    """ParameterError where an output in several files is asked for and has no reader."""
    if most is None:
        return
    if into:
        raise ParameterError("max_shard_size: a fused model lies in the same files as its base; leave it out")
    if one_file or not (dense or form.sharded):
        what = "an output that is one file" if one_file else form.title
        raise ParameterError(f"max_shard_size: {what} has no form in several files; leave it out")


def part_of(text: Any) -> tuple[int, int] | None:
    """(i, n) of "i/n", or of such a pair; None of None. ParameterError for all else."""
    if text is None:
        return None
    words = text.split("/") if isinstance(text, str) else list(text) if isinstance(text, tuple | list) else []
    if len(words) == 2 and all(str(word).strip().isdecimal() for word in words):
        i, n = (int(word) for word in words)
        if 1 <= i <= n:
            return i, n
    raise ParameterError(f"layers: expected i/n, the i-th of n parts counted from 1, such as 1/8, got {shown(text)}")


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
