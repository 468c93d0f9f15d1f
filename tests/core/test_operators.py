"""Updates in a notebook: how they print, what NumPy makes of them, and their arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from backends import EPS, Backend

import coremerge_ref as cm
from coremerge_ref.core.operators import at_layers
from coremerge_ref.testing import THRESHOLD, Recipe, dense, ratio, size

B, A = np.array([[1.0, 2.0], [0.0, 1.0], [3.0, 0.0]]), np.array([[1.0, 0.0, 2.0, 1.0], [0.0, 1.0, 1.0, -1.0]])
BA = np.array([[1.0, 2.0, 4.0, -1.0], [0.0, 1.0, 1.0, -1.0], [3.0, 0.0, 6.0, 3.0]])


def exact(update: cm.LowRankUpdate) -> list[list[Fraction]]:
    """ΔW of NumPy factors in rational numbers."""
    b, a = ([[Fraction(float(x)) for x in row] for row in X] for X in (update.B, update.A))
    s = Fraction(float(update.scale))
    return [[s * sum((x * row[j] for x, row in zip(left, a, strict=True)), Fraction()) for j in range(len(a[0]))]
            for left in b]  # fmt: skip


def test_an_update_prints_its_size_rank_dtype_and_place() -> None:
    b, a = np.zeros((64, 12), np.float32), np.zeros((12, 48), np.float32)
    assert repr(cm.LowRankUpdate(b, a)) == "LowRankUpdate(64 × 48, rank 12, float32, cpu)"
    assert repr(cm.LowRankUpdate(b, a, 0.5)) == "LowRankUpdate(64 × 48, rank 12, scale 0.5, float32, cpu)"
    assert repr(cm.LowRankUpdate(np.stack([b, b]), np.stack([a, a]))).startswith("LowRankUpdate(2 × 64 × 48, rank 12,")
    assert repr(cm.DenseUpdate(b @ a)) == "DenseUpdate(64 × 48, float32, cpu)"
    assert "float32, float64" in repr(cm.LowRankUpdate(b, a.astype(float)))


def test_batches_print_their_sizes_and_scales() -> None:
    b, a = np.zeros((2, 3, 6, 1)), np.zeros((2, 3, 1, 5))
    assert repr(cm.LowRankUpdate(b, a)) == "LowRankUpdate(2 × 3 × 6 × 5, rank 1, float64, cpu)"
    scaled = cm.LowRankUpdate(b, a, np.ones((2, 3)))
    assert repr(scaled) == "LowRankUpdate(2 × 3 × 6 × 5, rank 1, a scale a layer, float64, cpu)"
    assert repr(scaled[0, 1] * 3) == "LowRankUpdate(6 × 5, rank 1, scale 3, float64, cpu)"
    assert repr(cm.LowRankUpdate(b[0, 0], a[0, 0], np.array(1.0))) == "LowRankUpdate(6 × 5, rank 1, float64, cpu)"
    assert repr(cm.DenseUpdate(b)) == "DenseUpdate(2 × 3 × 6 × 1, float64, cpu)"


def test_torch_says_so_when_an_update_is_printed() -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    update = cm.LowRankUpdate(torch.zeros(64, 12), torch.zeros(12, 48))
    assert repr(update) == "LowRankUpdate(64 × 48, rank 12, torch.float32, cpu)"
    assert "scale 0.5" in repr(cm.LowRankUpdate(update.B, update.A, torch.tensor(0.5, requires_grad=True)))


def test_an_update_prints_on_every_library_and_while_jax_traces(backend: Backend) -> None:
    update = cm.LowRankUpdate(backend.array(B), backend.array(A))
    assert "3 × 4, rank 2" in repr(update)
    if backend.name == "jax":
        import jax

        jax.jit(lambda b, a, s: [repr(cm.LowRankUpdate(b, a, s)), b][1])(update.B, update.A, update.B[0, 0])


def test_numpy_makes_the_matrix_of_it(backend: Backend) -> None:
    for update in (
        cm.LowRankUpdate(backend.array(B), backend.array(A), 0.5),
        cm.DenseUpdate(backend.array(0.5 * BA)),
    ):
        if backend.name in ("numpy", "strict", "torch", "jax"):
            matrix = np.asarray(update)
            assert (matrix.shape, matrix.dtype) == ((3, 4), np.float64)
            np.testing.assert_array_equal(matrix, 0.5 * BA)
        else:  # on a device that NumPy does not reach
            with pytest.raises(cm.NamespaceError, match=r"to_dense\(\)"):
                np.asarray(update)


def test_numpy_asks_for_dtypes_and_copies() -> None:
    low, whole = cm.LowRankUpdate(B, A), cm.DenseUpdate(BA)
    assert np.asarray(low, dtype="float32").dtype == low.__array__("float32").dtype == np.float32
    assert (whole.__array__(copy=True) is BA, whole.__array__(copy=False) is BA) == (False, True)
    assert np.asarray(whole) is BA
    assert np.array(whole) is not BA
    assert np.array(whole, copy=False) is BA
    with pytest.raises(ValueError, match="copy=None"):
        np.array(low, copy=False)
    assert np.linalg.norm(low) == np.linalg.norm(BA)


def test_bfloat16_of_torch_is_refused_by_numpy_in_our_words() -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    with pytest.raises(cm.NamespaceError, match=r"torch\.bfloat16.*; write to_dense\(\), which stays in its library$"):
        np.asarray(cm.LowRankUpdate(torch.ones(3, 1, dtype=torch.bfloat16), torch.ones(1, 4, dtype=torch.bfloat16)))


def test_multiples(backend: Backend) -> None:
    low, whole = cm.LowRankUpdate(backend.array(B), backend.array(A), 0.5), cm.DenseUpdate(backend.array(BA))
    number = backend.array(4.0)
    for c in (4, 4.0, np.float64(4), Fraction(4), number):
        for update, factor in ((low, 2.0), (whole, 4.0)):
            np.testing.assert_array_equal(backend.dense(update * c), factor * BA)
            if not (c is number and "strict" in backend.name):  # whose arrays do not ask others
                np.testing.assert_array_equal(backend.dense(c * update), factor * BA)
            assert type(update * c) is type(update)
    for update, factor in ((low, 0.5), (whole, 1.0)):
        np.testing.assert_array_equal(backend.dense(-update), -factor * BA)
        np.testing.assert_array_equal(backend.dense(update / 4), factor / 4 * BA)


def test_multiples_lose_no_digit_of_a_scale(backend: Backend) -> None:
    """Of two numbers of which one is an array, beside factors of float32: the product is that of float64."""
    s = 1 + 2.0**-30  # no float32
    for shape in ((), (2,)):
        factors = [backend.array(np.broadcast_to(X, (*shape, *X.shape)), "float32") for X in (B, A)]
        array = backend.array(np.full(shape, s))
        cases = [(array, 3.0), (backend.array(np.full(shape, 3.0), "float32"), s)]
        if shape == ():
            cases += [(3.0, array), (s, backend.array(3.0, "float32")), (array, backend.array(3.0, "float32"))]
        for scale, c in cases:
            found = (cm.LowRankUpdate(*factors, scale) * c).scale
            assert "float64" in str(found.dtype)
            np.testing.assert_array_equal(backend.host(found), np.full(shape, 3 * s))
    plain = (cm.LowRankUpdate(B, A, s) * 3).scale
    assert (type(plain), plain) == (float, 3 * s)


@pytest.mark.parametrize("scales", [(1.0, 1.0), (2.0, 2.0), (2.0, -0.5), (0.0, 4.0), (0.0, 0.0), (1.0, 0.25)])
def test_a_sum_is_exact_where_scales_differ_by_powers_of_two(scales: tuple[float, float]) -> None:
    one, two = (
        cm.LowRankUpdate(b, a, s) for (b, a, _), s in zip(Recipe(5, 4, (2, 3), seed=2).build(), scales, strict=True)
    )
    total = one + two
    assert total.rank == 5
    want = [[x + y for x, y in zip(*rows, strict=True)] for rows in zip(exact(one), exact(two), strict=True)]
    assert exact(total) == want


def test_sums(backend: Backend) -> None:
    factors = Recipe(7, 6, (2, 3, 1), scales=(1.5, -0.3, 0.7), seed=4).build()
    updates, want = backend.updates(factors), sum(dense(factors))
    low = sum(updates)
    mixed = updates[0] + cm.DenseUpdate(updates[1].to_dense()) + updates[2]
    apart = updates[0] - (-updates[1]) - -updates[2]
    assert (type(low), low.rank) == (cm.LowRankUpdate, 6)
    assert type(mixed) is cm.DenseUpdate
    for update in (low, mixed, apart):
        assert ratio(backend.dense(update), want, size(factors), EPS["float64"]) <= THRESHOLD


def test_sums_of_batches_with_scales_of_their_own(backend: Backend) -> None:
    one = cm.LowRankUpdate(backend.array([B, B]), backend.array([A, A]), backend.array([2.0, -1.0]))
    two = cm.LowRankUpdate(backend.array([B, B]), backend.array([A, A]), 0.5)
    np.testing.assert_array_equal(backend.dense(one + two), [2.5 * BA, -0.5 * BA])
    np.testing.assert_array_equal(backend.dense(one * 2), [4 * BA, -2 * BA])


def test_large_scales_leave_no_narrow_factor_beyond_its_range() -> None:
    one = cm.LowRankUpdate(B.astype(np.float16), A.astype(np.float16) * 2.0**-14, 2.0**16)
    total = one + one * 0.5
    assert (total.B.dtype, total.A.dtype) == (np.float16, np.float16)
    np.testing.assert_array_equal(total.to_dense(), 6 * BA)


def test_what_cannot_be_added_or_multiplied() -> None:
    update = cm.LowRankUpdate(B, A)
    with pytest.raises(cm.ShapeError, match=r"\(3, 4\) and \(4, 3\)"):
        update + cm.LowRankUpdate(A.T, B.T)
    for wrong in ("a", True, None, np.ones(3), BA, 1j):
        with pytest.raises(TypeError):
            update * wrong
        with pytest.raises(TypeError):
            wrong + update if wrong is not True else update + "a"
    for wrong in ("a", True, None, np.ones(3), 1j, update):
        with pytest.raises(TypeError):
            update / wrong
    for wrong in (0, 1, 1.0, BA, "a", None):  # sums alone begin with 0
        with pytest.raises(TypeError):
            update - wrong
    assert (0 + update is update, update + 0 is update) == (True, True)
    for wrong in (1, 0.0, False + 1, -1):
        with pytest.raises(TypeError):
            update + wrong
    for kind in (np.float64, np.float32):
        with pytest.raises(cm.NonFiniteError, match=f"^the update in {kind.__name__}: expected finite numbers"):
            cm.DenseUpdate(BA.astype(kind)) * np.finfo(kind).max
    torch = pytest.importorskip("torch", exc_type=ImportError)
    with pytest.raises(cm.NamespaceError):
        update + cm.LowRankUpdate(torch.ones(3, 1), torch.ones(1, 4))


def test_layers_of_a_batch(backend: Backend) -> None:
    stack = np.stack([B, 2 * B, 3 * B])
    batch = cm.LowRankUpdate(backend.array(stack), backend.array([A, A, A]), backend.array([1.0, 0.5, 2.0]))
    want = [BA, BA, 6 * BA]
    for i in (0, 2, -1, np.int64(1)):
        np.testing.assert_array_equal(backend.dense(batch[i]), want[i])
    np.testing.assert_array_equal(backend.dense(batch[1:]), want[1:])
    for one, matrix in zip(batch, want, strict=True):
        np.testing.assert_array_equal(backend.dense(one), matrix)
    whole = cm.DenseUpdate(batch.to_dense())
    np.testing.assert_array_equal(backend.dense(whole[2]), want[2])


def test_layers_of_a_batch_of_batches() -> None:
    """2 × 4 layers of 3 × 4; each is the number of its place times BA."""
    places = np.arange(8.0).reshape(2, 4)
    factors = places[..., None, None] * B, np.broadcast_to(A, (2, 4, *A.shape))
    low = cm.LowRankUpdate(*factors, np.full((2, 4), 0.5), {"k": places, "all": 7})
    whole = cm.DenseUpdate(low.to_dense(), {"k": places, "all": 7})
    for update in (low, whole):
        for index in (1, (1,), (1, 2), (-2, -4), (0, slice(1, 3)), (slice(None), 3), slice(0, 1), np.int64(1)):
            np.testing.assert_array_equal(update[index].to_dense(), 0.5 * places[index][..., None, None] * BA)
            np.testing.assert_array_equal(update[index].info["k"], places[index])
            assert update[index].info["all"] == 7
        for index in ((2,), -3, (0, 4), (0, -5), (5, slice(None))):
            with pytest.raises(IndexError, match=r"expected one below [24], the layers of the batch \(2, 4\)$"):
                update[index]
        assert [layer.shape for layer in update] == [(4, 3, 4)] * 2
        assert len(list(update[0])) == 4


def test_what_is_said_of_layers_is_theirs_where_there_is_one_for_each() -> None:
    info = {"each": np.array([1.0, 2.0]), "all": np.array(3.0), "number": 4, "word": "ab", "none": None, "list": [5, 6]}
    found = at_layers(info, (1, ...))
    assert {name: float(found[name]) for name in ("each", "all", "number")} == {"each": 2, "all": 3, "number": 4}
    assert (found["word"], found["none"], found["list"]) == ("ab", None, [5, 6])


def test_layers_keep_what_a_merge_says_of_them() -> None:
    merged = cm.merge([(np.stack([B, B]), np.stack([A, A]))] * 2, "tsv")
    assert float(merged[1].info["k"]) == float(np.ravel(merged.info["k"])[-1])


def test_entries_are_no_layers() -> None:
    update, batch = cm.LowRankUpdate(B, A), cm.LowRankUpdate(np.stack([B, B]), np.stack([A, A]))
    for wrong in (
        lambda: update[0],
        lambda: batch[0, 0],
        lambda: batch["q"],
        lambda: batch[..., 0],
        lambda: batch[[0]],
    ):
        with pytest.raises(cm.ShapeError, match=r"entries; write to_dense\(\)\[…\] for those$"):
            wrong()
    with pytest.raises(IndexError, match="below 2"):
        batch[2]
    with pytest.raises(TypeError, match="not a batch"):
        list(update)


def test_to_another_dtype_and_device(backend: Backend) -> None:
    low = cm.LowRankUpdate(backend.array(B), backend.array(A), 0.5)
    for update in (low, cm.DenseUpdate(low.to_dense())):
        small = update.to(dtype="float32")
        assert "float32" in repr(small)
        assert repr(small.to(dtype="float64")) == repr(update)
        np.testing.assert_array_equal(backend.dense(small), 0.5 * BA)
        assert repr(update.to(update._parts()[0].device)) == repr(update)
    with pytest.raises(cm.NonFiniteError, match="float32"):
        cm.DenseUpdate(backend.array(1e300 * BA)).to(dtype="float32")


def test_both_factors_move_and_change_their_dtype() -> None:
    xp = pytest.importorskip("array_api_strict")
    low = cm.LowRankUpdate(xp.asarray(B), xp.asarray(A), 0.5, {"k": 3})
    for update in (low, cm.DenseUpdate(low.to_dense(), {"k": 3})):
        for dtype in (None, "float32"):
            moved = update.to(xp.Device("device1"), dtype)
            assert {X.device for X in moved._parts()} == {xp.Device("device1")}
            assert {X.dtype for X in moved._parts()} == {xp.float64 if dtype is None else xp.float32}
            back = moved.to(device=xp.Device("CPU_DEVICE"))
            np.testing.assert_array_equal(np.asarray(back.to_dense()), 0.5 * BA)
            assert back.info == {"k": 3}


def test_gradients_flow_through_multiples_and_sums() -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    b, a = torch.tensor(B, requires_grad=True), torch.tensor(A)
    c = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    update = cm.LowRankUpdate(b, a)
    ((c * update) + update).to_dense().sum().backward()
    assert float(c.grad) == BA.sum()
    np.testing.assert_array_equal(b.grad.numpy(), 4 * np.broadcast_to(A.sum(axis=1), B.shape))
