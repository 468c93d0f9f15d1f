"""The door: what is refused and in which words, scales of every type, and the dtype that factors are folded in."""

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import EPS, Backend, available
from said import parts

import coremerge_ref as cm
from coremerge_ref.core import arrays
from coremerge_ref.core.inputs import are_finite, as_updates, folded_factors
from coremerge_ref.testing import THRESHOLD, ratio

B, A = np.arange(6.0).reshape(3, 2), np.arange(8.0).reshape(2, 4)
PAIR = "task 1: expected a LowRankUpdate or a pair (B, A) … got"
SEQUENCE = "expected … sequence … updates or pairs (B, A) … task … got"

# what stands in place of a list of updates, or of one of them, and what is said of it
REFUSED: list[tuple[Any, str]] = [
    ("ab", f"{SEQUENCE} str"),
    ({1}, f"{SEQUENCE} set"),
    (cm.LowRankUpdate(B, A), f"{SEQUENCE} LowRankUpdate; write [update] for one task"),
    (cm.DenseUpdate(B), f"{SEQUENCE} DenseUpdate; write [update] for one task"),
    (
        {"q": [], "k": []},
        "expected a sequence … updates … got a mapping … 'q'; write list(updates.values()) … merge_adapters … "
        "they are layers, each with a list of updates",
    ),
    ({}, "expected a sequence … got a mapping … None; write list(updates.values()) … with a list of updates"),
    ([], "expected at least one update, got an empty sequence"),
    ([None], "expected at least one update, got None for each of 1 tasks"),
]
ENTRIES: list[tuple[Any, str]] = [
    ("ab", "str; coremerge_ref.adapters.load(path) reads an adapter"),
    (Path("ab"), f"{type(Path()).__name__}; coremerge_ref.adapters.load(path) reads an adapter"),
    (cm.DenseUpdate(B), "DenseUpdate; its truncate(rank) gives factors"),
    (A, "ndarray; a pair (B, A) of one task is written [(B, A)]"),
    ((B, A, 1.0), "tuple"),
    ((B,), "tuple"),
    (1.5, "float"),
]


@pytest.mark.parametrize("layer", ["", "q"])
def test_what_are_no_updates_is_said(layer: str) -> None:
    where = f"layer {layer!r}, " if layer else ""
    for updates, said in [*REFUSED, *(([(B, A), entry], f"{PAIR} {said}") for entry, said in ENTRIES)]:
        with pytest.raises(cm.ParameterError) as caught:
            as_updates(updates, layer)
        assert re.fullmatch(parts(where + said), str(caught.value)), str(caught.value)
    with pytest.raises(cm.ParameterError, match=r"got ndarray$"):  # which is no pair of one task among three
        as_updates([(B, A), A, None])


@pytest.mark.parametrize("layer", ["", "q"])
def test_tasks_that_do_not_go_together_are_named(layer: str) -> None:
    """Each beside the first task that is there."""
    where, xp = f"layer {layer!r}, " if layer else "", pytest.importorskip("array_api_strict")
    cases: list[tuple[type[Exception], Any, str]] = [
        (cm.ShapeError, [None, (B, A), None, (B, A[:, :3])], "task 3: expected shape (3, 4) as task 1 has, got (3, 3)"),
        (cm.ShapeError, [(B, A), (B, B)], "task 1: expected B … got B (3, 2) and A (3, 2) … transposed?"),
        (cm.DTypeError, [(B, A), (B, A > 1)], "task 1: factor A: expected … got bool … cast it first"),
        (cm.NamespaceError, [(B, A), (B, [1])], "task 1: expected arrays of one library … list … one library first"),
        (
            cm.NamespaceError,
            [None, (B, A), None, (xp.asarray(B), xp.asarray(A))],
            "task 3 beside task 1: expected arrays of one library … numpy.ndarray … first",
        ),
    ]
    for kind, updates, said in cases:
        with pytest.raises(kind) as caught:
            as_updates(updates, layer)
        assert re.fullmatch(parts(where + said), str(caught.value)), str(caught.value)


def scales(backend: Backend, value: float) -> list[Any]:
    """`value` as every type that a scale may have, and as that of the second layer of two."""
    single = [value, np.float32(value), np.array(value), np.array(value, np.float16), backend.array(value)]
    return [*single, np.array([1.0, value]), backend.array([1.0, value]), backend.array([1.0, value], "float32")]


def scaled(backend: Backend, scale: Any) -> cm.LowRankUpdate:
    batch = getattr(scale, "shape", ())
    return cm.LowRankUpdate(*(backend.array(np.broadcast_to(X, (*batch, *X.shape))) for X in (B, A)), scale)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scales_of_every_type_are_looked_at(backend: Backend, value: float) -> None:
    for bad, good in zip(scales(backend, value), scales(backend, 2.0), strict=True):
        wrong, right = scaled(backend, bad), scaled(backend, good)
        assert (are_finite([right, None]), are_finite([None, right, wrong])) == (True, False)
        assert as_updates([right]) == [right]
        assert as_updates([right, wrong], look=False) == [right, wrong]
        with pytest.raises(cm.NonFiniteError, match=r"^task 1, scale: expected finite numbers, got NaN or Inf; find"):
            as_updates([right, wrong])


@pytest.mark.parametrize("factor", ["B", "A"])
def test_factors_are_looked_at_beside_scales_of_every_type(backend: Backend, factor: str) -> None:
    for scale in (*scales(backend, 2.0), 10**60, Fraction(10**60)):
        right = scaled(backend, scale)
        shape = getattr(right, factor).shape
        wrong = cm.LowRankUpdate(**{"B": right.B, "A": right.A, factor: backend.array(np.full(shape, np.nan))})
        assert as_updates([right, None]) == [right, None]
        assert not are_finite([right, wrong])
        with pytest.raises(cm.NonFiniteError, match=rf"^layer 'q', task 2, factor {factor}: expected finite numbers"):
            as_updates([right, None, wrong], "q")


@pytest.mark.parametrize("compute", ["float32", "float64"])
def test_factors_are_folded_in_the_dtype_that_is_asked(compute: str) -> None:
    """3 · B, and A as it is; in float32 from float64 by one power of 2, here 2^10, for all tasks, None being none."""
    for dtype in ("float16", "float32", "float64"):
        library = available("numpy" if dtype == "float16" else "strict")
        low, high = library.array([[2.0**-10], [1.0]], dtype), library.array([[2.0**10, 0.0]], dtype)
        found = folded_factors([None, cm.LowRankUpdate(low, high, 3), cm.LowRankUpdate(low, high)], compute)
        assert len(found) == 2
        assert {arrays.dtype_name(X.dtype) for pair in found for X in pair} == {compute}
        for (left, right), s in zip(found, (3, 1), strict=True):
            np.testing.assert_array_equal(library.host(left), [[s * 2.0**-10], [s]])
            np.testing.assert_array_equal(library.host(right), [[2.0**10, 0.0]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_factors_of_the_dtype_of_the_arithmetic_stay_what_they_are(dtype: str) -> None:
    """However small one is and large the other."""
    library = available("numpy")
    B, A = library.array([[2.0**-100]], dtype), library.array([[2.0**100]], dtype)
    ((left, right),) = folded_factors([cm.LowRankUpdate(B, A)], dtype)
    assert (left is B, right is A) == (True, True)


@pytest.mark.parametrize("narrow", ["B", "A"])
def test_factors_wider_than_the_arithmetic_are_folded_wide(narrow: str) -> None:
    """1e-30 · B and A of 1e-30 and 1e60: no float32 but for one power of 2 that makes them of a size."""
    library = available("strict")
    given = {"B": library.array([[1e-30]]), "A": library.array([[1e60]])}
    given[narrow] = library.array([[1e30]], "float32")
    ((left, right),) = folded_factors([cm.LowRankUpdate(**given, scale=1e-30)], "float32")
    assert (arrays.dtype_name(left.dtype), arrays.dtype_name(right.dtype)) == ("float32", "float32")
    expected = {"B": 1e-30 * 1e30 * 1e60, "A": 1e-30 * 1e-30 * 1e30}[narrow]
    product = library.host(left) * library.host(right)
    assert ratio(product / expected, np.ones((1, 1)), 1.0, EPS["float32"]) <= THRESHOLD
