"""Casts to a narrower dtype: one power of 2 a layer where it is needed, and nothing lost without a word."""

import re
from typing import Any

import numpy as np
import pytest
from backends import Backend

import coremerge_ref as cm
from coremerge_ref.core import arrays
from coremerge_ref.core.casting import check_cast, narrowed

# Of one layer: the entries of each B, and of each A, and what becomes of them in float16, whose smallest normal number
# is 2^-14: from 2^-7 to 2^7 all is taken as it is.
KEPT: list[tuple[str, list[tuple[float, float]], list[tuple[float, float]]]] = [
    ("within the root of the range", [(2.0**-7, 2.0**7)], [(2.0**-7, 2.0**7)]),
    ("zeros beside", [(0.0, 3.0), (2.0**-5, 0.0), (0.0, 0.0)], [(0.0, 3.0), (2.0**-5, 0.0), (0.0, 0.0)]),
    ("B too small", [(2.0**-8, 2.0**4)], [(2.0**-2, 2.0**-2)]),
    ("A too large", [(2.0**-2, 2.0**8)], [(2.0**3, 2.0**3)]),
    ("A too small", [(2.0**6, 2.0**-8)], [(2.0**-1, 2.0**-1)]),
    ("B too large", [(2.0**20, 1.0)], [(2.0**10, 2.0**10)]),
    ("one c for all", [(2.0**-10, -3.0), (-1.0, 2.0**10)], [(2.0**-5, -3 * 2.0**-5), (-(2.0**5), 2.0**5)]),
    ("the largest of all", [(1.0, 1.0), (4.0, 1.0), (2.0**-8, 16.0)], [(2.0, 0.5), (8.0, 0.5), (2.0**-7, 8.0)]),
    ("no A", [(2.0**8, 0.0)], [(2.0**8, 0.0)]),
    ("no B", [(0.0, 2.0**8)], [(0.0, 2.0**8)]),
]


@pytest.mark.parametrize(("given", "expected"), [case[1:] for case in KEPT], ids=[case[0] for case in KEPT])
def test_one_power_of_two_makes_both_factors_equally_large(given: Any, expected: Any) -> None:
    """B (3, 2) and A (2, 4), the largest entry of each last, however signed; with and without a task of no rank."""
    B, A = (np.append(np.zeros(k - 1), 1.0).reshape(shape) for k, shape in ((6, (3, 2)), (8, (2, 4))))
    pairs, empty = [(b * B, a * A) for b, a in given], (np.zeros((3, 0)), np.zeros((0, 4)))
    for tasks in (pairs, [empty, *pairs]):
        found = narrowed(tasks, "float16")
        assert {X.dtype for pair in found for X in pair} == {np.dtype("float16")}
        for (left, right), (b, a) in zip(found[-len(pairs) :], expected, strict=True):
            np.testing.assert_array_equal(left, b * B)
            np.testing.assert_array_equal(right, a * A)


def test_each_layer_has_a_power_of_its_own(backend: Backend) -> None:
    """In float32, from 2^-63 to 2^63: 1 in layers that are zero on either side, and beside tasks of no rank."""
    sizes = [(2.0**-80, 2.0**60), (1.0, 2.0**64), (0.0, 2.0**70), (2.0**70, 0.0), (3.0, 5.0)]
    expected = [(2.0**-10, 2.0**-10), (2.0**32, 2.0**32), (0.0, 2.0**70), (2.0**70, 0.0), (3.0, 5.0)]
    b, a = (np.array(side)[:, None, None] for side in zip(*sizes, strict=True))
    empty = (np.zeros((5, 2, 0)), np.zeros((5, 0, 3)))
    for place in (0, 1):
        pairs = [(b * np.ones((5, 2, 1)), a * np.ones((5, 1, 3)))]
        pairs.insert(place, empty)
        found = narrowed([(backend.array(B), backend.array(A)) for B, A in pairs], "float32")
        left, right = (backend.host(X) for X in found[1 - place])
        np.testing.assert_array_equal(left[:, 0, 0], [b for b, _ in expected])
        np.testing.assert_array_equal(right[:, 0, 2], [a for _, a in expected])
        assert [tuple(X.shape) for X in found[place]] == [(5, 2, 0), (5, 0, 3)]


def test_tasks_of_no_rank_alone_are_cast(backend: Backend) -> None:
    ((B, A),) = narrowed([(backend.array(np.zeros((2, 0))), backend.array(np.zeros((0, 3))))], "float32")
    assert (arrays.dtype_name(B.dtype), arrays.dtype_name(A.dtype)) == ("float32", "float32")
    assert (tuple(B.shape), tuple(A.shape)) == ((2, 0), (0, 3))


def test_halves_between_powers_are_rounded_to_even() -> None:
    """√(a / b) is 2^8.5, whose nearest powers are equally far: 2^8."""
    ((B, A),) = narrowed([(np.full((1, 1), 2.0**-8), np.full((1, 1), 2.0**9))], "float16")
    assert (float(B[0, 0]), float(A[0, 0])) == (1.0, 2.0)


LOST = "the result: expected numbers that float16 holds, got some that become 0; scale them"
BEYOND = "the result in float16: expected finite numbers, got NaN or Inf; find out where they come from"


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((2.0**10, 2.0**10, 2.0**16, 2.0**16), BEYOND),  # 2^16 of both sides is beyond 65504
        ((2.0**17, 2.0**15, 1.0, 1.0), BEYOND),
        ((2.0**-26, 2.0**-26, 1.0, 1.0), LOST),  # half of the smallest number of float16 rounds to 0
        ((1.0, 1.0, 2.0**-20, 2.0**-32), LOST),
        ((2.0**-26, 2.0**-26, 2.0**17, 2.0**17), BEYOND),  # which is said first
    ],
)
def test_what_leaves_the_range_of_both_factors_is_an_error(sizes: tuple[float, ...], message: str) -> None:
    """Two layers, of which one is in range."""
    b, a = np.array(sizes[::2])[:, None, None], np.array(sizes[1::2])[:, None, None]
    pairs = [(b * np.ones((2, 3, 1)), a * np.ones((2, 1, 2)))]
    with pytest.raises(cm.NonFiniteError, match=f"^{re.escape(message)}$"):
        narrowed(pairs, "float16")


@pytest.mark.parametrize(
    ("wide", "cast", "message"),
    [
        ([1.0, 0.0], [1.0, 0.0], None),
        ([1.0, 2.0], [1.0, 0.0], LOST),
        ([0.0, 2.0], [0.0, np.inf], BEYOND),
        ([np.inf, 1.0], [np.nan, 1.0], BEYOND),
    ],
)
def test_casts_are_looked_at_layer_by_layer(wide: list[float], cast: list[float], message: str | None) -> None:
    """The first arrays are fine, the second are empty; of the third, a layer may have lost one entry of two."""
    good, empty = np.ones((2, 2, 1)), np.zeros((2, 2, 0))
    matrix = np.stack([np.array(wide)] * 2, axis=1)[..., None] * [[1.0], [0.5]]
    became = np.stack([np.array(cast), 0 * np.ones(2)], axis=1)[..., None].astype(np.float16)
    pairs = [(good, good.astype(np.float16)), (empty, empty.astype(np.float16)), (matrix, became)]
    if message is None:
        check_cast([X for X, _ in pairs], [Y for _, Y in pairs])
        check_cast([empty], [empty])
        return
    for given in (pairs, pairs[2:]):
        with pytest.raises(cm.NonFiniteError, match=f"^{re.escape(message)}$"):
            check_cast([X for X, _ in given], [Y for _, Y in given])


def test_each_cast_is_looked_at() -> None:
    with pytest.raises(ValueError, match="zip"):
        check_cast([np.ones((2, 1)), np.zeros((2, 1))], [np.ones((2, 1))])
