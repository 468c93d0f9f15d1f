"""The double of CuPy deviates from NumPy as CuPy does; each test names a row of what was read in CuPy's source."""

import pickle
from collections.abc import Callable
from typing import Any

import cupy_double
import ml_dtypes
import numpy as np
import pytest
from backends import CARD
from cupy_double import counting, settings
from cupy_double.linalg import LEFTOVERS

if CARD:
    pytest.skip("CuPy itself is here", allow_module_level=True)

import array_api_compat
import cupy as cp
import cupyx

X = np.arange(6.0).reshape(2, 3)
BIG = np.stack([np.eye(40)] * 3)


def test_it_is_what_array_api_compat_takes_for_cupy() -> None:
    assert array_api_compat.is_cupy_array(cp.asarray(X))
    assert array_api_compat.array_namespace(cp.asarray(X)).__name__ == "array_api_compat.cupy"


REFUSED: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "implicit conversion": (np.asarray, TypeError, "Implicit conversion to a NumPy array"),
    "a NumPy operand": (lambda a: a + X, TypeError, "Unsupported type <class 'numpy.ndarray'>"),
    "a NumPy operand on the left": (lambda a: X + a, TypeError, "Unsupported type <class 'numpy.ndarray'>"),
    "a NumPy argument": (lambda a: cp.maximum(a, X), TypeError, "Unsupported type"),
    "a NumPy value": (lambda a: a.__setitem__(0, X[0]), TypeError, "Unsupported type"),
    "an array as index": (lambda a: [1, 2][cp.asarray(1)], TypeError, "indices must be integers"),
    "sorting by another kind": (lambda a: cp.sort(a, kind="quicksort"), ValueError, "invalid sort kind"),
    "sorting a number": (lambda a: cp.sort(a[0, 0]), np.exceptions.AxisError, "rank of zero"),
    "a condition that is none of its arrays": (lambda a: cp.where(True, a, a), AttributeError, "astype"),
    "take_along_axis without axis": (lambda a: cp.take_along_axis(a, a), TypeError, "axis"),
    "the maximum of nothing": (lambda a: cp.max(a[:0], axis=0), ValueError, "zero-size"),
    "half precision in linalg": (lambda a: cp.linalg.svd(a.astype(np.float16)), TypeError, "float16"),
    "one big matrix with NaN": (lambda a: cp.linalg.svd(a * cp.nan), RuntimeError, "CUSOLVER"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    action, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        action(cp.asarray(X))


def test_there_are_no_scalars_and_numpys_own_pass() -> None:
    array = cp.asarray(X)
    for zero_dimensional in (array[0, 0], cp.sum(array), array.max(), np.float64(2.0) * array[1, 1]):
        assert isinstance(zero_dimensional, cp.ndarray)
        assert zero_dimensional.shape == ()
    np.testing.assert_array_equal((np.float64(2.0) * array).get(), 2 * X)


WAITS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "bool": (lambda a: bool(a[0, 0]), 1),
    "int": (lambda a: int(a[0, 1]), 1),
    "float": (lambda a: float(a[0, 1]), 1),
    "item": (lambda a: a[0, 1].item(), 1),
    "get": (lambda a: a.get(), 1),
    "asnumpy": (cp.asnumpy, 1),
    "a mask, read": (lambda a: a[a > 1], 1),
    "a mask, written": (lambda a: a.__setitem__(a > 1, 0.0), 1),
    "clip of the wrapper, both ends": (lambda a: array_api_compat.array_namespace(a).clip(a, 0.0, 1.0), 4),
    "sign of the wrapper": (lambda a: array_api_compat.array_namespace(a).sign(a), 1),
    "arithmetic": (lambda a: cp.sum(a @ a.T + 1.0), 0),
    "a decomposition": (lambda a: cp.linalg.svd(a), 0),
}


@pytest.mark.parametrize("name", WAITS)
def test_what_the_host_waits_for(name: str) -> None:
    action, count = WAITS[name]
    array = cp.asarray(X)
    with counting() as ledger:
        action(array)
    assert ledger.syncs.total() == count


def test_loops_in_the_library_and_copies_before_products() -> None:
    array = cp.asarray(BIG)
    with counting() as ledger:
        cp.linalg.svd(array)
        cp.linalg.svd(array[:, :32, :32])
        cp.linalg.qr(array)
        array @ cp.swapaxes(array, -1, -2)
        array[0] @ array[0].T
    loops = {line.split()[0]: count for line, count in ledger.loops.items()}
    assert (loops, ledger.copies.total()) == ({"gesvd": 3, "qr": 3}, 1)


def test_what_is_written_is_contiguous_and_singular_vectors_come_by_columns() -> None:
    transposed = cp.asarray(np.stack([X] * 2)).swapaxes(-2, -1)
    for kernel in (lambda a: a + 1, lambda a: cp.where(a > 2, a, 0.0), lambda a: cp.concatenate([a, a], axis=1)):
        assert kernel(transposed).flags.c_contiguous
    assert not transposed.astype(np.float32).flags.c_contiguous
    U, _, Vh = cp.linalg.svd(cp.asarray(np.stack([np.eye(3)] * 2)))
    assert (U.flags.c_contiguous, U.swapaxes(-2, -1).flags.c_contiguous, Vh.flags.c_contiguous) == (False, True, True)


@pytest.mark.parametrize("leftover", LEFTOVERS)
def test_decompositions_do_not_raise_unless_they_are_told_to(leftover: str) -> None:
    indefinite = cp.asarray([[4.0, 2.0], [2.0, 0.5]])  # pivots 4 and 0.5 − 1
    expected = {
        "nan": [[np.nan, np.nan], [np.nan, np.nan]], "zero": [[0, 0], [0, 0]], "lapack": [[2, 0], [1, -0.5]],
        "tail": [[2, 0], [1, 0.5]], "untouched": [[4, 0], [2, 0.5]],
    }  # fmt: skip
    with settings.changed(leftover=leftover):
        np.testing.assert_array_equal(cp.linalg.cholesky(indefinite).get(), expected[leftover])
        with cupyx.errstate(linalg="raise"), counting() as ledger:
            with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
                cp.linalg.cholesky(indefinite)
            with pytest.raises(np.linalg.LinAlgError, match="Singular"):
                cp.linalg.inv(cp.zeros((2, 2)))
    assert ledger.syncs.total() == 2
    assert not np.isfinite(cp.linalg.inv(cp.zeros((2, 2))).get()).any()
    assert np.isnan(cp.linalg.cholesky(cp.asarray([[cp.nan]])).get()).all()


def test_nan_in_a_small_batch_gives_nan_for_that_matrix() -> None:
    batch = np.stack([np.eye(2), np.full((2, 2), np.nan)])
    P, S, _ = cp.linalg.svd(cp.asarray(batch))
    assert np.isnan(S.get()).tolist() == [[False, False], [True, True]]
    assert np.isfinite(P.get()[0]).all()


def test_results_are_on_the_current_device() -> None:
    with cp.cuda.Device(1):
        there = cp.asarray(X)
    assert (there.device, there[0].device, there.T.device) == (cp.cuda.Device(1),) * 3
    with pytest.raises(ValueError, match=r"\(1\) is different from the current device \(0\).*unavailable"):
        there + 1.0
    with settings.changed(peers=True), pytest.warns(cupy_double.devices.PerformanceWarning, match="activated"):
        assert (there + 1.0).device == cp.cuda.Device(0)
    assert there.copy().device == cp.asarray(there).device == cp.cuda.Device(0)
    assert pickle.loads(pickle.dumps(there)).device == cp.cuda.Device(0)


def test_bfloat16_from_14_on() -> None:
    assert not hasattr(cp, "bfloat16")
    assert cp.asarray(X.astype(ml_dtypes.bfloat16)).dtype == ml_dtypes.bfloat16
    with settings.changed(bfloat16=False), pytest.raises(ValueError, match="bfloat16"):
        cp.asarray(X.astype(ml_dtypes.bfloat16))


def test_sign_of_nan_sorting_and_wrapping() -> None:
    assert cp.sign(cp.asarray([np.nan, -2.0])).get().tolist() == [0.0, -1.0]
    assert cp.argsort(cp.asarray(3.0)).shape == (1,)
    assert cp.partition(cp.asarray([3.0, 1.0, 2.0]), 0).get().tolist() == [1.0, 2.0, 3.0]
    assert cp.take_along_axis(cp.asarray([1.0, 2.0]), cp.asarray([5]), axis=0).get().tolist() == [2.0]
