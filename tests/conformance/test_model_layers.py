"""The model's pipelines: layers apart and together, right and with each mistake, on entries where all can be said."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from coremerge_ref.conformance import cases
from coremerge_ref.conformance.claims import question
from coremerge_ref.conformance.configs import SPACES, TIES
from coremerge_ref.conformance.mistakes import MISTAKES, applies
from coremerge_ref.conformance.model import Model
from coremerge_ref.conformance.model.spaces import Coordinates

ONE = np.ones((1, 1))


def asked(layers: list[list[list[float]]], method: str, **params: Any) -> Any:
    """A model of layers, each the rows of its tasks."""
    tasks = list(zip(*layers, strict=True))
    updates = [(np.stack([ONE] * len(rows)), np.array(rows, dtype=float)[:, None], 1.0) for rows in tasks]
    return question(updates, method, "full", params)


@pytest.mark.parametrize(
    ("mistakes", "expected"),
    [
        ((), [[3, 1], [30, 10]]),
        (("first-layer-for-all",), [[3, 1], [3, 1]]),
        (("layers-reversed",), [[30, 10], [3, 1]]),
        (("sum-divided-by-count",), [[1.5, 0.5], [15, 5]]),
        (("mean-divided-by-count",), [[3, 1], [30, 10]]),  # of means alone
    ],
)
def test_layers_of_a_batch_are_merged_one_by_one(mistakes: tuple[str, ...], expected: list[list[float]]) -> None:
    case = asked([[[1, 1], [2, 0]], [[10, 10], [20, 0]]], "ta", ta={})
    found = Model(*mistakes)(case)
    assert found.shape == (2, 1, 2)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-14)


@pytest.mark.parametrize(("mistakes", "by"), [((), 4), (("mean-divided-by-count",), 2), (("sum-divided-by-count",), 4)])
def test_a_mean_is_divided_by_its_weights(mistakes: tuple[str, ...], by: float) -> None:
    case = asked([[[8, 0], [0, 4]]], "mean", mean={"weights": [1.0, 3.0]})
    np.testing.assert_allclose(Model(*mistakes)(case)[0, 0], np.array([8, 12]) / by, rtol=1e-14)


@pytest.mark.parametrize(
    ("scope", "mistakes", "expected"),
    [
        ("tensor", (), [[4, 0], [2, 0]]),
        ("model", (), [[4, -3], [0, 0]]),
        ("tensor", ("trim-over-the-model",), [[4, -3], [0, 0]]),
        ("model", ("trim-per-tensor",), [[4, 0], [2, 0]]),
        ("tensor", ("trim-per-tensor",), [[4, 0], [2, 0]]),
        ("model", ("density-of-the-full-size",), [[4, -3], [0, 0]]),  # of four entries, which are all
    ],
)
def test_layers_meet_in_stages_that_look_at_the_whole_model(
    scope: str, mistakes: tuple[str, ...], expected: list[list[float]]
) -> None:
    """Half of 4, −3 and 2, 1: one of each layer, or the two largest of all."""
    trim = {"density": 0.5, "keep": "exact", "scope": scope}
    found = Model(*mistakes)(asked([[[4, -3]], [[2, 1]]], "trim+ta", trim=trim, ta={}))
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-14)
    ties = Model(*mistakes)(asked([[[4, -3]], [[2, 1]]], "ties", ties={**TIES, **trim}))
    np.testing.assert_allclose(ties[:, 0], expected, rtol=1e-14)


@pytest.mark.parametrize(("scope", "sign"), [("tensor", -1), ("model", 1)])
def test_the_majority_is_that_of_the_whole_model(scope: str, sign: int) -> None:
    """The first layer has a sum of zero and a negative one, the second three positive ones."""
    layers = [[[1, -2, 0], [-1, -2, 0]], [[1, 1, 1], [1, 1, 1]]]
    found = Model()(asked(layers, "ties", ties={**TIES, "density": 1.0, "scope": scope}))
    np.testing.assert_allclose(found[:, 0], [[sign, -2, 0], [1, 1, 1]], rtol=1e-14)


def test_layers_of_unlike_shapes_meet_and_part_again() -> None:
    spaces = [
        Coordinates(np.array([[[4.0, -3.0]]]), np.array([0.0])),
        Coordinates(np.array([[[2.0], [5.0], [1.0]]]), np.array([1.5])),
    ]
    given = {"density": 0.4, "keep": "exact", "scope": "model"}
    Model().advance_jointly(spaces, "trim", given, None, (1, 5))
    assert [space.stack.tolist() for space in spaces] == [[[[4, 0]]], [[[0], [5], [0]]]]
    assert [space.levels.tolist() for space in spaces] == [[0], [1.5]]


@pytest.mark.parametrize(
    ("name", "given", "level"),
    [
        ("ta", {"weights": [2.0, -3.0]}, 0.6),  # the larger of 2 · 0.1 and 3 · 0.2
        ("mean", {"weights": [2.0, 3.0]}, 0.12),
        ("mean", {"weights": [2.0, -6.0]}, 0.3),
        ("ties", {**TIES, "weights": [4.0, 1.0]}, 0.4),
        ("cart", {"k": 1, "coefficient": -1.5}, 0.3),
        ("cart", {"k": 1, "coefficient": 0.5}, 0.2),
        ("tsv", {"k": 1}, 0.2),
        ("iso_cts", {"common_fraction": 0.5, "rounding": "round"}, 0.2),
        ("drm", {"direction": "horizontal", "drop": 0.0, "rank_cut": 0.0, "weights": [1.0, 1.0]}, 0.2),
    ],
)
def test_what_counts_as_zero_is_carried_along(name: str, given: dict[str, Any], level: float) -> None:
    space = Coordinates(np.stack([np.diag([5.0, 3.0]), np.diag([2.0, 7.0])]), np.array([0.1, 0.2]))
    Model().advance(space, name, given, None, (2, 4))
    assert space.stack.shape == (1, 2, 2)
    assert space.levels == pytest.approx([level])


def test_trimming_leaves_the_levels_and_clears_what_is_below() -> None:
    space = Coordinates(np.array([[[5.0, 0.1], [-0.2, 3.0]], [[5.0, 0.1], [0.2, 3.0]]]), np.array([0.1, 0.2]))
    Model().advance(space, "trim", {"density": 1.0, "keep": "exact"}, None, (2, 4))
    assert space.stack.tolist() == [[[5, 0], [-0.2, 3]], [[5, 0], [0, 3]]]
    assert space.levels.tolist() == [0.1, 0.2]


def test_divided_singular_values_come_back_before_isotropization_and_the_level_with_them() -> None:
    space = Coordinates(np.diag([1.0, 1.0])[None], np.array([0.01]), divided=np.array([8.0, 2.0]))
    Model().advance(space, "iso", {"support": "rank"}, None, (2, 4))
    np.testing.assert_allclose(space.stack, [np.diag([5.0, 5.0])], atol=1e-14)  # the mean of 8 and 2
    assert (space.levels.tolist(), space.divided) == ([0.08], None)
    space = Coordinates(np.diag([1.0, 0.001])[None], np.array([0.01]), divided=np.array([8.0, 2.0]))
    Model().advance(space, "iso", {"support": "rank"}, None, (2, 4))
    np.testing.assert_allclose(space.stack, [np.diag([8.0, 0])], atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "config", ["ta", "mean", "ties-mergekit", "dare-l1", "trim", "tsv", "cart", "tsv+iso", "iso_cts", "drm-weights"]
)
def test_whatever_mistake_is_made_the_arithmetic_stays_in_its_dtype(config: str, dtype: type) -> None:
    for space in SPACES if "dare" not in config else ["full"]:  # masks are tied to a space
        (case,) = (c for c in cases(f"{config}/{space}/generic") if c.config == config)
        case = replace(case, updates=[(B.astype(dtype), A.astype(dtype), s) for B, A, s in case.updates])
        for name, mistake in MISTAKES.items():
            if mistake.inside and (not mistake.stages or applies(case, mistake)):
                with np.errstate(all="ignore"):
                    found = Model(name, dtype=dtype)(case)
                assert found.dtype == dtype, name
                assert found.shape == case.shape or name == "left-frame-on-both-sides", name


def test_a_stage_that_it_does_not_know_is_said() -> None:
    with pytest.raises(NotImplementedError, match="karcher"):
        Model()(question([(ONE, ONE, 1.0)], "karcher", "full", {"karcher": {}}))


def test_one_answer_of_two_frames_that_are_one_has_the_signs_of_the_answer_looked_at() -> None:
    updates = [(np.eye(3, 2) * [3.0, 1.0], np.eye(2, 3)[::-1], 1.0)]
    case = question(updates, "ta", "core", {"ta": {}})
    plain = Model("left-frame-on-both-sides")(case)
    for toward in (plain, -plain):
        np.testing.assert_allclose(Model("left-frame-on-both-sides", toward=toward)(case), toward, atol=1e-14)
        np.testing.assert_allclose(Model(toward=toward)(case), updates[0][0] @ updates[0][1], atol=1e-14)
    assert Model()(replace(case, space="full")).tolist() == (updates[0][0] @ updates[0][1]).tolist()
