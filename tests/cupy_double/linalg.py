"""Decompositions that never raise for numerical reasons.

`cupyx.errstate(linalg="ignore")` is the default, in every thread: what cuSOLVER reports in devInfo is not looked at
(cupyx/_ufunc_config.py, cupy/linalg/_util.py).
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from cupy_double.devices import CUSOLVERError, settings
from cupy_double.ledger import note
from cupy_double.ndarray import ndarray, run

_thread = threading.local()


@contextmanager
def errstate(*, linalg: str | None = None) -> Iterator[None]:
    """cupyx.errstate."""
    before = getattr(_thread, "linalg", "ignore")
    _thread.linalg = before if linalg is None else linalg
    try:
        yield
    finally:
        _thread.linalg = before


def _failed(any_failed: bool, message: str) -> None:
    """What looking at devInfo does: with "raise" the host waits for it."""
    if getattr(_thread, "linalg", "ignore") == "raise":
        note("syncs")
        if any_failed:
            raise np.linalg.LinAlgError(message)


def _floating(a: Any) -> ndarray:
    """cupy/linalg/_util.py:58: no float16, anything else that is not floating as float64."""
    if not isinstance(a, ndarray):
        raise np.linalg.LinAlgError(f"cupy.linalg only supports cupy.ndarray, got {type(a).__name__}")
    if a.ndim < 2:
        raise np.linalg.LinAlgError(f"{a.ndim}-dimensional array given. Array must be at least two-dimensional")
    if a.dtype.itemsize == 2 and a.dtype.kind in "fV":
        raise TypeError(f"Unsupported dtype {a.dtype}")
    return a if a.dtype in (np.float32, np.float64) else a.astype(np.float64)


# What potrf leaves in the lower triangle when the pivot j is not positive: NVIDIA does not say. NaN was seen
# (pytorch#121009, CUDA 12.1). `L` is the factor as far as it went, `pivot` what was left of the failing one.


def _lapack(given: np.ndarray, L: np.ndarray, j: int, pivot: float) -> np.ndarray:
    left = _tail(given, L, j, pivot)
    left[j, j] = pivot
    return left


def _tail(given: np.ndarray, L: np.ndarray, j: int, pivot: float) -> np.ndarray:
    return np.concatenate([L[:, :j], np.tril(given)[:, j:]], axis=-1)


LEFTOVERS: dict[str, Callable[[np.ndarray, np.ndarray, int, float], np.ndarray]] = {
    "nan": lambda given, L, j, pivot: np.full_like(given, np.nan),
    "zero": lambda given, L, j, pivot: np.zeros_like(given),
    "lapack": _lapack,
    "tail": _tail,
    "untouched": lambda given, L, j, pivot: np.tril(given),
}


def _potrf(given: np.ndarray) -> tuple[np.ndarray, bool]:
    """The lower factor of one matrix, and whether it is one. NaN gives NaN, devInfo 0 (pytorch#64818)."""
    if np.isnan(given).any():
        return np.full_like(given, np.nan), False
    try:
        return np.linalg.cholesky(given), False
    except np.linalg.LinAlgError:
        L = np.zeros_like(given)
        for j in range(len(given)):
            pivot = given[j, j] - L[j, :j] @ L[j, :j]
            if not pivot > 0:
                return LEFTOVERS[settings.leftover](given, L, j, pivot), True
            L[j:, j] = (given[j:, j] - L[j:, :j] @ L[j, :j]) / np.sqrt(pivot)
        return L, False


def cholesky(a: ndarray) -> ndarray:
    """potrf, or potrfBatched: one call."""
    a, failures = _floating(a), []

    def factor(values: np.ndarray) -> np.ndarray:
        size = values.shape[-1]
        L = np.empty_like(values)
        for given, place in zip(values.reshape(-1, size, size), L.reshape(-1, size, size), strict=True):
            place[...], failed = _potrf(given)
            failures.append(failed)
        return L

    L = run(factor, a)
    _failed(any(failures), "Matrix is not positive definite")
    return L


def inv(a: ndarray) -> ndarray:
    """getrf and getrs, or their batched forms: a singular matrix gives Inf and NaN."""
    a, failures = _floating(a), []

    def invert(values: np.ndarray) -> np.ndarray:
        inverse = np.empty_like(values)
        for place in np.ndindex(values.shape[:-2]):
            try:
                inverse[place] = np.linalg.inv(values[place])
            except np.linalg.LinAlgError:
                failures.append(place)
                inverse[place] = np.nan
        return inverse

    inverse = run(invert, a)
    _failed(bool(failures), "Singular matrix")
    return inverse


def _matrices(a: ndarray) -> int:
    return int(np.prod(a.shape[:-2]))


def _svd(values: np.ndarray, **options: Any) -> tuple[np.ndarray, ...]:
    """NaN in a matrix gives NaN (gesvdjBatched, assumed)."""
    bad = ~np.isfinite(values).all(axis=(-2, -1), keepdims=True)
    parts = np.linalg.svd(np.where(bad, 0.0, values), **options)
    if not options.get("compute_uv", True):
        return (np.where(bad[..., 0], np.nan, parts),)
    return tuple(np.where(bad if X.ndim == values.ndim else bad[..., 0], np.nan, X) for X in parts)


def svd(a: ndarray, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """A batch of at most 32 × 32 by gesvdjBatched, a larger one by gesvd, one matrix after the other
    (cupy/linalg/_decomposition.py, _svd_batched; cupy_lapack.h, gesvd_loop), which NaN makes fail with CUSOLVERError
    (pytorch PR 64533; cusolver.pyx:1412).
    """
    a = _floating(a)
    options = {"full_matrices": full_matrices, "compute_uv": compute_uv}
    batched = a.ndim > 2 and max(a.shape[-2:]) <= 32
    if a.ndim > 2 and not batched:
        note("loops", _matrices(a), "gesvd")
    if not batched and not np.isfinite(a._values).all():
        raise CUSOLVERError("CUSOLVER_STATUS_EXECUTION_FAILED")
    whole = run(lambda values: values, a)._values
    parts = tuple(ndarray(X.astype(a.dtype, order="C")) for X in _svd(whole, **options))
    if compute_uv and a.ndim > 2:
        parts = (_by_columns(parts[0]), *parts[1:])
    return parts if compute_uv else parts[0]


def _by_columns(X: ndarray) -> ndarray:
    """As cuSOLVER writes U, whose transpose is contiguous then, like Vh, the transpose of V (_svd_batched)."""
    return ndarray(np.ascontiguousarray(X._values.swapaxes(-2, -1)).swapaxes(-2, -1))


def qr(a: ndarray, mode: str = "reduced") -> Any:
    """A batch by a loop of geqrf and one of orgqr (cupyx/_cusolver.pyx, _geqrf_orgqr_batched)."""
    a = _floating(a)
    if a.ndim > 2:
        note("loops", _matrices(a), "qr")
    parts = np.linalg.qr(run(lambda values: values, a)._values, mode)
    return tuple(ndarray(X) for X in parts)


def norm(x: ndarray, ord: Any = None, axis: Any = None, keepdims: bool = False) -> ndarray:
    """One kernel at least."""
    return run(lambda values: np.linalg.norm(values, ord, axis, keepdims), x)


def lstsq(a: ndarray, b: ndarray, rcond: Any = None) -> ndarray:
    """The solution alone; array-api-compat imports the name."""
    return run(lambda A, B: np.linalg.lstsq(A, B, rcond)[0], _floating(a), b)


FUNCTIONS = {f.__name__: f for f in (cholesky, inv, svd, qr, norm, lstsq)}
