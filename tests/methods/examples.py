"""Updates given entry by entry, so that results can be worked out by hand."""

from typing import Any

import numpy as np
from backends import Backend

import coremerge_ref as cm
from coremerge_ref.conformance.definition import merged
from coremerge_ref.core.stack import Stack


def rows(backend: Backend, *vectors: Any) -> list[Any]:
    """1 × d updates with these entries."""
    return [cm.LowRankUpdate(backend.array([[1.0]]), backend.array([v])) for v in vectors]


def row_factors(*vectors: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """The same as pairs (B, A), as the definition takes them."""
    return [(np.ones((1, 1)), np.array([v], dtype=np.float64)) for v in vectors]


def matrices(backend: Backend, W: Any) -> list[Any]:
    """Updates whose matrices (…, m, n) are these, factored as W · I: exact."""
    eyes = [np.broadcast_to(np.eye(n), (*batch, n, n)) for *batch, _, n in (np.shape(X) for X in W)]
    return [cm.LowRankUpdate(backend.array(X), backend.array(eye)) for X, eye in zip(W, eyes, strict=True)]


def by_definition(W: Any, method: str, weights: Any = None, **parameters: Any) -> np.ndarray:
    """What the definition makes of the matrices W (T, m, n) in full space, its parameters those of `method`."""
    factors = [(np.asarray(X, dtype=np.float64), np.eye(np.shape(X)[-1])) for X in W]
    return merged(factors, method, {method: parameters}, "full", weights=weights)


def stack_of(M: Any, rounding_level: Any, weights: tuple[float, ...] = (1.0, 1.0)) -> Stack:
    """Tasks 0, 1, … of a layer without a name, M (T, p, q), in a space all of whose directions are live."""
    M = np.asarray(M, dtype=np.float64)
    rows, cols = (np.asarray(float(size)) for size in M.shape[-2:])
    return Stack(M, np.asarray(rounding_level), rows, cols, weights, tuple(range(len(M))), ("",))


def flat(backend: Backend, updates: Any, method: Any, **options: Any) -> list[float]:
    """The merged entries in full space, where entries are the model's own."""
    return backend.dense(cm.merge(updates, method, space="full", **options)).ravel().tolist()
