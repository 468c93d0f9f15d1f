"""merge_adapters: whole models, in batches that nobody may notice."""

from typing import Any

import numpy as np
import pytest
from backends import BACKENDS, EPS, Backend
from said import parts

import coremerge_ref as cm
from coremerge_ref.core import arrays, batches
from coremerge_ref.core.models import _by_layer
from coremerge_ref.core.stages import STAGES
from coremerge_ref.testing import THRESHOLD, Recipe, ratio, size

NUMPY = BACKENDS["numpy"]
RECIPES = {
    "a.q": Recipe(6, 5, (2, 2), scales=(1.0, -2.0), seed=1),
    "b.up": Recipe(5, 6, (2, 2), seed=2),
    "a.k": Recipe(6, 5, (2, 2), scales=(0.5, 3.0), seed=3),
    "c.q": Recipe(6, 5, (1, 3), seed=4),
    "a.v": Recipe(6, 5, (2, 2), kind="duplicated", seed=5),
}


def model(backend: Backend, names: Any = RECIPES) -> dict[str, list[Any]]:
    return {name: backend.updates(RECIPES[name].build()) for name in names}


@pytest.mark.parametrize("method", [*STAGES, "dare+ties"])
@pytest.mark.parametrize("space", ["core", "full", "knots"])
def test_a_model_is_its_layers(method: str, space: str) -> None:
    """Grouping into batches changes nothing beyond rounding; the order given is the order returned."""
    layers = model(NUMPY)
    merged = cm.merge_adapters(layers, method, space, scale=0.5, weights=(1.0, 0.5))
    assert list(merged) == list(layers)
    for name, updates in layers.items():
        alone = cm.merge(updates, method, space, scale=0.5, weights=(1.0, 0.5), names=[name])
        scale = size(RECIPES[name].build())
        assert ratio(merged[name].to_dense(), alone.to_dense(), scale, EPS["float64"], kappa=50) <= THRESHOLD
        assert type(merged[name]) is type(alone)


def test_a_model_is_its_layers_on_every_library(backend: Backend) -> None:
    names = ("a.q", "a.k")
    there = cm.merge_adapters(model(NUMPY, names), "dare+ties")
    for name, update in cm.merge_adapters(model(backend, names), "dare+ties").items():
        scale = size(RECIPES[name].build())
        assert ratio(backend.dense(update), there[name].to_dense(), scale, EPS["float64"], kappa=20) <= THRESHOLD


def test_batches_are_as_large_as_suits_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU no larger than the cache, one layer at least; on a GPU one batch."""
    layers = {f"{i}": NUMPY.updates(RECIPES["a.q"].build()) for i in range(5)}

    def batches_of(limit: int) -> list[int]:
        monkeypatch.setattr(batches, "CACHE_BYTES", limit)
        sizes = []

        def merge(M: Any) -> Any:
            sizes.append(M.shape[1])
            return M.sum(axis=0)

        merged = cm.merge_adapters(layers, merge)
        assert list(merged) == list(layers)
        return sizes

    layer = 8 * (2 + 2) * (6 + 5)  # bytes of its factors in float64
    assert batches_of(2 * layer) == [2, 2, 1]
    assert batches_of(1) == [1] * 5
    monkeypatch.setattr(arrays, "loops_over_batches", lambda array: True)
    assert batches_of(1) == [5]


@pytest.mark.parametrize("method", ["tsv", "dare+ties", "dare"])
def test_the_order_of_layers_changes_nothing(method: str) -> None:
    forth, back = model(NUMPY), model(NUMPY, list(RECIPES)[::-1])
    one, other = cm.merge_adapters(forth, method), cm.merge_adapters(back, method)
    alone = {name: cm.merge_adapters({name: forth[name]}, method)[name] for name in forth}
    for name in RECIPES:
        scale = size(RECIPES[name].build())
        for found in (other, alone):
            assert ratio(found[name].to_dense(), one[name].to_dense(), scale, EPS["float64"], kappa=20) <= THRESHOLD


def test_dare_masks_are_those_of_the_layers_names() -> None:
    layers = {name: [(np.ones((4, 1)), np.ones((1, 3)))] * 2 for name in ("x", "y", "z")}
    merged = cm.merge_adapters(layers, cm.Dare(0.5, seed=9), space="full")
    for name in layers:
        kept = sum((arrays.uniform_numbers(9, name, t, (4, 3)) >= 0.5) for t in range(2))
        np.testing.assert_array_equal(merged[name].to_dense(), 2.0 * kept)


def test_missing_modules_are_no_tasks() -> None:
    """A task without the module is not counted in T, and keeps its weight and its mask's number."""
    (B, A), (C, D) = (f[:2] for f in RECIPES["a.q"].build())
    layers = {"x": [(B, A), None, (C, D)], "y": [None, (B, A), (C, D)], "z": [None, None, (C, D)]}
    mean = cm.merge_adapters(layers, "mean", weights=(1.0, 2.0, 5.0))
    for name, expected in (
        ("x", (B @ A + 5 * C @ D) / 6),
        ("y", (2 * B @ A + 5 * C @ D) / 7),
        ("z", C @ D),
    ):
        assert ratio(mean[name].to_dense(), expected, 5.0, EPS["float64"]) <= THRESHOLD
    assert [float(u.info["k"]) for u in cm.merge_adapters(layers, "tsv").values()] == [2, 2, 2]
    dare = cm.merge_adapters(layers, cm.Dare(0.5), space="full")
    kept = arrays.uniform_numbers(0, "z", 2, (6, 5)) >= 0.5
    assert ratio(dare["z"].to_dense(), 2 * kept * (C @ D), 5.0, EPS["float64"]) <= THRESHOLD


def test_no_layers() -> None:
    assert cm.merge_adapters({}, "tsv") == {}


def test_a_layer_without_any_task() -> None:
    with pytest.raises(cm.ParameterError, match=parts("layer 'x' … expected … update … got None … 2 tasks")):
        cm.merge_adapters({"x": [None, None]}, "tsv")


@pytest.mark.parametrize(("first", "second"), [(2, 3)])
def test_layers_must_agree_on_the_number_of_tasks(first: int, second: int) -> None:
    """A weight belongs to a task of the call, so a layer with fewer tasks has to say which ones it lacks."""
    pair = (np.ones((3, 1)), np.ones((1, 3)))
    with pytest.raises(cm.ParameterError, match=parts("layer 'y': expected 2 entries … layer 'x' … got 3")):
        cm.merge_adapters({"x": [pair] * first, "y": [pair] * second}, "ta", weights=(1.0,) * first)


def test_scales_of_every_kind_in_one_batch() -> None:
    """A number, a NumPy number and a 0-d array, on bfloat16 factors: none is rounded to bfloat16."""
    import ml_dtypes

    B, A = np.ones((3, 1), dtype=ml_dtypes.bfloat16), np.ones((1, 3), dtype=ml_dtypes.bfloat16)
    s = 1 + 2.0**-20
    scales = {"x": s, "y": np.float64(s), "z": np.asarray(s), "w": np.float32(s)}
    layers = {name: [cm.LowRankUpdate(B, A, scale)] for name, scale in scales.items()}
    merged = cm.merge_adapters(layers, "ta", out_dtype="float64")
    for name in layers:
        np.testing.assert_allclose(merged[name].to_dense(), np.full((3, 3), s), rtol=1e-12)


def test_the_scale_of_a_single_layer_may_be_an_array() -> None:
    update = cm.LowRankUpdate(np.ones((3, 1)), np.ones((1, 3)), np.asarray(0.5))
    found = cm.merge_adapters({"x": [update]}, "ta")["x"].to_dense()
    assert ratio(found, np.full((3, 3), 0.5), 1.5, EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize("wide", ["B", "A"])
def test_layers_of_different_dtypes_keep_their_own(wide: str) -> None:
    ones = {name: np.ones((3, 3), dtype=np.float32) for name in ("B", "A")}
    layers = {"narrow": [cm.LowRankUpdate(**ones)], "wide": [cm.LowRankUpdate(**ones | {wide: np.ones((3, 3))})]}
    merged = cm.merge_adapters(layers, "ta")
    assert [u.to_dense().dtype for u in merged.values()] == [np.float32, np.float64]


def test_a_scale_that_the_factors_dtype_does_not_hold() -> None:
    """float16 factors with a scale of 1e5, which float16 has no number for: the scale is not of that dtype."""
    B, A = np.full((3, 1), 2.0**-10, dtype=np.float16), np.ones((1, 3), dtype=np.float16)
    found = cm.merge([cm.LowRankUpdate(B, A, 1e5)], "ta", out_dtype="float64").to_dense()
    np.testing.assert_allclose(found, np.full((3, 3), 1e5 / 1024), rtol=1e-12)


def test_layers_of_a_batch_need_names() -> None:
    """DARE's masks are keyed by them; merge takes batches, with names=."""
    factors = Recipe(6, 5, (2, 2), batch=(3,), seed=1).build()
    with pytest.raises(cm.ShapeError, match=parts("layer 'x': expected … shape (m, n) … got (3, 6, 5)")):
        cm.merge_adapters({"x": NUMPY.updates(factors)}, "tsv")


def test_info_is_that_of_the_layer() -> None:
    layers = model(NUMPY, ("a.q", "a.v"))
    merged = cm.merge_adapters(layers, "tsv")
    assert [float(u.info["rows"]) for u in merged.values()] == [4.0, 2.0]
    assert [float(u.info["k"]) for u in merged.values()] == [2.0, 1.0]
    assert all(getattr(value, "ndim", 0) == 0 for u in merged.values() for value in u.info.values())


def test_info_of_dense_results_is_that_of_the_layer() -> None:
    merged = cm.merge_adapters(model(NUMPY, ("a.q", "a.v")), cm.Drm(), "full")
    assert [type(u) for u in merged.values()] == [cm.DenseUpdate] * 2
    assert [(u.info["rows"], u.info["cols"], float(u.info["rank"])) for u in merged.values()] == [(6, 5, 4), (6, 5, 2)]


def test_errors_name_the_layer() -> None:
    pair = (np.ones((3, 1)), np.ones((1, 3)))
    with pytest.raises(cm.ShapeError, match=parts("layer 'b', task 1: expected shape (3, 3) … task 0 … got (3, 4)")):
        cm.merge_adapters({"a": [pair, pair], "b": [pair, (np.ones((3, 1)), np.ones((1, 4)))]}, "ta")
    bad = (np.ones((3, 1)), np.full((1, 3), np.inf))
    with pytest.raises(cm.NonFiniteError, match="layer 'b', task 1, factor A: expected finite numbers"):
        cm.merge_adapters({"a": [pair, pair], "b": [pair, bad]}, "ta")


def test_each_group_has_a_result_and_each_layer_its_part() -> None:
    """No more and no fewer: a stage of somebody's own may return what it likes."""
    three = cm.DenseUpdate(np.arange(12.0).reshape(3, 2, 2))
    merged = _by_layer([["b", "c"], ["a"]], [three[:2], three[2:]], ["a", "b", "c"])
    assert [(name, update.to_dense()[0, 0]) for name, update in merged.items()] == [("a", 8), ("b", 0), ("c", 4)]
    for groups, results in (
        ([["b", "c"]], [three]),
        ([["b", "c", "d", "e"]], [three]),
        ([["b", "c", "d"], ["a"]], [three]),
        ([["b", "c", "d"]], [three, three]),
    ):
        with pytest.raises(ValueError, match="zip"):
            _by_layer(groups, results, ["b"])
