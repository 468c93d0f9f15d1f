"""What a merged update is: every method found again with its parameters, in every dtype that adapters are stored in."""

import ml_dtypes
import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.compare import dense_target, identify, low_rank_target
from coremerge_ref.compare.tables import SPACES, rows_for
from coremerge_ref.conformance.pages import named
from coremerge_ref.errors import NonFiniteError, ParameterError
from coremerge_ref.methods.dialects import preset

M, N, R = 20, 26, 3


def layers(scales=(2.0, 0.5, 1.25), seed=0, ranks=(R, R, R), names=("q", "k")):
    rng = np.random.default_rng(seed)
    return {
        name: [
            cm.LowRankUpdate(rng.normal(size=(M, r)), rng.normal(size=(r, N)), s)
            for s, r in zip(scales, ranks, strict=True)
        ]
        for name in names
    }


def targets(merged, dtype=None):
    """Merged updates as they come out of a file of that dtype."""

    def stored(update):
        if isinstance(update, cm.DenseUpdate):
            return dense_target(update.matrix.astype(dtype or update.matrix.dtype))
        B, A = (X.astype(dtype or X.dtype) for X in (update.B, update.A))
        return low_rank_target(cm.LowRankUpdate(B, A))

    return {name: stored(update) for name, update in merged.items()}


def only(*methods):
    return rows_for(methods)


@pytest.mark.parametrize(
    ("method", "space", "expected"),
    [
        (cm.Tsv(), "core", {"method": "tsv"}),
        (cm.Tsv(k=2), "knots", {"method": "tsv", "space": "any", "tsv.k": 2}),
        (cm.Iso(), "core", {"method": "iso", "space": "any"}),
        (cm.IsoCts(common_fraction=0.4), "core", {"iso_cts.common_fraction": 0.4, "space": "core"}),
        (cm.Ties(density=0.3), "core", {"ties.density": 0.3, "space": "core"}),
        (cm.Ties(density=0.3), "core, Tucker basis", {"ties.density": 0.3, "space": "core, Tucker basis"}),
        (cm.Ties(0.2, elect="count"), "knots", {"ties.density": 0.2, "ties.elect": "count", "space": "knots"}),
        (cm.Drm(drop=0.3), "core", {"drm.drop": 0.3}),
        (cm.Pipeline([cm.Trim(0.4), cm.Ta()]), "full", {"trim.density": 0.4, "space": "full"}),
        (cm.Pipeline([cm.Dare(0.3), cm.Ta()]), "core", {"dare.drop": 0.3, "space": "core"}),
    ],
)
def test_methods_are_found_with_space_parameters_and_scale(method, space, expected):
    inputs = layers()
    merged = cm.merge_adapters(inputs, method, SPACES[space], scale=0.7)
    name = str(cm.Pipeline([method] if not isinstance(method, cm.Pipeline) else method.stages))
    wanted = expected.get("method", name if name != "ta+iso" else "iso")
    found = identify(inputs, targets(merged), rows=only(wanted))
    assert found.reproduced
    got = {
        "method": found.best.candidate.method,
        "space": found.best.candidate.space,
        **found.best.settings(),
        **found.best.fitted(),
    }
    assert {**got, **expected, "scale": 0.7} == got
    assert found.best.distance < 1e-12


def test_weights_of_a_linear_merge_are_solved_for():
    inputs = layers()
    found = identify(inputs, targets(cm.merge_adapters(inputs, "ta", weights=[0.25, -1, 0])))
    assert found.best.fitted() == {"weight 1": 0.25, "weight 2": -1.0, "weight 3": 0.0}
    assert any("input 3 takes no part" in text for text in found.notes)
    mean = identify(inputs, targets(cm.merge_adapters(inputs, "mean")))
    assert mean.best.fitted()["scale"] == pytest.approx(1 / 3)
    assert any("the mean over the tasks" in text for text in mean.notes)


def test_cart_coefficient_is_solved_for():
    inputs = layers()
    merged = cm.merge_adapters(inputs, cm.Cart(k=2, coefficient=3.7), scale=0.3)
    best = identify(inputs, targets(merged), rows=only("cart")).best
    assert (best.settings()["cart.k"], best.fitted()) == (2, {"scale": 0.3, "cart.coefficient": 3.7})


def test_truncated_merges_are_recognized_as_such():
    inputs = layers()
    merged = cm.merge_adapters(inputs, preset("ties", "peft", {"ties": {"density": 0.5}}), "full")
    found = identify(inputs, targets({k: v.truncate(R) for k, v in merged.items()}), rows=only("ties"))
    assert found.reproduced
    assert found.best.truncated
    assert "peft" in found.best.candidate.dialects
    assert found.best.settings()["ties.density"] == 0.5


def test_dialects_are_told_apart():
    inputs = layers()
    for dialect in ("paper", "original", "peft"):
        method = preset("ties", dialect, {"ties": {"density": 0.2}})
        found = identify(inputs, targets(cm.merge_adapters(inputs, method, "full")), rows=only("ties"))
        assert dialect in found.best.candidate.dialects, dialect


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_narrow_outputs_are_matched_at_their_own_precision(dtype):
    inputs = layers()
    merged = cm.merge_adapters(inputs, cm.Ties(density=0.3), "core", scale=0.5)
    found = identify(inputs, targets(merged, dtype), rows=only("ties"))
    assert found.reproduced
    assert (found.best.candidate.space, found.best.settings()["ties.density"]) == ("core", 0.3)
    assert found.best.distance < 2 * found.eps
    assert found.best.distance > 1e-3 * found.eps


def test_known_mistakes_are_named():
    inputs = layers()
    ignored = {name: [cm.LowRankUpdate(u.B, u.A) for u in updates] for name, updates in inputs.items()}
    found = identify(inputs, targets(cm.merge_adapters(ignored, cm.Tsv(k=2))), rows=only("tsv"))
    assert (found.best.candidate.method, found.best.candidate.mistake) == ("tsv", named("scaling-ignored"))
    left_out = {name: updates[1:] for name, updates in inputs.items()}
    found = identify(inputs, targets(cm.merge_adapters(left_out, "iso")), rows=only("iso"))
    assert found.best.candidate.mistake == "input 1 left out"


@pytest.mark.parametrize("on_both", [True, False])
def test_factors_merged_apart_are_recognized(on_both):
    inputs = layers()
    merged = {}
    for name, updates in inputs.items():
        root = [np.sqrt(u.scale) if on_both else 1.0 for u in updates]
        B = sum(w * u.B for w, u in zip(root, updates, strict=True))
        A = sum(w * u.A for w, u in zip(root, updates, strict=True))
        merged[name] = cm.LowRankUpdate(B, A)
    best = identify(inputs, targets(merged)).best
    assert best.candidate.method == "ta of A and of B, each by itself"
    assert ("roots" in best.candidate.mistake) == on_both


def test_what_is_none_of_it_is_said_to_be_none_with_the_distance():
    inputs = layers(names=("q",))
    found = identify(inputs, targets(cm.merge_adapters(layers(seed=9, names=("q",)), "ta")), rows=only("ta", "tsv"))
    assert not found.reproduced
    assert 0.5 < found.best.distance < 1.1
    assert [m.distance for m in found.closest] == sorted(m.distance for m in found.closest)
    assert found.as_json()["verdict"] == "closest"


def test_tasks_without_a_module_and_ranks_that_differ():
    inputs = layers(ranks=(1, 2, 4))
    inputs["k"][1] = None
    merged = cm.merge_adapters(inputs, cm.Ties(density=0.4), "core")
    found = identify(inputs, targets(merged), rows=only("ties"))
    assert found.reproduced
    assert found.best.settings()["ties.density"] == 0.4


def test_refusals():
    inputs = layers()
    with pytest.raises(ParameterError, match="both"):
        identify(inputs, {})
    zero = {name: cm.LowRankUpdate(np.zeros((M, 1)), np.zeros((1, N))) for name in inputs}
    with pytest.raises(ParameterError, match="zero"):
        identify(inputs, targets(zero))
    with pytest.raises(ParameterError, match="no_such"):
        rows_for(["no_such"])
    with pytest.raises(ParameterError, match="expected a stage"):
        rows_for(["tsv"], {"ties": {"density": 0.3}})


# ---- never a false name ------------------------------------------------------------------------------------------
def test_factors_that_cancel_cannot_tell():
    """Factors whose product is 1e-3 of their size, in bfloat16: what storing moved is larger than the update."""
    inputs = layers(names=("q",))
    merged = cm.merge_adapters(inputs, "tsv")["q"]
    big = 1e3 * np.ones((M, 1))
    B, A = np.concatenate([merged.B, big, big], axis=1), np.concatenate([merged.A, np.ones((1, N)), -np.ones((1, N))])
    target = low_rank_target(cm.LowRankUpdate(B.astype(ml_dtypes.bfloat16), A.astype(ml_dtypes.bfloat16)))
    found = identify(inputs, {"q": target}, rows=only("ta", "tsv"))
    assert found.limit > 0.1
    assert (found.verdict, found.reproduced, found.matches) == ("cannot tell", False, ())
    assert "bfloat16" in found.doubt
    assert found.as_json()["verdict"] == "cannot tell"


@pytest.mark.parametrize(("tasks", "m", "n"), [(12, 3, 4), (4, 2, 2), (3, 1, 3), (2, 1, 1)])
@pytest.mark.parametrize("method", ["ties", "drm", "dare", "iso"])
def test_fewer_entries_than_parameters_cannot_tell(tasks, m, n, method):
    rng = np.random.default_rng(5)
    inputs = {"q": [cm.LowRankUpdate(rng.normal(size=(m, 1)), rng.normal(size=(1, n))) for _ in range(tasks)]}
    found = identify(inputs, targets(cm.merge_adapters(inputs, method)))
    assert found.verdict == "cannot tell", found.best.describe()
    assert "independent numbers" in found.doubt


def test_a_task_whose_layer_has_rank_zero_takes_no_part():
    """As adapters with pruned ranks have some; every misreading of scalings is tried too."""
    inputs = layers(names=("q",), ranks=(R, 0, R))
    found = identify(inputs, targets(cm.merge_adapters(inputs, "ta", weights=[0.5, 1.0, 2.0])))
    assert (found.best.candidate.method, found.best.fitted()["weight 3"]) == ("ta", 2.0)
    other = identify(inputs, targets(cm.merge_adapters(layers(seed=9, names=("q",)), "ta")), rows=only("ta", "tsv"))
    assert other.verdict == "closest"


def test_tasks_that_share_their_rows_have_no_more_numbers_than_their_core():
    """Large layers, of rank one and the same row: twelve tasks span the twelve numbers that any merge has."""
    rng = np.random.default_rng(5)
    A = rng.normal(size=(1, 30))
    inputs = {"q": [cm.LowRankUpdate(rng.normal(size=(12, 1)), A) for _ in range(12)]}
    found = identify(inputs, targets(cm.merge_adapters(inputs, "ties")))
    assert found.verdict == "cannot tell"


def test_a_task_too_small_to_be_seen_gives_no_numbers():
    """One update twice, and a third of 1e-32 beside it: its B with rows of nobody's is no merge, whatever divides the
    singular values out."""
    B, A = np.array([[-1.0, -1, 2, -2, -2, 1, -1, 1, 1]]).T, np.array([[1.0, -2.0]])
    third = np.array([[-1e-16, 0, -2, 0, -1, -2, 1e-16, 1, -1]]).T, np.array([[2.0**-52, -(2.0**-53)]])
    inputs = {"q": [cm.LowRankUpdate(B, A, 2.0), cm.LowRankUpdate(B, A, 2.0), cm.LowRankUpdate(*third, 0.5)]}
    target = low_rank_target(cm.LowRankUpdate(B, np.array([[0.38, -0.6]])))
    found = identify(inputs, {"q": target}, weights=[0.5, 1.6, 0.5])
    assert not found.reproduced, found.best.describe()
    seen = {"q": [*inputs["q"][:2], cm.LowRankUpdate(third[0], third[1] * 2.0**52)]}
    merged = identify(seen, targets(cm.merge_adapters(seen, "ta", weights=[0.5, 1.6, 0.5])), rows=only("ta", "tsv"))
    assert merged.reproduced


def test_a_layer_of_which_no_task_has_anything_is_told_apart_by_nothing():
    """Rank 0 in every task, beside a layer that has something."""
    inputs = layers(names=("q",)) | layers(names=("k",), ranks=(0, 0, 0))
    merged = cm.merge_adapters(inputs, "ta", weights=[0.5, 1.0, 2.0])
    found = identify(inputs, targets({"q": merged["q"], "k": cm.LowRankUpdate(np.ones((M, 1)), np.ones((1, N)))}))
    assert not found.reproduced


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_targets_that_are_not_finite_are_refused(value):
    B, A = np.ones((4, 2)), np.ones((2, 5))
    B[1, 1] = value
    with pytest.raises(NonFiniteError, match="finite"):
        low_rank_target(cm.LowRankUpdate(B, A))
    with pytest.raises(NonFiniteError, match="q_proj"):
        dense_target(B, layer="q_proj")


# each share with each dtype, and each of both in either space
@pytest.mark.parametrize(
    ("drop", "dtype", "space"),
    [
        (drop, dtype, ("full", "core")[(i + k) % 2])
        for i, drop in enumerate((0.1, 0.5, 0.73))
        for k, dtype in enumerate((np.float64, np.float32, ml_dtypes.bfloat16))
    ],
)
def test_dare_without_its_seed_is_told_by_its_support(space, drop, dtype):
    inputs = layers(ranks=(8, 8, 8))
    merged = cm.merge_adapters(inputs, cm.Pipeline([cm.Dare(drop, seed=91), cm.Ta()]), space, scale=0.7)
    found = identify(inputs, targets(merged, dtype), rows=only("dare+ta"))
    assert found.reproduced
    assert (found.best.candidate.method, found.best.candidate.space) == ("dare+ta", space)
    assert found.best.settings()["dare.drop"] == pytest.approx(drop, abs=0.07)
    assert found.best.fitted()["scale / (1 − drop)"] == pytest.approx(0.7 / (1 - drop), rel=2e-2)


def coins(shape, share=0.5):
    return np.random.default_rng(3).random(shape) < share


@pytest.mark.parametrize("space", ["full", "core"])
@pytest.mark.parametrize(
    "method",
    [
        cm.Pipeline([cm.Trim(0.37), cm.Ta()]),
        cm.Ties(0.63, aggregate="sum"),
        cm.Ties(1.0, aggregate="sum"),
        cm.Ties(0.37),
        cm.Tsv(k=5),
        pytest.param(lambda M: M.max(axis=0), id="max"),
        pytest.param(lambda M: np.median(M, axis=0), id="median"),
        pytest.param(lambda M: np.where(M[0] > 0, M[0], 0.0), id="positive part"),
        pytest.param(lambda M: np.where(coins(M[0].shape), M[0], M[1]), id="one of two, at random"),
        pytest.param(lambda M: np.where(coins(M[0].shape), M.sum(axis=0), 0.0), id="one mask for all"),
        pytest.param(lambda M: np.where(coins(M.shape[:-1])[..., None], M, 0.0).sum(axis=0), id="rows at random"),
        pytest.param(lambda M: np.where(coins(M[..., :1, :].shape), M, 0.0).sum(axis=0), id="columns at random"),
        pytest.param(
            lambda M: np.where(coins(M.shape, np.asarray([0.2, 0.5, 0.8])[:, None, None, None]), M, 0.0).sum(axis=0),
            id="three shares",
        ),
    ],
    ids=str,
)
def test_what_looks_at_sizes_or_signs_is_not_called_dare(method, space):
    inputs = layers(ranks=(8, 8, 8))
    found = identify(inputs, targets(cm.merge_adapters(inputs, method, space)), rows=only("dare+ta"))
    assert not found.reproduced, found.best.describe()
