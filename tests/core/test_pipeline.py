"""Pipelines: how a method is written, in what order stages stand, and any function as a merge."""

from typing import Any

import pytest
from backends import BACKENDS, EPS, Backend
from said import parts

import coremerge_ref as cm
from coremerge_ref.core.pipeline import Pipeline, as_pipeline
from coremerge_ref.core.stages import Stage
from coremerge_ref.testing import THRESHOLD, Recipe, dense, ratio, size

FACTORS = Recipe(6, 5, (2, 2), scales=(1.0, -2.0), seed=2).build()
NUMPY = BACKENDS["numpy"]


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("ta", [cm.Ta()]),
        ("iso", [cm.Ta(), cm.Iso()]),
        ("dare", [cm.Dare(), cm.Ta()]),
        ("trim+dare+iso", [cm.Trim(), cm.Dare(), cm.Ta(), cm.Iso()]),
        ("dare+ties+iso", [cm.Dare(), cm.Ties(), cm.Iso()]),
        (" tsv + iso ", [cm.Tsv(), cm.Iso()]),
    ],
)
def test_strings(text: str, stages: list[Any]) -> None:
    pipeline = cm.Pipeline.parse(text)
    assert list(pipeline.stages) == stages
    assert pipeline == cm.Pipeline(stages) == as_pipeline(stages) == as_pipeline(text) == as_pipeline(pipeline)
    assert str(pipeline) == "+".join(stage.name for stage in stages)


def test_single_stages_and_mixtures() -> None:
    assert as_pipeline(cm.Tsv(3)) == cm.Pipeline(["tsv"]).__class__([cm.Tsv(3)])
    assert as_pipeline(["dare", cm.Ties(density=0.1), "iso"]).stages == (cm.Dare(), cm.Ties(density=0.1), cm.Iso())


def test_parameters_by_stage_name() -> None:
    given = {"ties": {"density": 0.5, "elect": "count"}, "dare": {"seed": 3}}
    pipeline = cm.Pipeline.parse("dare+ties+iso", given)
    assert pipeline.stages == (cm.Dare(seed=3), cm.Ties(0.5, elect="count"), cm.Iso())
    assert pipeline.parameters["ties"] == {
        "density": 0.5, "keep": "threshold", "scope": "tensor", "elect": "count", "zero_sign": "majority",
        "aggregate": "mean", "weights": None, "weight_order": "after", "divisor": "count",
    }  # fmt: skip
    assert pipeline.parameters["dare"] == {"drop": 0.1, "seed": 3, "masks": None, "rescale": "inverse"}
    assert given == {"ties": {"density": 0.5, "elect": "count"}, "dare": {"seed": 3}}


@pytest.mark.parametrize(
    ("method", "weakest", "whole"),
    [
        ("tsv+iso", "orthogonal", False),
        ("ties+iso", "signed-permutation", False),
        ("dare+tsv", "signed-permutation", False),
        (["trim", len], "unknown", False),
        (cm.Ties(scope="model"), "signed-permutation", True),
        ([cm.Trim(scope="model"), "tsv"], "signed-permutation", True),
    ],
)
def test_a_pipeline_is_as_equivariant_as_its_weakest_stage(method: Any, weakest: str, whole: bool) -> None:
    assert (as_pipeline(method).equivariance, as_pipeline(method).whole_model) == (weakest, whole)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("tsw", "method: expected stages among .*cart, .*, trim, tsv, got 'tsw'"),
        ("", "method: expected stages among .*, got ''"),
        ("ties+", "method: expected stages among .*, got ''"),
        ("ta+tsv", r"method 'ta\+tsv': expected transforms, then one merge, then posts, got merge, merge"),
        ("iso+ta", r"method 'iso\+ta': expected transforms, .*, got post, merge"),
        ("ties+dare", r"method 'ties\+dare': .*, got merge, transform"),
        ("iso+dare", r"method .*: expected transforms, then one merge, then posts"),
        (3, "method: expected stage names, stage objects or a function of a stack, got 3"),
        (cm.Tsv, "method: expected stage names, stage objects or a function .*Tsv"),
        (["ta", None], "method: expected stage names, stage objects or a function of a stack, got None"),
    ],
)
def test_methods_refused(method: Any, message: str) -> None:
    with pytest.raises(cm.ParameterError, match=message):
        as_pipeline(method)


@pytest.mark.parametrize(
    ("text", "parameters", "message"),
    [
        ("ties", {"ties": {"dense": 1}}, "ties: expected a parameter among density, keep, .*, got 'dense'"),
        ("ties", {"tsv": {"k": 1}}, "parameters for 'tsv': expected stages of the method 'ties', which has none"),
        ("ties", {"ties": {"density": 7}}, "ties.density: expected a number above 0 and at most 1, got 7"),
    ],
)
def test_parameters_refused(text: str, parameters: dict, message: str) -> None:
    with pytest.raises(cm.ParameterError, match=message):
        cm.Pipeline.parse(text, parameters)


def test_a_watch_sees_each_stage_with_what_it_was_given_and_made() -> None:
    """Transforms and the merge on the way to one matrix, then the posts; each is given what the one before made."""

    class Adding(Stage):
        def __init__(self, kind: str, term: int) -> None:
            self.kind, self.term = kind, term  # type: ignore[misc]

        def apply(self, item: int) -> int:
            return item + self.term

    stages = [Adding("transform", 1), Adding("transform", 10), Adding("merge", 100), Adding("post", 1000)]
    pipeline, seen = cm.Pipeline(stages), []

    def watch(*what: Any) -> None:
        seen.append(what)

    assert pipeline.merge([0, 5], watch) == pipeline.merge([0, 5]) == [111, 116]  # type: ignore[list-item,comparison-overlap]
    assert pipeline.finish([0], watch) == pipeline.finish([0]) == [1000]  # type: ignore[list-item,comparison-overlap]
    assert seen == [
        (stages[0], [0, 5], [1, 6]),
        (stages[1], [1, 6], [11, 16]),
        (stages[2], [11, 16], [111, 116]),
        (stages[3], [0], [1000]),
    ]


# any function of the stack


def test_a_function_of_the_stack(backend: Backend) -> None:
    """It sees w_t M_t in the space's coordinates: in full space the updates themselves."""
    seen = []

    def merge(M: Any) -> Any:
        seen.append(backend.host(M))
        return M[0, ...] - 3 * M[1, ...]

    found = cm.merge(backend.updates(FACTORS), merge, space="full", weights=(2.0, 0.5))
    expected = dense(FACTORS) * [[[2.0]], [[0.5]]]
    assert isinstance(found, cm.DenseUpdate)
    assert ratio(seen[0], expected, size(FACTORS), EPS["float64"]) <= THRESHOLD
    assert ratio(backend.dense(found), expected[0] - 3 * expected[1], size(FACTORS), EPS["float64"]) <= THRESHOLD


def test_a_function_after_transforms_and_before_posts() -> None:
    method = [cm.Dare(0.0), lambda M: M[0] + M[1], "iso"]
    found = cm.merge(NUMPY.updates(FACTORS), method).to_dense()
    expected = cm.merge(NUMPY.updates(FACTORS), "iso").to_dense()
    assert ratio(found, expected, size(FACTORS), EPS["float64"], kappa=20) <= THRESHOLD


@pytest.mark.parametrize("result", [lambda M: M, lambda M: M[0, :2], lambda M: 1.0, lambda M: None])
def test_a_function_that_returns_something_else(result: Any) -> None:
    with pytest.raises(
        cm.ParameterError,
        match=parts("merge function: expected … shape (4, 4) … stack … (2, 4, 4)"),
    ):
        cm.merge(NUMPY.updates(FACTORS), result)


def test_parameters_of_stages_that_are_not_there_are_all_named() -> None:
    with pytest.raises(cm.ParameterError) as caught:
        Pipeline.parse("ties", {"iso": {}, "ties": {"density": 0.5}, "tsv": {"k": 1}})
    assert str(caught.value) == "parameters for 'iso', 'tsv': expected stages of the method 'ties', which has none"


def test_coefficients_of_a_sum_are_the_weights_it_is_given() -> None:
    assert tuple(Pipeline(["ta"]).coefficients((2.0, -3.0))) == (2.0, -3.0)
