"""One update: its shapes, its scaling, its truncation, and what is refused."""

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from backends import EPS, Backend
from said import parts

import coremerge_ref as cm
from coremerge_ref.core.inputs import as_updates
from coremerge_ref.testing import THRESHOLD, Recipe, dense, ratio, size

B, A = np.array([[1.0, 2.0], [0.0, 1.0], [3.0, 0.0]]), np.array([[1.0, 0.0, 2.0, 1.0], [0.0, 1.0, 1.0, -1.0]])
BA = np.array([[1.0, 2.0, 4.0, -1.0], [0.0, 1.0, 1.0, -1.0], [3.0, 0.0, 6.0, 3.0]])


def test_meaning_is_scale_times_b_times_a(backend: Backend) -> None:
    update = cm.LowRankUpdate(backend.array(B), backend.array(A), 0.5)
    assert (update.shape, update.rank) == ((3, 4), 2)
    np.testing.assert_array_equal(backend.dense(update), 0.5 * BA)


def test_scale_may_differ_by_layer(backend: Backend) -> None:
    update = cm.LowRankUpdate(backend.array([B, B]), backend.array([A, A]), backend.array([2.0, -1.0]))
    np.testing.assert_array_equal(backend.dense(update), [2 * BA, -BA])
    on_host = cm.LowRankUpdate(backend.array([B, B]), backend.array([A, A]), np.array([2.0, -1.0]))
    np.testing.assert_array_equal(backend.dense(on_host), [2 * BA, -BA])


def test_to_dense_rounds_once(backend: Backend) -> None:
    """A narrow product is formed wide: 1 + 2^-10 · 2^-10 rounds to 1 in float16, through no float16 sum."""
    for dtype in set(backend.dtypes) & {"float16", "bfloat16", "float32"}:
        b, a = Recipe(7, 6, (3,), seed=3).build()[0][:2]
        update = cm.LowRankUpdate(backend.array(b, dtype), backend.array(a, dtype), 0.75)
        exact = 0.75 * (backend.host(update.B) @ backend.host(update.A))
        assert np.max(np.abs(backend.dense(update) - exact) / np.abs(exact)) <= EPS[dtype] / 2 * 1.0001


def test_dense_update_is_its_matrix(backend: Backend) -> None:
    update = cm.DenseUpdate(backend.array(BA))
    assert (update.shape, update.rank) == ((3, 4), 3)
    np.testing.assert_array_equal(backend.dense(update), BA)


@pytest.mark.parametrize("kept", [0, 1, 2, 3, 9])
def test_truncation_is_the_leading_singular_part(backend: Backend, kept: int) -> None:
    factors = Recipe(7, 6, (4,), scales=(-1.5,), seed=1).build()
    W = dense(factors)[0]
    P, S, Qh = np.linalg.svd(W)
    expected = (P[:, :kept] * S[:kept]) @ Qh[:kept] if kept < 6 else W
    for update in (backend.updates(factors)[0], cm.DenseUpdate(backend.array(W))):
        small = update.truncate(kept)
        assert isinstance(small, cm.LowRankUpdate)
        assert small.shape == (7, 6)
        assert small.rank <= kept
        assert ratio(backend.dense(small), expected, size(factors), EPS["float64"], kappa=10) <= THRESHOLD


def test_truncation_shares_singular_values_evenly() -> None:
    small = cm.LowRankUpdate(1e8 * B, 1e-8 * A).truncate(2)
    np.testing.assert_allclose(np.linalg.norm(small.B, axis=0), np.linalg.norm(small.A, axis=1), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_truncation_keeps_dtype_and_info(dtype: str) -> None:
    kind = {"bfloat16": ml_dtypes.bfloat16}.get(dtype, dtype)
    update = cm.LowRankUpdate(B.astype(kind), A.astype(kind), info={"k": 2})
    assert update.truncate(1).B.dtype == kind
    assert update.truncate(1).info == {"k": 2}
    dense = cm.DenseUpdate(BA.astype(kind), {"k": 3}).truncate(1)
    assert dense.A.dtype == kind
    assert dense.info == {"k": 3}


def test_results_of_two_narrow_dtypes_hold_both() -> None:
    update = cm.LowRankUpdate(B.astype(np.float16), A.astype(ml_dtypes.bfloat16))
    small = update.truncate(1)
    assert (small.B.dtype, small.A.dtype, update.to_dense().dtype) == (np.float32, np.float32, np.float32)


@pytest.mark.parametrize("rank", [-1, 1.0, "2", None])
def test_truncation_to_no_rank(rank: object) -> None:
    with pytest.raises(cm.ParameterError, match=r"rank: expected an integer of at least 0, got"):
        cm.LowRankUpdate(B, A).truncate(rank)  # type: ignore[arg-type]


def test_truncation_of_rank_zero() -> None:
    empty = cm.LowRankUpdate(np.zeros((3, 0)), np.zeros((0, 4)))
    np.testing.assert_array_equal(empty.to_dense(), np.zeros((3, 4)))
    np.testing.assert_array_equal(empty.truncate(2).to_dense(), np.zeros((3, 4)))


def test_exact_rationals() -> None:
    """Small numbers in binary: the product is exact, so it equals the rational one entry by entry."""
    b, a, s = np.array([[0.5], [-0.75]]), np.array([[0.125, 3.0]]), -0.25
    rational = [[Fraction(s) * Fraction(x) * Fraction(y) for y in a[0]] for x in b[:, 0]]
    assert [[Fraction(x) for x in row] for row in cm.LowRankUpdate(b, a, s).to_dense()] == rational


@pytest.mark.parametrize(
    ("b", "a", "message"),
    [
        (B, A.T, r"expected B \(…, m, r\) and A \(…, r, n\), got B \(3, 2\) and A \(4, 2\); is A or B transposed\?"),
        (B[None], A, r"got B \(1, 3, 2\) and A \(2, 4\)"),
        (B[:, 0], A, r"factor B: expected at least 2 dimensions, got shape \(3,\)"),
        (B, A[0], r"factor A: expected at least 2 dimensions, got shape \(4,\)"),
        (B[:0], A, r"expected m and n of at least 1, got B \(0, 2\)"),
        (B, A[:, :0], r"expected m and n of at least 1, got B \(3, 2\) and A \(2, 0\)"),
    ],
)
def test_shapes_refused(b: np.ndarray, a: np.ndarray, message: str) -> None:
    with pytest.raises(cm.ShapeError, match=message):
        cm.LowRankUpdate(b, a)


def test_scale_shape_refused() -> None:
    with pytest.raises(cm.ShapeError, match=parts("scale: expected … number … shape () … got shape (2,)")):
        cm.LowRankUpdate(B, A, np.ones(2))


@pytest.mark.parametrize("scale", [
    None, "2", [1.0], True, 1j, np.array(True), np.array([True, False]), np.array([1j, 1]), np.array(["1", "2"]),
    np.array([1, 2], dtype=object),
], ids=repr)  # fmt: skip
def test_scales_that_are_no_real_numbers(scale: object) -> None:
    """Single ones, and one for each of two layers."""
    shape = getattr(scale, "shape", ())
    with pytest.raises(cm.DTypeError) as caught:
        cm.LowRankUpdate(*(np.broadcast_to(X, (*shape, *X.shape)) for X in (B, A)), scale)
    assert str(caught.value) == f"scale: expected a real number or an array of them, got {scale!r}"


@pytest.mark.parametrize("dtype", ["bool", "complex64", "int32", "float32"])
def test_scales_in_arrays_of_any_library_are_real_numbers(dtype: str) -> None:
    xp = pytest.importorskip("array_api_strict")
    for shape in ((), (2,)):
        factors = [xp.asarray(np.ones((*shape, *X.shape))) for X in (B, A)]
        scale = xp.ones(shape, dtype=getattr(xp, dtype))
        if dtype in ("int32", "float32"):
            assert cm.LowRankUpdate(*factors, scale).scale is scale
            continue
        with pytest.raises(cm.DTypeError, match=r"^scale: expected a real number or an array of them, got "):
            cm.LowRankUpdate(*factors, scale)


def test_layers_of_no_size_refused() -> None:
    for b, a in (((2, 0, 1), (2, 1, 4)), ((2, 3, 1), (2, 1, 0)), ((0, 1), (1, 4))):
        with pytest.raises(cm.ShapeError, match=f"^{parts(f'expected … at least 1, got B {b} and A {a}')}$"):
            cm.LowRankUpdate(np.ones(b), np.ones(a))
    assert cm.LowRankUpdate(np.ones((0, 3, 1)), np.ones((0, 1, 4))).shape == (0, 3, 4)  # a batch of no layers


@pytest.mark.parametrize("dtype", ["int64", "complex128", "bool"])
@pytest.mark.parametrize("factor", ["A", "B"])
def test_dtypes_refused(dtype: str, factor: str) -> None:
    given = {"B": B, "A": A}
    given[factor] = given[factor].astype(dtype)
    with pytest.raises(cm.DTypeError, match=f"factor {factor}: expected one of float16, .*got {dtype}; cast it"):
        cm.LowRankUpdate(**given)


def test_lists_refused() -> None:
    with pytest.raises(cm.NamespaceError, match=r"expected arrays of one library, got builtins.list"):
        cm.LowRankUpdate(B.tolist(), A.tolist())


# as_updates: what merge accepts


def test_pairs_are_products() -> None:
    made = as_updates([(B, A), None, [B, A], cm.LowRankUpdate(B, A, 2.0)])
    assert made[1] is None
    assert [u and u.scale for u in made] == [1.0, None, 1.0, 2.0]


@pytest.mark.parametrize("factor", ["A", "B", "scale"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 10**400, Fraction(-(10**400), 3)])
def test_not_finite_names_layer_task_and_factor(backend: Backend, factor: str, value: float) -> None:
    bad = {"A": A.copy(), "B": B.copy()}
    if factor != "scale":
        bad[factor][1, 0] = value if isinstance(value, float) else np.inf
    scale = value if factor == "scale" else 1.0
    good = cm.LowRankUpdate(backend.array(B), backend.array(A))
    update = cm.LowRankUpdate(backend.array(bad["B"]), backend.array(bad["A"]), scale)
    what = "scale" if factor == "scale" else f"factor {factor}"
    with pytest.raises(cm.NonFiniteError, match=f"task 1, {what}: expected finite numbers, got NaN or Inf"):
        cm.merge([good, update])
    with pytest.raises(cm.NonFiniteError, match=f"layer 'q_proj', task 1, {what}: "):
        cm.merge_adapters({"q_proj": [good, update]})


@pytest.mark.parametrize("sign", [1, -1])
def test_scales_beyond_float64_are_infinite(sign: int) -> None:
    for update in (cm.LowRankUpdate(B, A, sign * 10**400), cm.LowRankUpdate(B, A) * (sign * 10**400)):
        assert update.scale == sign * math.inf
        assert f"scale {sign * math.inf:g}" in repr(update)
        for use in (cm.LowRankUpdate.to_dense, lambda u: u.truncate(1), lambda u: u + u):
            with pytest.raises(cm.NonFiniteError):
                use(update)
    with pytest.raises(cm.NonFiniteError):
        (cm.DenseUpdate(B) * (sign * 10**400)).to_dense()
    assert (cm.LowRankUpdate(B, A, 10**400 // 10**399)).scale == 10


def test_not_finite_in_narrow_dtypes(backend: Backend) -> None:
    for dtype in backend.dtypes:
        bad = A.copy()
        bad[0, 0] = np.nan
        with pytest.raises(cm.NonFiniteError, match="task 0, factor A"):
            cm.merge([(backend.array(B, dtype), backend.array(bad, dtype))])


@pytest.mark.parametrize(
    ("updates", "error", "message"),
    [
        ([], cm.ParameterError, "expected at least one update, got an empty sequence"),
        ([None, None], cm.ParameterError, "expected at least one update, got None for each of 2 tasks"),
        ([(B, A), (B, A[:, :3])], cm.ShapeError, r"task 1: expected shape \(3, 4\) as task 0 has, got \(3, 3\)"),
        ([(B, A), (A, B)], cm.ShapeError, r"task 1: expected B .* got B \(2, 4\) and A \(3, 2\)"),
        ([None, (B, A), (B[:2], A)], cm.ShapeError, r"task 2: expected shape \(3, 4\) as task 1 has"),
        ([(B, A), (B, A, 1.0)], cm.ParameterError, r"task 1: expected a LowRankUpdate or a pair \(B, A\), got tuple"),
        ([(B, A), B], cm.ParameterError, "task 1: expected a LowRankUpdate or a pair .* got ndarray"),
        ([(B, A), 3], cm.ParameterError, "task 1: .* got int"),
        ([(B, A), (B.astype(int), A)], cm.DTypeError, "task 1: factor B: expected one of"),
        ([(B, A), (B.tolist(), A)], cm.NamespaceError, "task 1: expected arrays of one library"),
    ],
)
def test_updates_refused_by_name(updates: list, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        cm.merge(updates)
    with pytest.raises(error, match=f"layer 'up', {message}"):
        cm.merge_adapters({"up": updates})
