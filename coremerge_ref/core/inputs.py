"""The door: what is given to a merge, checked, looked at for NaN and cast, once."""

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array
from coremerge_ref.core.casting import narrowed
from coremerge_ref.core.updates import DenseUpdate, LowRankUpdate
from coremerge_ref.errors import DTypeError, NamespaceError, ParameterError, ShapeError


def as_updates(updates: Sequence[Any], layer: str = "", look: bool = True) -> list[LowRankUpdate | None]:
    """`updates` as LowRankUpdates of one shape, namespace and device; a pair (B, A) is read as the product B A.

    None stands for a task that has no such module: it keeps its place, for weights and masks, and counts as no task.
    Raises what LowRankUpdate raises and NonFiniteError, each naming the task, the factor and the layer; look=False
    leaves it to the caller to look for NaN and Inf, with `are_finite`.
    """
    where = f"layer {layer!r}, " if layer else ""
    if isinstance(updates, Mapping):
        raise ParameterError(
            f"{where}expected a sequence of updates, one a task, got a mapping with keys such as "
            f"{next(iter(updates), None)!r}; write list(updates.values()) if keys are tasks, or call merge_adapters if "
            "they are layers, each with a list of updates"
        )
    if isinstance(updates, str) or not isinstance(updates, Sequence):
        one = "; write [update] for one task" if isinstance(updates, LowRankUpdate | DenseUpdate) else ""
        raise ParameterError(
            f"{where}expected a sequence of updates or pairs (B, A), one a task, got {type(updates).__name__}{one}"
        )
    made: list[LowRankUpdate | None] = []
    for t, given in enumerate(updates):
        if given is None or isinstance(given, LowRankUpdate):
            made.append(given)
        elif isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2:
            try:
                made.append(LowRankUpdate(*given))
            except (ShapeError, DTypeError, NamespaceError) as error:
                raise type(error)(f"{where}task {t}: {error}") from error
        else:
            raise ParameterError(
                f"{where}task {t}: expected a LowRankUpdate or a pair (B, A), got {type(given).__name__}"
                f"{_meant(given, len(updates))}"
            )
    present = [(t, u) for t, u in enumerate(made) if u is not None]
    if not present:
        got = f"None for each of {len(made)} tasks" if made else "an empty sequence"
        raise ParameterError(f"{where}expected at least one update, got {got}")
    first = present[0][1]
    for t, u in present:
        try:
            arrays.namespace_of(first.B, u.B)
        except NamespaceError as error:
            raise NamespaceError(f"{where}task {t} beside task {present[0][0]}: {error}") from error
        if u.shape != first.shape:
            raise ShapeError(
                f"{where}task {t}: expected shape {first.shape} as task {present[0][0]} has, got {u.shape}"
            )
    if look and not are_finite(made):
        for t, u in present:
            for name, array in _arrays(u).items():
                arrays.check_finite(array, f"{where}task {t}, {name}")
    return made


def are_finite(updates: Sequence[LowRankUpdate | None]) -> bool:
    """Whether no update has a NaN or Inf, by one look at the device where that is so."""
    everything = [X for update in updates if update is not None for X in _arrays(update).values()]
    there = [X for X in everything if not isinstance(X, np.ndarray)]
    return all(arrays.are_finite(group) for group in (there, [X for X in everything if isinstance(X, np.ndarray)]))


def _arrays(update: LowRankUpdate) -> dict[str, Array]:
    """What may hold NaN or Inf: the factors, and the scale where it is no finite number of Python's."""
    looked, scale = {"factor B": update.B, "factor A": update.A}, update.scale
    if isinstance(scale, float | int) and math.isfinite(scale):
        return looked
    if not hasattr(scale, "shape") or isinstance(scale, np.generic | np.ndarray):
        return {**looked, "scale": np.asarray(scale, dtype=np.float64)}
    wide = arrays.counting_dtype(arrays.namespace_of(update.B), update.B)
    return {**looked, "scale": arrays.cast(scale, wide)}


def _meant(given: Any, count: int) -> str:
    """What to write where something else than an update stands among `count` of them."""
    if isinstance(given, str | PathLike):
        return "; coremerge_ref.adapters.load(path) reads an adapter"
    if isinstance(given, DenseUpdate):
        return "; its truncate(rank) gives factors"
    if count == 2 and hasattr(given, "shape"):
        return "; a pair (B, A) of one task is written [(B, A)]"
    return ""


def folded_factors(updates: Sequence[LowRankUpdate | None], compute_dtype: Any) -> list[tuple[Array, Array]]:
    """(s_t B_t, A_t) of every update that is there, in the compute dtype."""
    present = [update for update in updates if update is not None]
    xp = arrays.namespace_of(present[0].B)
    dtype = arrays.working_dtype(xp, compute_dtype, present[0].B)
    with arrays.overflow_checked():
        if arrays.eps(dtype) <= min(arrays.eps(X.dtype) for u in present for X in (u.B, u.A)):
            return [update.folded(dtype) for update in present]
        wide = arrays.counting_dtype(xp, present[0].B)
        return narrowed([update.folded(wide) for update in present], dtype)
