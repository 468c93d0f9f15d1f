"""Updates in a space, before any stage: sums without a frame, their stack, names, weights, and what is refused."""

import re
from typing import Any, ClassVar

import numpy as np
import pytest
from backends import EPS, Backend

import coremerge_ref as cm
from coremerge_ref.core import arrays
from coremerge_ref.core.encoding import Encoded, layer_names
from coremerge_ref.core.pipeline import as_pipeline
from coremerge_ref.testing import THRESHOLD, Recipe, dense, ratio, size

FACTORS = Recipe(6, 5, (2, 1), scales=(1.0, -2.0), seed=2).build()
GIVEN = [None, *(cm.LowRankUpdate(*f) for f in FACTORS)]
RANGE = "range of float64, got some beyond it or too small for their digits; scale the inputs"
BEYOND = (
    "product B A in {}, whose range it leaves; scale the factors down: expected finite numbers, got NaN or Inf; "
    "find out where they come from"
)


def test_layers_have_names_in_row_major_order() -> None:
    assert [layer_names(None, batch) for batch in ((), (1,), (3,), (2, 2), (0,))] == [
        ("",), ("0",), ("0", "1", "2"), ("0", "1", "2", "3"), (),
    ]  # fmt: skip
    assert [layer_names(names, (2,)) for names in (["a", "b"], ("b", "a"))] == [("a", "b"), ("b", "a")]
    assert layer_names(["a"], ()) == ("a",)
    for names, batch, count in ((["a"], (2,), 2), ("ab", (2,), 2), ("a", (), 1), (["a"] * 3, (2, 2), 4), ([], (), 1)):
        with pytest.raises(cm.ShapeError) as caught:
            layer_names(names, batch)
        assert str(caught.value) == f"names: expected {count}, one for each layer of the batch {batch}, got {names!r}"


@pytest.mark.parametrize(
    ("m", "n", "ranks", "rank"),
    [
        (4, 5, (1, 2), 3),
        (4, 3, (1, 2), 3),  # as many columns as there is room for
        (3, 5, (2, 2), 3),  # more: the sum itself, and an identity on the shorter side
        (5, 3, (2, 2), 3),
        (2, 2, (3, 1), 2),
        (4, 3, (0, 0), 3),
        (4, 3, (0, 2), 2),
    ],
)
@pytest.mark.parametrize("batch", [(), (2,)])
def test_sums_need_no_frame(m: int, n: int, ranks: tuple[int, int], rank: int, batch: tuple[int, ...]) -> None:
    """Whole numbers: factors side by side, each B times its coefficient, or the matrix itself."""
    rng = np.random.default_rng(1)
    pairs = [(rng.integers(-4, 4, (*batch, m, r)) * 1.0, rng.integers(-4, 4, (*batch, r, n)) * 1.0) for r in ranks]
    found: Any = Encoded([cm.LowRankUpdate(*pair) for pair in pairs], cm.Core()).summed((3.0, -2.0))
    whole = 3 * pairs[0][0] @ pairs[0][1] - 2 * pairs[1][0] @ pairs[1][1]
    assert (found.rank, found.scale) == (rank, 1.0)
    np.testing.assert_array_equal(found.B @ found.A, whole)
    if 0 < sum(ranks) <= min(m, n):
        np.testing.assert_array_equal(found.B, np.concatenate([3 * pairs[0][0], -2 * pairs[1][0]], axis=-1))
        np.testing.assert_array_equal(found.A, np.concatenate([A for _, A in pairs], axis=-2))
    else:
        identity, product = (found.B, found.A) if m <= n else (found.A, found.B)
        np.testing.assert_array_equal(identity, np.broadcast_to(np.eye(rank), (*batch, rank, rank)))
        np.testing.assert_array_equal(product, whole)


def test_sums_on_every_library(backend: Backend) -> None:
    for ranks in ((2, 1), (4, 3)):
        factors = Recipe(6, 5, ranks, scales=(1.0, -2.0), seed=2).build()
        found = Encoded([None, *backend.updates(factors)], cm.Core()).summed(backend.array([0.5, 3.0]))
        expected = 0.5 * dense(factors)[0] + 3 * dense(factors)[1]
        assert ratio(backend.dense(found), expected, 4 * size(factors), EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize(("r", "unit", "said"), [
    (1, 1e200, BEYOND.format("float64")),
    (1, 1e154, BEYOND.format("float64")),  # no entry of the product is, but the product of norms
    (3, 1e200, f"product B A, summed: expected numbers within the {RANGE}"),
    (3, 1e-155, f"product B A, summed: expected numbers within the {RANGE}"),
])  # fmt: skip
def test_sums_that_leave_the_range_say_so(r: int, unit: float, said: str) -> None:
    encoded = Encoded([cm.LowRankUpdate(unit * np.ones((3, r)), unit * np.ones((r, 2)))], cm.Core())
    with pytest.raises(cm.NonFiniteError, match=f"^{re.escape(said)}$"):
        encoded.summed((1.0,))


def test_what_a_bound_alone_would_call_too_large_is_none() -> None:
    """One entry of 1e154 on either side: ‖B‖ ‖A‖ is a number, the product of all sizes with the largest is not."""
    B, A = np.zeros((90, 1)), np.zeros((1, 80))
    B[0, 0] = A[0, 0] = 1e154
    found = Encoded([cm.LowRankUpdate(B, A)], cm.Core()).summed((1.0,))
    assert float(np.max(found.to_dense())) == pytest.approx(1e308)


@pytest.mark.parametrize("space", [cm.Full(), cm.Core(), cm.Core("tucker"), cm.Knots(scaled=False)], ids=str)
def test_the_stack_is_that_of_the_tasks_which_are_there(space: Any) -> None:
    """Whatever their ranks; of weights 1, in frames that are found once for all methods of a kind."""
    encoded = Encoded(GIVEN, space, names=["q"])
    for method in ("ties", "tsv"):
        frames, stack = encoded.encoded(as_pipeline(method))
        assert encoded.encoded(as_pipeline(method)) is encoded.encoded(as_pipeline(method))
        assert (stack.tasks, stack.names, stack.weights) == ((1, 2), ("q",), (1.0, 1.0))
        assert (stack.rows, stack.cols) == (frames.rows, frames.cols)
        assert stack.products is not None
        assert (stack.products.graded, stack.products.M is stack.M) == (space == cm.Knots(scaled=False), True)
        for M, (L, R), (B, A, s) in zip(stack.M, stack.products.factors, FACTORS, strict=True):
            expected = frames.encode(s * B, A) if method == "ties" or space != cm.Full() else L @ R
            assert ratio(M, expected, size(FACTORS), EPS["float64"], kappa=20) <= THRESHOLD
            assert ratio(L @ R, M, size(FACTORS), EPS["float64"], kappa=20) <= THRESHOLD


class Asked(cm.Core):
    """Core space, and what it was asked for, kept beside the class."""

    any_frames: ClassVar[list[bool]] = []

    def frames(self, factors: Any, any_frame: bool = False) -> Any:
        self.any_frames.append(any_frame)
        return super().frames(factors, any_frame)


def test_any_frame_will_do_where_the_result_is_the_same_in_all_of_them() -> None:
    Asked.any_frames.clear()
    encoded = Encoded(GIVEN, Asked())
    for method in ("tsv", "ties", "tsv+iso", "iso_cts", "dare"):
        encoded.encoded(as_pipeline(method))
    assert [one is True for one in Asked.any_frames] == [True, False]  # once for each kind
    assert Asked.any_frames[1] is False


def test_weights_and_dtypes_that_nobody_gave() -> None:
    """All 1; the dtype that the factors of all tasks promote to."""
    B, A, _ = FACTORS[0]
    wide = [cm.LowRankUpdate(B.astype("float32"), A.astype("float16")), None, cm.LowRankUpdate(B, A.astype("float16"))]
    encoded = Encoded(wide, cm.Core(), "float32")
    assert encoded.weights(as_pipeline("ta"), None) == (1.0, 1.0)
    assert encoded.weights(as_pipeline("ta"), [1, 2, 3]) == (1.0, 3.0)
    assert encoded.weights(as_pipeline(cm.Ta((4, 5, 6))), None) == (4.0, 6.0)
    assert encoded.out_dtype(None) == np.float64
    assert encoded.out_dtype("float16") == np.float16
    assert Encoded(wide[:2], cm.Core()).out_dtype(None) == np.float32
    assert {arrays.dtype_name(X.dtype) for pair in encoded.factors for X in pair} == {"float32"}
    assert {arrays.dtype_name(X.dtype) for pair in Encoded(wide, cm.Core()).factors for X in pair} == {"float64"}


@pytest.mark.parametrize("space", [cm.Full(), cm.Core()], ids=str)
def test_products_that_leave_the_range_say_so(space: Any) -> None:
    for unit, said in (
        (1e200, BEYOND.format("float64")),
        (1e-155, f"product B A: expected numbers within the {RANGE}"),
    ):
        encoded = Encoded([cm.LowRankUpdate(unit * np.ones((3, 1)), unit * np.ones((1, 2)))], space)
        with pytest.raises(cm.NonFiniteError) as caught:
            encoded.encoded(as_pipeline("ties"))
        assert str(caught.value) in (said, f"product B A: expected numbers within the {RANGE}")


def test_products_and_their_levels_are_looked_at() -> None:
    encoded, M, level, none = Encoded(GIVEN, cm.Core()), np.ones((2, 3, 3)), np.ones(2), np.zeros(2, dtype=bool)
    encoded.check_products(M, level, none)
    for bad in (np.inf, np.nan):
        with pytest.raises(cm.NonFiniteError) as caught:
            encoded.check_products(M, np.array([1.0, bad]), none)
        assert str(caught.value) == BEYOND.format("float64")
        with pytest.raises(cm.NonFiniteError) as caught:
            encoded.check_products(M * [[[1.0]], [[bad]]], level, none)
        assert str(caught.value) == f"product B A: expected numbers within the {RANGE}"
    with pytest.raises(cm.NonFiniteError) as caught:
        encoded.check_products(M, level, np.asarray([False, True]))
    assert str(caught.value) == f"product B A: expected numbers within the {RANGE}"


SPACES = [cm.Core(), cm.Core(basis="tucker"), cm.Knots(), cm.Knots(scaled=False), cm.Full(), cm.Compressed(2)]


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("unit", [1e-155, 1e-163, 1e-200])
@pytest.mark.parametrize("method", ["tsv", "ties", "drm"])
def test_a_task_whose_product_is_too_small_for_its_digits_or_for_any_is_refused(
    space: Any, unit: float, method: str
) -> None:
    """Beside one of unit size: by merge and by explain, and where nothing of the product is left as where little is."""
    (B, A, _), (Y, X, _) = FACTORS
    for call in (cm.merge, cm.explain):
        with pytest.raises(cm.NonFiniteError, match="range of float64, got some beyond it or too small"):
            call([(B, A), (unit * Y, unit * X)], method, space)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_task_that_is_zero_is_not_refused(space: Any) -> None:
    """No B, or no A, or columns that cancel each other, however small the other factor is."""
    (B, A, _), _ = FACTORS
    for Y, X in ((0 * B, 1e-200 * A), (1e-200 * B, 0 * A), (np.hstack([B, -B]), np.vstack([A, A]))):
        found = cm.merge([(B, A), (Y, X)], "mean", space)
        terms = 4 * np.linalg.norm(B) * np.linalg.norm(A)
        assert ratio(found.to_dense(), B @ A / 2, terms, EPS["float64"]) <= THRESHOLD
        assert np.isfinite(cm.merge([(B, A), (Y, X)], "ties", space).to_dense()).all()


def test_what_underflows_in_single_precision_alone_is_refused_there() -> None:
    (B, A, _), (Y, X, _) = FACTORS
    tasks = [(B, A), (1e-46 * Y, X)]
    assert np.isfinite(cm.merge(tasks, "drm").to_dense()).all()
    with pytest.raises(cm.NonFiniteError):
        cm.merge(tasks, "drm", compute_dtype="float32")


@pytest.mark.parametrize(
    "error", [ValueError("no"), RuntimeError("no"), ArithmeticError("no"), KeyError("no")], ids=repr
)
def test_what_a_space_cannot_decompose_is_said_to_be_too_large_where_it_is(error: Exception) -> None:
    """One task of two is: as large on either side."""

    class Refusing(cm.Core):
        def frames(self, factors: Any, any_frame: bool = False) -> Any:
            raise error

    good, large = (cm.LowRankUpdate(unit * np.ones((3, 1)), unit * np.ones((1, 2))) for unit in (1.0, 1e200))
    for given in ([good, large], [large, good]):
        with pytest.raises(KeyError if isinstance(error, KeyError) else cm.NonFiniteError) as caught:
            Encoded(given, Refusing()).encoded(as_pipeline("ties"))
        assert str(caught.value) == ("'no'" if isinstance(error, KeyError) else BEYOND.format("float64"))
    with pytest.raises(type(error)) as caught:
        Encoded([good, good], Refusing()).encoded(as_pipeline("ties"))
    assert caught.value is error


def test_layers_of_a_batch_are_named_by_their_number() -> None:
    for batch, names in (((), ("",)), ((2,), ("0", "1")), ((2, 2), ("0", "1", "2", "3"))):
        B, A = (np.ones((*batch, *shape)) for shape in ((3, 1), (1, 2)))
        assert Encoded([None, cm.LowRankUpdate(B, A)], cm.Core()).names == names


def test_derivatives_that_a_trace_asks_for_afterwards_are_refused_in_the_same_words(monkeypatch: Any) -> None:
    refusals: list[str] = []
    monkeypatch.setattr(arrays, "without_derivative", lambda X, message: refusals.append(message) or X)
    Encoded(GIVEN, cm.Knots()).encoded(as_pipeline("ties+iso"))
    assert refusals == [REFUSAL.format("ties+iso", "knots")] * 4  # of B and A of two tasks


REFUSAL = (
    "gradients of the factors through {!r} in {} space: expected an orthogonally equivariant method in a lossless "
    "space, or full space, since other frames move with the factors; and no jit around the merge that is "
    "differentiated; detach the factors, or differentiate weights and scale alone"
)


def test_derivatives_of_factors_are_refused_or_taken_in_full_space() -> None:
    """With the live sizes of the space, since those of full space mean something else."""
    torch = pytest.importorskip("torch")
    given = [cm.LowRankUpdate(*(torch.tensor(X, requires_grad=True) for X in f[:2]), f[2]) for f in FACTORS]
    taken: list[tuple[Any, Any, tuple[int, int]]] = [
        ("tsv", cm.Core(), (3, 3)),
        ("tsv", cm.Knots(), (3, 5)),
        ("tsv", cm.Full(), (6, 5)),
        (cm.Mean(), cm.Full(), (6, 5)),
    ]
    for method, space, sizes in taken:
        frames, stack = Encoded(given, space).encoded(as_pipeline(method))
        assert (frames.U, frames.V) == (None, None)
        assert (float(frames.rows), float(frames.cols), stack.M.requires_grad) == (*sizes, True)
        assert ratio(stack.M.detach().numpy(), dense(FACTORS), size(FACTORS), EPS["float64"]) <= THRESHOLD
    Asked.any_frames.clear()
    Encoded(given, Asked()).encoded(as_pipeline("tsv"))
    assert [one is True for one in Asked.any_frames] == [True]  # nobody pays for singular vectors, whose sizes count
    refused: list[tuple[Any, Any]] = [
        ("ties", cm.Core()),
        ("tsv", cm.Knots(scaled=False)),
        ("tsv", cm.Compressed(2)),
        ("ties+iso", cm.Knots()),
        (cm.Iso("size"), cm.Full()),
    ]
    for method, space in refused:
        with pytest.raises(cm.ParameterError) as caught:
            Encoded(given, space).encoded(as_pipeline(method))
        assert str(caught.value) == REFUSAL.format(str(as_pipeline(method)), space.name)
