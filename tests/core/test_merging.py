"""merge: what goes in, what comes out, and what it does on the way that nobody may notice."""

from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from backends import BACKENDS, EPS, EVERY, Backend
from said import parts

import coremerge_ref as cm
from coremerge_ref.core import arrays
from coremerge_ref.core.merging import Options, Prepared, _finished, restored
from coremerge_ref.core.pipeline import as_pipeline
from coremerge_ref.core.stack import Merged
from coremerge_ref.core.stages import STAGES
from coremerge_ref.testing import KINDS, THRESHOLD, Recipe, dense, ratio, size

NUMPY = BACKENDS["numpy"]
METHODS = [*sorted(STAGES), "dare+ties+iso"]
SPACES = [cm.Full(), cm.Knots(), cm.Knots(transposed=True), cm.Knots(scaled=False), cm.Core(), cm.Core("tucker")]
FACTORS = Recipe(6, 5, (2, 2), scales=(1.0, -2.0), seed=2).build()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("space", SPACES, ids=str)
def test_every_method_in_every_space_on_every_input(method: str, space: Any) -> None:
    """All are defined: the result is finite, of the right shape, and inside the span of the tasks."""
    cases = [Recipe(6, 5, (2, 3, 1), kind=kind, scales=(1.0, -2.0, 0.5), seed=2) for kind in KINDS]
    cases += [
        Recipe(4, 3, (2,), seed=1),  # one task
        Recipe(3, 9, (3, 3, 3), seed=1),  # R > m
        Recipe(4, 3, (3, 3, 3), seed=1),  # R > m and n
        Recipe(1, 7, (1, 1), seed=1),
        Recipe(7, 1, (1, 1), seed=1),
        Recipe(1, 1, (1, 1, 1), seed=1),
    ]
    for recipe in cases:
        factors = recipe.build()
        merged = cm.merge(NUMPY.updates(factors), method, space)
        W = merged.to_dense()
        assert W.shape == merged.shape == (recipe.m, recipe.n)
        assert np.all(np.isfinite(W))
        if not isinstance(merged, cm.DenseUpdate):
            assert merged.rank <= max(recipe.m, recipe.n)
            U = np.linalg.svd(np.concatenate([B for B, _, _ in factors], axis=1), full_matrices=False)
            span = U[0][:, U[1] > 1e-9 * U[1][0]]
            if space != cm.Knots(transposed=True):
                assert ratio(span @ span.T @ W, W, size(factors), EPS["float64"], kappa=1e3) <= THRESHOLD


@pytest.mark.parametrize("factors", [
    [(np.zeros((4, 0)), np.zeros((0, 3)), 1.0)] * 2,
    [(np.zeros((4, 2)), np.ones((2, 3)), 1.0)] * 3,
    [(np.zeros((4, 2)), np.zeros((2, 3)), 1.0)],
    [(np.ones((4, 2)), np.ones((2, 3)), 0.0)] * 2,
])  # fmt: skip
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("space", SPACES, ids=str)
def test_nothing_merges_into_nothing(factors: Any, method: str, space: Any) -> None:
    np.testing.assert_array_equal(cm.merge(NUMPY.updates(factors), method, space).to_dense(), np.zeros((4, 3)))


@pytest.mark.parametrize(
    "method", [*METHODS, "tsv+iso", "trim+drm", cm.Drm("vertical"), cm.Ties(elect="count")], ids=str
)
@pytest.mark.parametrize("space", SPACES, ids=str)
def test_each_layer_of_a_batch_has_its_own_rounding(method: Any, space: Any) -> None:
    """One layer is 2^-80 of the other, far below its rounding, and is merged as if it were alone."""
    large = Recipe(6, 5, (2, 2, 1), scales=(1.0, -2.0, 0.5), seed=2).build()
    small = [(2.0**-80 * B, A, s) for B, A, s in large]
    for layers in ([large, small], [small, large]):
        batch = [tuple(np.stack(X) for X in zip(*task, strict=True)) for task in zip(*layers, strict=True)]
        found = cm.merge(NUMPY.updates(batch), method, space, names=["", ""]).to_dense()
        for ours, factors in zip(found, layers, strict=True):
            alone = cm.merge(NUMPY.updates(factors), method, space).to_dense()
            assert ratio(ours, alone, size(factors), EPS["float64"], kappa=20) <= THRESHOLD


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_rounding_is_relative_to_the_rank_one_terms(space: Any) -> None:
    """8 eps Σ ‖b_i‖ ‖a_i‖ for each task that is there, and 8 eps r_t where rows are orthonormal."""
    given = [cm.LowRankUpdate(B, A, s) for B, A, s in Recipe(6, 5, (4, 3), scales=(1.0, -2.0), seed=2).build()]
    prepared = Prepared([given[0], None, given[1]], space)
    _, stack = prepared.encoded(as_pipeline("ties"))
    terms = [
        np.sum(np.linalg.norm(u.scale * u.B, axis=0) * np.linalg.norm(u.A, axis=1)) if space.isometric else u.rank
        for u in given
    ]
    expected = 8 * 2.0**-52 * np.array(terms)
    assert ratio(stack.rounding_level / expected, np.ones(2), 1.0, EPS["float64"]) <= THRESHOLD
    assert (stack.tasks, stack.names) == ((0, 2), ("",))
    assert prepared.weights(as_pipeline("ta"), (1, 2, 3)) == (1.0, 3.0)
    assert prepared.weights(as_pipeline(cm.Ta((4, 5, 6))), (1, 2, 3)) == (4.0, 6.0)


def test_rounding_of_factors_of_extreme_sizes_does_not_underflow() -> None:
    """1e-300 · eps by itself is below the normal numbers, and has lost digits."""
    given = [cm.LowRankUpdate(1e-300 * np.ones((2, 1)), 1e300 * np.ones((1, 2)))]
    _, stack = Prepared(given, cm.Full()).encoded(as_pipeline("ties"))
    assert ratio(stack.rounding_level / 2.0**-48, np.ones(1), 1.0, EPS["float64"]) <= THRESHOLD


def test_no_task_no_rank_zero_on_every_library(backend: Backend) -> None:
    if backend.name == "jax":
        pytest.skip("shapes met nowhere else: minutes of compiling for what the other libraries show")
    factors = [(np.zeros((6, 0)), np.zeros((0, 5)), 1.0), *FACTORS]
    found = backend.dense(cm.merge(backend.updates(factors), cm.Tsv(2)))
    expected = cm.merge(NUMPY.updates(FACTORS), cm.Tsv(2)).to_dense()
    assert ratio(found, expected, size(FACTORS), EPS["float64"], kappa=20) <= THRESHOLD


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["tsv", "iso", "ties", "cart"])
def test_degenerate_input_is_the_same_on_every_library(backend: Backend, kind: str, method: str) -> None:
    if (kind, method) == ("cancelling", "ties"):
        pytest.skip("all sums are zero: the majority's sign is a matter of the basis' signs, which nothing decides")
    if kind == "empty" and backend.name == "jax":
        pytest.skip("other shapes, compiled for nothing new: rank 0 has its own test")
    factors = Recipe(6, 5, (2, 2), kind=kind, seed=2).build()
    found = backend.dense(cm.merge(backend.updates(factors), method))
    expected = cm.merge(NUMPY.updates(factors), method).to_dense()
    assert ratio(found, expected, size(factors), EPS["float64"], kappa=50) <= THRESHOLD


# what comes back


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_full_space_stays_in_factors_where_the_method_allows(space: Any) -> None:
    for method, stays in (("tsv", True), ("iso", True), ("ties", False), (lambda M: M[0], False)):
        merged = cm.merge(NUMPY.updates(FACTORS), method, space)
        assert isinstance(merged, cm.LowRankUpdate) == (stays or space != cm.Full())


def test_info_says_live_sizes_and_ranks() -> None:
    merged = cm.merge(NUMPY.updates(FACTORS), "tsv")
    assert {key: float(value) for key, value in merged.info.items()} == {"rows": 4, "cols": 4, "k": 2, "k_raised": 0}
    merged = cm.merge(NUMPY.updates(FACTORS), "tsv", space="full")
    assert {key: float(value) for key, value in merged.info.items()} == {"rows": 6, "cols": 5, "k": 2, "k_raised": 0}
    assert float(cm.merge(NUMPY.updates(FACTORS), "drm").info["rank"]) == 4
    info = cm.merge(NUMPY.updates(FACTORS), "iso_cts").info
    assert (float(info["common"]), float(info["task"])) == (4.0, 0.0)


@pytest.mark.parametrize("dtype", EVERY)
def test_result_has_the_inputs_dtype(backend: Backend, dtype: str) -> None:
    """And narrow numbers are taken as the exact numbers they are: all rounding is that of the result."""
    if dtype not in backend.dtypes:
        pytest.skip(f"{backend} has no {dtype}")
    updates = backend.updates(FACTORS, dtype)
    exact = [(backend.host(u.B), backend.host(u.A), s) for u, (_, _, s) in zip(updates, FACTORS, strict=True)]
    expected = cm.merge(NUMPY.updates(exact), cm.Tsv(2)).to_dense()
    merged = cm.merge(updates, cm.Tsv(2))
    assert {arrays.dtype_name(X.dtype) for X in (merged.B, merged.A, merged.to_dense())} == {dtype}
    assert ratio(backend.dense(merged), expected, size(exact), EPS[dtype], kappa=20 if dtype == "float64" else 1) <= 4
    wide = cm.merge(updates, cm.Tsv(2), out_dtype="float64")
    assert arrays.dtype_name(wide.B.dtype) == "float64"
    assert ratio(backend.dense(wide), expected, size(exact), EPS["float64"], kappa=20) <= THRESHOLD


@pytest.mark.parametrize(("b", "a", "out"), [
    ("float16", "float16", "float16"), ("float16", "float32", "float32"), ("bfloat16", "float16", "float32"),
    ("bfloat16", "float32", "float32"), ("bfloat16", "bfloat16", "bfloat16"), ("float32", "float64", "float64"),
])  # fmt: skip
def test_mixed_dtypes_promote(backend: Backend, b: str, a: str, out: str) -> None:
    if not {a, b, out} <= set(backend.dtypes):
        pytest.skip(f"{backend} lacks one of {a}, {b}, {out}")
    B, A, _ = FACTORS[0]
    for updates in (
        [(backend.array(B, b), backend.array(A, a))],
        [(backend.array(B, x), backend.array(A, x)) for x in (a, b)],
    ):
        merged = cm.merge(updates, "ta")
        assert arrays.dtype_name(merged.B.dtype) == arrays.dtype_name(merged.to_dense().dtype) == out


@pytest.mark.parametrize("out", ["float16", "bfloat16", "float32", "float64"])
def test_out_dtype(backend: Backend, out: str) -> None:
    if out not in backend.dtypes:
        pytest.skip(f"{backend} has no {out}")
    for method, space in (("ta", "core"), ("ties", "full")):
        merged = cm.merge(backend.updates(FACTORS), method, space, out_dtype=out)
        assert arrays.dtype_name(merged.to_dense().dtype) == out
    same = cm.merge(backend.updates(FACTORS), "ta", out_dtype=backend.array(1.0, out).dtype)
    assert arrays.dtype_name(same.B.dtype) == out


def test_numpy_bfloat16_by_its_dtype() -> None:
    assert cm.merge(NUMPY.updates(FACTORS), "ta", out_dtype=ml_dtypes.bfloat16).B.dtype == ml_dtypes.bfloat16


def test_compute_dtype_float32_is_that_accurate(backend: Backend) -> None:
    updates = backend.updates(FACTORS, "float64")
    found = backend.dense(cm.merge(updates, cm.Tsv(2), compute_dtype="float32"))
    expected = cm.merge(NUMPY.updates(FACTORS), cm.Tsv(2)).to_dense()
    assert 1e-9 < np.max(np.abs(found - expected))
    assert ratio(found, expected, size(FACTORS), EPS["float32"], kappa=20) <= THRESHOLD


@pytest.mark.parametrize("scale", [0.0, 1.0, -2.5, 1e-3])
def test_scale_multiplies_the_result(backend: Backend, scale: float) -> None:
    for method, space in (("iso", "core"), ("ties", "full")):
        one = backend.dense(cm.merge(backend.updates(FACTORS), method, space))
        found = backend.dense(cm.merge(backend.updates(FACTORS), method, space, scale=scale))
        assert ratio(found, scale * one, size(FACTORS), EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize("space", ["full", "knots", "core", cm.Core("tucker")], ids=str)
@pytest.mark.parametrize("method", ["ta", "ties", "tsv"])
@pytest.mark.parametrize("sizes", [(1e308, 1.0), (1e200, 1e200)])
def test_factors_whose_norm_overflows_are_one_clear_error(method: str, space: Any, sizes: tuple[float, float]) -> None:
    B, A = np.ones((4, 2)), np.ones((2, 3))
    with pytest.raises(cm.NonFiniteError, match="product B A"):
        cm.merge([(B, A), (sizes[0] * B, sizes[1] * A)], method, space)


@pytest.mark.parametrize("unit", [1e-150, 1e150])
@pytest.mark.parametrize("method", ["ta", "tsv", "cart", "iso", "iso_cts", "ties", "drm"])
def test_extreme_numbers(unit: float, method: str) -> None:
    one = cm.merge(NUMPY.updates(FACTORS), method).to_dense()
    found = cm.merge([(unit * s * B, A) for B, A, s in FACTORS], method).to_dense()
    assert ratio(found, unit * one, unit * size(FACTORS), EPS["float64"], kappa=50) <= THRESHOLD


HUGE: dict[str, Any] = {
    "scale": lambda: cm.merge([(1e200 * np.ones((4, 2)), np.ones((2, 3)))], "tsv", scale=1e200),
    "scale of a sum": lambda: cm.merge([(1e200 * np.ones((4, 2)), np.ones((2, 3)))], "ta", scale=1e200),
    "weights": lambda: cm.merge([(1e150 * np.ones((4, 2)), np.ones((2, 3)))] * 2, "tsv", weights=(1e200, 1)),
    "weights before iso": lambda: cm.merge([(1e200 * np.ones((4, 2)), np.ones((2, 3)))], "iso", weights=(1e200,)),
    "float16 output": lambda: cm.merge([(1e9 * np.ones((4, 2)), 1e9 * np.ones((2, 3)))], "tsv", out_dtype="float16"),
    "float16 matrix": lambda: cm.merge([(1e9 * np.ones((4, 2)), np.ones((2, 3)))], "ties", "full", out_dtype="float16"),
    "to_dense": lambda: cm.LowRankUpdate(1e200 * np.ones((4, 2)), 1e200 * np.ones((2, 3))).to_dense(),
    "truncate": lambda: cm.LowRankUpdate(1e200 * np.ones((4, 2)), 1e200 * np.ones((2, 3))).truncate(1),
    "factors of 1e-155": lambda: cm.merge([(1e-155 * s * B, 1e-155 * A) for B, A, s in FACTORS], "drm"),
    "alpha of 1e-310": lambda: cm.merge(NUMPY.updates(FACTORS), "tsv", scale=1e-310),
    "float16 output of 1e-30": lambda: cm.merge(
        [(1e-30 * np.ones((4, 2)), np.ones((2, 3)))], "tsv", out_dtype="float16"
    ),
}


@pytest.mark.parametrize("name", HUGE)
def test_what_leaves_the_range_is_an_error(name: str) -> None:
    """Finite input never gives NaN, Inf, or digits lost to underflow, without a word."""
    with pytest.raises(cm.NonFiniteError):
        HUGE[name]()


@pytest.mark.parametrize("method", ["ta", "tsv", "ties", "iso"])
def test_float32_arithmetic_of_unbalanced_factors(method: str) -> None:
    """B of 1e-50 is 0 in float32; B A is not."""
    unbalanced = [(1e-50 * s * B, 1e50 * A) for B, A, s in FACTORS]
    found = cm.merge(unbalanced, method, compute_dtype="float32").to_dense()
    expected = cm.merge(NUMPY.updates(FACTORS), method).to_dense()
    assert ratio(found, expected, size(FACTORS), EPS["float32"], kappa=50) <= THRESHOLD


def test_float16_results_are_balanced() -> None:
    """70000 has no float16, but 273 · 256 has."""
    merged = cm.merge([(7e4 * np.ones((4, 1)), np.ones((1, 3)))], "ta", out_dtype="float16")
    assert str(merged.B.dtype) == "float16"
    wide = merged.B.astype(float) @ merged.A.astype(float)
    assert ratio(wide, np.full((4, 3), 7e4), 7e4 * 12**0.5, EPS["float16"]) <= THRESHOLD


def test_results_of_the_dtype_asked_stay_what_they_are() -> None:
    """However small one factor is; in another dtype one power of 2 balances them, and `info` goes with them."""
    update = cm.LowRankUpdate(np.full((2, 1), 2.0**-700), np.full((1, 3), 2.0**690), info={"k": 1})
    for out in ("float64", np.float64, np.dtype("float64")):
        assert _finished(update, np.dtype(out)) is update
    narrow: Any = _finished(update, np.dtype("float32"))
    assert (narrow.B.dtype, narrow.A.dtype, narrow.info, narrow.scale) == (np.float32, np.float32, {"k": 1}, 1.0)
    assert (float(narrow.B[1, 0]), float(narrow.A[0, 2])) == (2.0**-5, 2.0**-5)
    whole: Any = _finished(cm.DenseUpdate(np.array([[1.0, 1 + 2.0**-30]]), {"k": 2}), np.dtype("float32"))
    assert (whole.matrix.dtype, whole.info, whole.matrix.tolist()) == (np.float32, {"k": 2}, [[1.0, 1.0]])
    for bad, said in (
        (cm.LowRankUpdate(np.array([[np.inf]]), np.ones((1, 1))), "the result in float64: expected finite numbers"),
        (cm.DenseUpdate(np.array([[1e9]])), "the result in float16: expected finite numbers"),
        (cm.DenseUpdate(np.array([[1e-9]])), "the result: expected numbers that float16 holds, got some that become 0"),
    ):
        with pytest.raises(cm.NonFiniteError, match=f"^{said}"):
            _finished(bad, np.dtype("float16") if isinstance(bad, cm.DenseUpdate) else np.dtype("float64"))


def test_what_was_divided_out_is_multiplied_back(backend: Backend) -> None:
    """Row by row; rounding by the largest of them, in each layer."""
    sizes = backend.array([1.0, 1.0])
    item = Merged(backend.array(np.ones((2, 2, 3))), backend.array([0.5, 0.25]), sizes, sizes, {"k": 1})
    sigma = np.array([[2.0, 3.0], [8.0, 0.0]])
    frames = cm.Frames(None, None, sizes, sizes, sigma=backend.array(sigma))
    found = restored(item, frames)
    np.testing.assert_array_equal(backend.host(found.M), sigma[..., None] * np.ones((2, 2, 3)))
    np.testing.assert_array_equal(backend.host(found.rounding_level), [1.5, 2.0])
    assert found.info == {"k": 1}
    assert restored(item, cm.Frames(None, None, sizes, sizes)) is item


def test_scales_that_merge_takes(backend: Backend) -> None:
    for scale in (
        2,
        2.5,
        np.float32(2),
        np.int64(-3),
        np.array(0.5),
        backend.array(0.5),
        backend.array(0.5, "float32"),
    ):
        assert Options(scale).scale is scale
    assert (Options().scale, Options().weights, Options().out_dtype) == (1.0, None, None)
    for scale in ("2", None, True, [1.0], np.ones(1), 1j, backend.array([1.0])):
        with pytest.raises(cm.ParameterError) as caught:
            Options(scale)
        assert str(caught.value) == f"scale: expected a number, got {scale!r}"
    for value in (np.inf, -np.inf, np.nan):
        beyond = [] if np.isnan(value) else [int(np.sign(value)) * 10**400, Fraction(int(np.sign(value)) * 10**400, 3)]
        for scale in (value, np.float32(value), np.array(value), backend.array(value), *beyond):
            with pytest.raises(cm.ParameterError) as caught:
                Options(scale)
            assert str(caught.value) == f"scale: expected a finite number, got {scale!r}"


def test_what_left_the_range_is_said_to_be_the_result_or_its_multiple() -> None:
    """The scale makes it too large or too small, or it was before; a function is given weighted updates."""
    said = "{}: expected numbers within the range of float64, got some beyond it or too small for their digits; "
    for method, unit, options, what in (
        ("tsv", 1e200, {"scale": 1e200}, "scale times the merged update"),
        ("ties", 1.0, {"scale": 1e-300}, "scale times the merged update"),
        ("tsv", 1e200, {"weights": (1e200, 1)}, "the merged update"),
        (lambda M: M[0], 1e200, {"weights": (1e200, 1)}, "weights times updates"),
        (lambda M: M[0] * 1e200, 1e200, {}, "the merged update"),
        (lambda M: M[0] * 1e200, 1e200, {"scale": 1e-300}, "the merged update"),
    ):
        pairs, space = [(unit * np.ones((4, 2)), np.ones((2, 3)))] * 2, "full" if method == "ties" else "core"
        with np.errstate(over="ignore"), pytest.raises(cm.NonFiniteError) as caught:
            cm.merge(pairs, method, space, **options)  # type: ignore[call-overload]
        assert str(caught.value) == said.format(what) + "scale the inputs"


# options refused


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scale": "2"}, cm.ParameterError, "scale: expected a number, got '2'"),
        ({"scale": np.float32("nan")}, cm.ParameterError, "scale: expected a finite number, got"),
        (
            {"space": ["core"]},
            cm.ParameterError,
            r"space: expected one of full, knots, core, compressed.*got \['core'\]",
        ),
        ({"space": cm.Core}, cm.ParameterError, "space: expected one of full, knots, core, compressed"),
        ({"weights": 3}, cm.ParameterError, "weights: expected a sequence of 2 numbers"),
        ({"scale": np.nan}, cm.ParameterError, "scale: expected a finite number, got nan"),
        ({"scale": np.inf}, cm.ParameterError, "scale: expected a finite number, got inf"),
        ({"weights": [1.0]}, cm.ParameterError, "weights: expected 2 numbers, one a task, got 1"),
        ({"weights": [1.0, np.nan]}, cm.ParameterError, "weights: expected finite numbers"),
        ({"weights": [1, 10**400]}, cm.ParameterError, "weights: expected finite numbers"),
        ({"names": ["a", "b"]}, cm.ShapeError, r"names: expected 1, one for each layer of the batch \(\)"),
        ({"names": "a"}, cm.ShapeError, "names: expected 1"),
        ({"space": "kernel"}, cm.ParameterError, "space: expected one of full, knots, core, compressed"),
        ({"method": "slerp"}, cm.ParameterError, "method: expected stages among"),
        ({"out_dtype": "int32"}, cm.DTypeError, "got 'int32'"),
    ],
)
def test_options_refused(options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        cm.merge(NUMPY.updates(FACTORS), **options)


# side effects


@pytest.mark.parametrize("method", METHODS)
def test_inputs_are_never_written_to(method: str) -> None:
    arrays = [np.array(X) for B, A, _ in FACTORS for X in (B, A)]
    before = [X.copy() for X in arrays]
    for X in arrays:
        X.flags.writeable = False
    for space in SPACES:
        for dtype in ("float64", "float32"):
            cm.merge([(arrays[0], arrays[1]), (arrays[2], arrays[3])], method, space, compute_dtype=dtype).to_dense()
    assert all(np.array_equal(X, Y) for X, Y in zip(arrays, before, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_torch_inputs_are_never_written_to(method: str) -> None:
    torch = pytest.importorskip("torch")
    arrays = [torch.tensor(X) for B, A, _ in FACTORS for X in (B, A)]
    versions = [X._version for X in arrays]
    for space in SPACES:
        cm.merge([(arrays[0], arrays[1]), (arrays[2], arrays[3])], method, space).to_dense()
    assert [X._version for X in arrays] == versions


@pytest.mark.parametrize("method", METHODS)
def test_merging_twice_is_merging_once(method: str) -> None:
    pipeline = cm.Pipeline.parse(method)
    for space in SPACES:
        one, two = (cm.merge(NUMPY.updates(FACTORS), pipeline, space).to_dense() for _ in range(2))
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("method", METHODS)
def test_no_host_copy(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing turns a torch tensor into NumPy or a list; single numbers and truth values alone may be looked at."""
    torch = pytest.importorskip("torch")

    def refuse(self: Any, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("a tensor was copied to the host")

    updates = [(torch.tensor(s * B), torch.tensor(A)) for B, A, s in FACTORS]
    for name in ("numpy", "__array__", "tolist", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    with pytest.raises(AssertionError):
        np.asarray(updates[0][0])
    for space in SPACES:
        cm.merge(updates, method, space).to_dense()


@pytest.mark.parametrize("method", METHODS)
def test_strict_second_device_in_every_space(method: str) -> None:
    """Its arrays cannot become NumPy arrays, nor meet those of another device."""
    backend = BACKENDS["strict-device1"]
    for space in SPACES:
        found = backend.dense(cm.merge(backend.updates(FACTORS), method, space))
        assert found.shape == (6, 5)


# torch gradients


SMOOTH = {
    "ta": cm.Ta((1.0, -0.5)),
    "mean": cm.Mean(),
    "tsv": cm.Tsv(1),
    "tsv at the full rank": cm.Tsv(2),
    "cart": cm.Cart(1, coefficient=2.0),
    "iso": "iso",
    "iso_cts": cm.IsoCts(0.5),
    "tsv+iso": [cm.Tsv(1), "iso"],
}
GRADIENTS: dict[str, Any] = {
    "generic": Recipe(4, 5, (2, 1), seed=3).build(),
    "shared A": (lambda F: [F[0], (F[1][0], F[0][1], 1.0)])(Recipe(6, 5, (2, 2), seed=3).build()),
    "one B is zero": Recipe(6, 5, (2, 2), kind="zero", seed=3).build(),
    "one task": Recipe(6, 5, (2,), seed=3).build(),
    "orthonormal": [(np.eye(6)[:, 2 * t : 2 * t + 2], np.eye(5)[2 * t : 2 * t + 2], 1.0) for t in range(2)],
    "equal singular values": Recipe(6, 5, (2, 2), decades=0.0, seed=3).build(),
}


def derivative_exists(name: str, method: str) -> bool:
    """Not where a change of the inputs changes a rank that counts, or parts equal singular values at a cut."""
    cuts = method in ("tsv", "cart", "tsv+iso", "iso_cts")
    if name == "one B is zero":
        return method in ("ta", "mean")
    if name in ("equal singular values", "orthonormal"):
        return not cuts
    if name == "shared A":  # ranks of [Q_1 Q_2] and of the sum grow where the A_t part
        return method not in ("tsv at the full rank", "iso", "iso_cts")
    return (name, method) != ("one task", "cart")


def dense_sum(factors: Any, weights: Any) -> Any:
    return sum(w * (B @ A) for w, (B, A) in zip(weights, factors, strict=True))


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("method", SMOOTH)
@pytest.mark.parametrize("space", ["core", "full", "knots"])
def test_gradients_of_factors_are_those_of_finite_differences(name: str, method: str, space: str) -> None:
    torch = pytest.importorskip("torch")
    if not derivative_exists(name, method):
        pytest.skip("the derivative does not exist there")
    factors = [torch.tensor(X, requires_grad=True) for B, A, _ in GRADIENTS[name] for X in (B, A)]
    stage = cm.Ta() if method == "ta" and len(factors) == 2 else SMOOTH[method]

    def merge(*X: Any) -> Any:
        pairs = [cm.LowRankUpdate(X[i], X[i + 1], 2.0 if i == 0 else 1.0) for i in range(0, len(X), 2)]
        return cm.merge(pairs, stage, space).to_dense()

    assert torch.autograd.gradcheck(merge, factors, eps=1e-6, atol=1e-4, rtol=1e-4, fast_mode=True)


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("method", [*SMOOTH, "ties", "dare+ties", "drm", "trim"])
@pytest.mark.parametrize("space", ["core", "knots", cm.Core("tucker"), cm.Knots(scaled=False)], ids=str)
def test_gradients_of_weights_and_scale_are_those_of_finite_differences(name: str, method: str, space: Any) -> None:
    torch = pytest.importorskip("torch")
    factors = [cm.LowRankUpdate(torch.tensor(B), torch.tensor(A), s) for B, A, s in GRADIENTS[name]]
    weights = torch.tensor([0.9, -0.4][: len(factors)], dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    stage = {"ta": "ta"}.get(method, SMOOTH.get(method, method))

    def merge(weights: Any, scale: Any) -> Any:
        return cm.merge(factors, stage, space, scale=scale, weights=weights).to_dense()

    equal = name in ("equal singular values", "orthonormal") or space == cm.Knots(scaled=False)
    if equal and method in ("cart", "iso_cts"):
        pytest.skip("weights part equal singular values at the cut")
    assert torch.autograd.gradcheck(merge, (weights, scale), eps=1e-6, atol=1e-4, rtol=1e-4, fast_mode=True)


@pytest.mark.parametrize("space", ["core", "full"])
def test_gradients_of_weights_through_null_vectors_are_refused(space: str) -> None:
    """And nothing else: no other method, nor weights that ask for none."""
    torch = pytest.importorskip("torch")
    given = [(torch.tensor(B), torch.tensor(A)) for B, A, _ in FACTORS]
    weights = torch.tensor([1.0, -2.0, 0.5][: len(given)], dtype=torch.float64, requires_grad=True)
    size = cm.Iso("size")
    for method, name in ((size, "ta+iso"), (["ties", size], "ties+iso")):
        with pytest.raises(cm.ParameterError) as caught:
            cm.merge(given, method, space, weights=weights)
        assert str(caught.value) == f"gradients of the weights through {name!r}: null vectors have no derivative"
        assert not cm.merge(given, method, space, weights=weights.detach()).to_dense().requires_grad
    for method in ("ta", "ties", "tsv", "iso"):
        assert cm.merge(given, method, space, weights=weights).to_dense().requires_grad


@pytest.mark.parametrize("method", ["ties", "drm", "dare+ties", cm.Iso("size")], ids=str)
@pytest.mark.parametrize("library", ["torch", "jax", "jax under jit"])
def test_gradients_of_factors_that_would_be_wrong_are_an_error(method: Any, library: str) -> None:
    B, A, _ = FACTORS[0]
    if library == "torch":
        torch = pytest.importorskip("torch")
        pairs = [(torch.tensor(B, requires_grad=True), torch.tensor(A)), (torch.tensor(B + 1), torch.tensor(A))]
        with pytest.raises(cm.ParameterError, match="gradients of the factors"):
            cm.merge(pairs, method)
        return
    jax = pytest.importorskip("jax")
    array = BACKENDS["jax"].array
    other = (array(B + 1), array(A))

    def loss(B: Any) -> Any:
        return cm.merge([(B, array(A)), other], method).to_dense().sum()

    with pytest.raises(cm.ParameterError, match="gradients of the factors"):
        jax.grad(jax.jit(loss) if "jit" in library else loss)(array(B))


@pytest.mark.parametrize("method", ["tsv", "iso", "ta"])
def test_jax_gradients_are_those_of_torch(method: str) -> None:
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    array = BACKENDS["jax"].array
    stage = cm.Tsv(2) if method == "tsv" else method
    arrays_ = [X for B, A, s in FACTORS for X in (s * B, A)]

    def merged(X: Any) -> Any:
        return cm.merge([(X[0], X[1]), (X[2], X[3])], stage).to_dense()

    tensors = [torch.tensor(X, requires_grad=True) for X in arrays_]
    (merged(tensors) ** 2).sum().backward()
    found = jax.grad(lambda X: (merged(X) ** 2).sum())([array(X) for X in arrays_])
    for ours, theirs in zip(found, tensors, strict=True):
        expected = theirs.grad.numpy()
        assert ratio(BACKENDS["jax"].host(ours), expected, 100 * size(FACTORS), EPS["float64"], 50) <= THRESHOLD


@pytest.mark.parametrize("method", ["tsv", "iso", "ties", "ta"])
def test_jax_gradients_of_weights_go_through_jit(method: str) -> None:
    jax = pytest.importorskip("jax")
    backend = BACKENDS["jax"]
    updates, stage = backend.updates(FACTORS), cm.Tsv(2) if method == "tsv" else method

    def loss(w: Any) -> Any:
        return (cm.merge(updates, stage, weights=w).to_dense() ** 2).sum()

    w = backend.array([0.7, 1.2])
    eager, jitted = jax.grad(loss)(w), jax.grad(jax.jit(loss))(w)
    assert ratio(backend.host(jitted), backend.host(eager), 100 * size(FACTORS), EPS["float64"], 50) <= THRESHOLD


# JAX under jit


@pytest.mark.parametrize("method", ["ta", "tsv", "cart", "iso", "iso_cts", "ties", "drm"])
def test_jit_gives_what_eager_gives(method: str) -> None:
    jax = pytest.importorskip("jax")
    absolute = {"tsv": cm.Tsv(2), "cart": cm.Cart(1)}.get(method, method)
    backend = BACKENDS["jax"]

    def merge(arrays: Any) -> Any:
        (B, A), (C, D) = arrays
        return cm.merge([cm.LowRankUpdate(B, A, 1.0), cm.LowRankUpdate(C, D, -2.0)], absolute).to_dense()

    found = jax.jit(merge)([(backend.array(B), backend.array(A)) for B, A, _ in FACTORS])
    expected = cm.merge(NUMPY.updates(FACTORS), absolute).to_dense()
    assert ratio(backend.host(found), expected, size(FACTORS), EPS["float64"], kappa=20) <= THRESHOLD


def test_jit_with_traced_scale() -> None:
    jax = pytest.importorskip("jax")
    backend = BACKENDS["jax"]

    def merge(arrays: Any, scale: Any) -> Any:
        return cm.merge([cm.LowRankUpdate(*arrays, scale)], "ta").to_dense()

    B, A, _ = FACTORS[0]
    found = jax.jit(merge)((backend.array(B), backend.array(A)), 0.5)
    assert ratio(backend.host(found), 0.5 * B @ A, size(FACTORS), EPS["float64"]) <= THRESHOLD


def test_batches_are_layers(backend: Backend) -> None:
    factors = Recipe(6, 5, (2, 2), scales=(1.0, -2.0), batch=(2,), seed=2).build()
    for method in ("tsv", "ties") if backend.name != "jax" else ("ties",):
        found = backend.dense(cm.merge(backend.updates(factors), method))
        for i in range(2):
            layer = [(B[i], A[i], s) for B, A, s in factors]
            expected = cm.merge(NUMPY.updates(layer), method).to_dense()
            assert ratio(found[i], expected, size(layer), EPS["float64"], kappa=20) <= THRESHOLD


def test_linear_merges_against_dense(backend: Backend) -> None:
    W = dense(FACTORS)
    for space in SPACES if backend is NUMPY else ("core", "full"):
        found = backend.dense(cm.merge(backend.updates(FACTORS), "ta", space, weights=(3, -1)))
        assert ratio(found, 3 * W[0] - W[1], 4 * size(FACTORS), EPS["float64"]) <= THRESHOLD


def test_singular_values_that_are_multiplied_back_may_overflow(backend: Backend) -> None:
    """Unscaled KnOTS divides them out before it merges: two updates of norm 1.2e308 add up to more than there is."""
    B, A = np.zeros((3, 1)), np.zeros((1, 2))
    B[0, 0], A[0, 0] = 1e154, 1.2e154
    updates = backend.updates([(B, A, 1.0)] * 2)
    with pytest.raises(cm.NonFiniteError, match=parts("merged update: expected … range … float64")):
        cm.merge(updates, cm.Ties(aggregate="sum", density=1.0), cm.Knots(scaled=False))
    # their mean is one of them, and right
    found = backend.dense(cm.merge(updates, cm.Ties(density=1.0), cm.Knots(scaled=False)))
    np.testing.assert_allclose(found, B @ A, rtol=THRESHOLD * EPS["float64"])


SPACES = ["core", "full", "knots", cm.Knots(scaled=False), cm.Core("tucker")]


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("method", ["ta+iso", "tsv", "tsv+iso", "cart", "iso_cts", "ties+iso", "drm"])
@pytest.mark.parametrize(("dtype", "big"), [("float64", 1e200), ("float32", 1e30)])
def test_what_overflows_on_the_way_is_refused_and_no_decomposition_runs_for_ever(
    space: Any, method: str, dtype: str, big: float
) -> None:
    """LAPACK's SVD does not return from some matrices with an infinity. Weights and updates are in range, not both."""
    rng = np.random.default_rng(0)
    pairs = [
        ((big * rng.standard_normal((4, 2))).astype(dtype), rng.standard_normal((2, 3)).astype(dtype)) for _ in range(2)
    ]
    with pytest.raises(cm.NonFiniteError, match="range of"):
        cm.merge(pairs, method, space, weights=(big, 1.0), compute_dtype=dtype)
