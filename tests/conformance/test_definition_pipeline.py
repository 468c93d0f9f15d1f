"""Methods of the definition by name: which stages they are, and what is said of names that make no method."""

from typing import Any

import numpy as np
import pytest
from said import parts

from coremerge_ref.conformance.definition import merged
from coremerge_ref.conformance.definition.pipeline import merge_model_exactly, stages


@pytest.mark.parametrize(
    ("method", "names"),
    [
        ("ties", ["ties"]),
        (" DARE + ties+ISO", ["dare", "ties", "iso"]),
        ("iso-cts", ["iso_cts"]),
        ("trim+dare", ["trim", "dare", "ta"]),
        ("iso", ["ta", "iso"]),
        ("trim+iso", ["trim", "ta", "iso"]),
    ],
)
def test_a_method_is_its_stages_and_task_arithmetic_where_none_merges(method: str, names: list[str]) -> None:
    assert stages(method) == names


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("ta+ties", "'ta+ties' … transforms … merge … posts"),
        ("ties+trim", "'ties+trim' … transforms … merge … posts"),
        ("iso+ta", "'iso+ta' … transforms … merge … posts"),
        ("iso+trim", "'iso+trim' … transforms … merge … posts"),
        ("trim+tis", "'tis' … 'trim+tis'"),
        ("", "'' … ''"),
    ],
)
def test_what_makes_no_method_is_named(method: str, said: str) -> None:
    with pytest.raises(ValueError, match=parts(said)):
        stages(method)
    with pytest.raises(ValueError, match=parts(said)):
        merged([(np.eye(2), np.eye(2))], method)


@pytest.mark.parametrize(("space", "basis"), [("cores", "paper"), ("core", "tuker")])
def test_a_space_that_is_none_is_named(space: str, basis: str) -> None:
    with pytest.raises(ValueError, match=parts(f"{space!r} … {basis!r}")):
        merged([(np.eye(2), np.eye(2))], "ta", space=space, basis=basis)


# ---- unscaled KnOTS: singular values are divided out, and come back before a post --------------------------------
def diagonal(*values: float) -> tuple[np.ndarray, np.ndarray]:
    return np.diag(values), np.eye(len(values))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("ta", (8, 2)),
        ("ta+iso", (5, 5)),  # the mean of 8 and 2, not of 1 and 1
        ("ta+iso+iso", (5, 5)),
        ("tsv", (8, 2)),
        ("tsv+iso", (5, 5)),
    ],
)
def test_a_post_sees_singular_values_that_were_divided_out(
    method: str, expected: tuple[float, float], transposed: bool
) -> None:
    tasks = [diagonal(8, 0), diagonal(0, 2)]
    found = merged(tasks, method, {"tsv": {"k": 1}}, "knots", scaled=False, transposed=transposed)
    np.testing.assert_allclose(found, np.diag(expected), rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize(("left", "kept"), [(20, 1), (25, 2)])
def test_what_counts_as_zero_in_a_post_has_the_size_of_the_largest_singular_value(left: int, kept: int) -> None:
    """Of tasks that cancel but for `left` eps of 1024: 8 eps of each of two columns, times 1024 √2, is 22.6."""
    tasks = [diagonal(1024, 1024), diagonal(1024, -1024 * (1 - left * 2.0**-52))]
    found = merged(tasks, "ta+iso", space="knots", scaled=False)
    expected = [[2048, 0], [1024, 1024]][kept - 1]
    np.testing.assert_allclose(np.abs(found), np.diag(expected), rtol=1e-12, atol=1e-9)


# ---- stages that look at all layers at once ----------------------------------------------------------------------
def layer_of(*rows: Any) -> list[Any]:
    """A layer of one row a task, None for one that lacks it."""
    return [None if row is None else (np.ones((1, 1)), np.asarray([row], dtype=float)) for row in rows]


def over_the_model(layers: list[Any], method: str, **params: Any) -> list[list[float]]:
    params = {"scope": "model", **params}
    exact = merge_model_exactly(layers, method, {method.split("+")[0]: params}, "full")
    return [one.array[0].tolist() for one in exact]


@pytest.mark.parametrize("method", ["trim+ta", "ties"])
def test_a_task_has_no_entries_in_a_layer_that_it_lacks(method: str) -> None:
    """Of 5, 4, 3 and 1 of the second task two are kept, and of 7 and 6 of the first, which has two, one."""
    layers = [layer_of([7, 6], [5, 1]), layer_of(None, [4, 3])]
    found = over_the_model(layers, method, density=0.5, keep="exact")
    assert found == ([[12, 0], [4, 0]] if method == "trim+ta" else [[6, 0], [4, 0]])
    # the same tasks the other way around: the first layer lacks the first
    assert over_the_model(layers[::-1], method, density=0.5, keep="exact") == found[::-1]


@pytest.mark.parametrize("method", ["trim+ta", "ties"])
def test_a_layer_in_which_a_task_is_zero_has_its_entries_all_the_same(method: str) -> None:
    """Of four, two of which are zero, two are kept; of the two of a task that lacks the layer, one."""
    for second, expected in (([0, 0], [7, 6]), (None, [7, 0])):
        layers = [layer_of([7, 6], [0, 0]), layer_of(second, [0, 0])]
        assert over_the_model(layers, method, density=0.5, keep="exact")[0] == expected


def test_what_is_rounding_in_one_layer_is_none_in_another() -> None:
    """1e-20 is a ten thousandth of what is rounding of 1, and all that the second layer has."""
    layers = [layer_of([1.0, 0.5]), layer_of([1e-20, 4e-21])]
    assert over_the_model(layers, "trim+ta", density=1.0) == [[1.0, 0.5], [1e-20, 4e-21]]
    assert over_the_model(layers, "trim+ta", density=0.75, keep="exact") == [[1.0, 0.5], [1e-20, 0.0]]
    assert over_the_model(layers, "ties", density=1.0) == [[1.0, 0.5], [1e-20, 4e-21]]


def test_weights_are_those_of_the_tasks_that_have_the_layer() -> None:
    layers = [layer_of([1.0], [2.0], [4.0]), layer_of(None, [2.0], [4.0]), layer_of([1.0], None, None)]
    exact = merge_model_exactly(
        layers, "ties", {"ties": {"scope": "model", "density": 1.0}}, "full", weights=[1, 10, 100]
    )
    assert [one.array.item() for one in exact] == pytest.approx([421 / 3, 210.0, 1.0])


def test_a_vote_that_is_even_follows_the_majority_of_all_layers() -> None:
    layers = [layer_of([1.0, 1.0], [-1.0, -2.0]), layer_of([3.0, 4.0], None)]
    assert over_the_model(layers, "ties", density=1.0) == [[1.0, -2.0], [3.0, 4.0]]
    assert over_the_model([layers[0]], "ties", density=1.0) == [[-1.0, -2.0]]
