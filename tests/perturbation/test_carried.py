"""What is carried of errors from stage to stage."""

import numpy as np
import pytest

from coremerge_ref.perturbation import carried


def test_a_spectrum_is_noted_with_its_cut_and_its_task() -> None:
    class Stage:
        name = "tsv"

    level = carried.Level("compute", "float64", 2.0**-52, 1.0)
    zeros = np.zeros(2)
    errors = carried.Errors(level, (3, 3), zeros, np.zeros((2, 3, 3)), zeros, (0, 4), False, {}, level.eps)
    errors.spectrum(Stage, "singular values of M_t", [3, 1], kept=1, cut=0.5, task=1)
    errors.spectrum(Stage, "singular values", [2.0], kept=1)
    of_task, of_all = errors.spectra
    assert of_task.title == "tsv: task 4: singular values of M_t"
    assert of_all.title == "tsv: singular values"
    assert (of_task.kept, of_task.cut, of_task.task) == (1, 0.5, 4)
    assert (of_all.kept, of_all.cut, of_all.task) == (1, None, None)
    assert of_task.values.dtype == np.float64
    assert of_task.values.tolist() == [3.0, 1.0]


def test_a_size_in_doubt_is_a_doubt_of_the_stages_that_use_it() -> None:
    class Stage:
        name = "trim"
        remedy = "another density"

    level = carried.Level("compute", "float64", 2.0**-52, 1.0)
    errors = carried.Errors(level, (3, 3), np.zeros(1), np.zeros((1, 3, 3)), np.zeros(1), (0,), False, {}, level.eps)
    assert not errors.uses_size(Stage)
    assert not errors.doubts
    errors.size_doubt = "the live size is 3 or 4"
    assert errors.uses_size(Stage)
    ((sentence, remedy),) = errors.doubts
    assert "trim: the live size is 3 or 4" in sentence
    assert "full space" in remedy  # whose size is fixed, not what the stage would say
    assert errors.lost == 1


def test_zero_is_judged_from_both_sides_where_inputs_are_rounded_and_from_below_where_arithmetic_is() -> None:
    values = np.asarray([0.0, 1e-9, 0.5, 0.999, 1.0, 1.001, 2.0])
    found = {}
    for name in ("input", "compute"):
        level = carried.Level(name, "float64", 1e-12, 1.0)
        errors = carried.Errors(level, (3, 3), np.zeros(1), np.zeros((1, 3, 3)), np.zeros(1), (0,), False, {}, 1e-12)
        found[name] = errors.near(values, 1.0, 0.01).tolist()
    assert found["input"] == [False, False, False, True, True, True, False]
    # what is more than its error, and counts as zero nevertheless
    assert found["compute"] == [False, False, True, True, True, True, False]


def test_what_is_exactly_zero_at_no_level_is_in_no_doubt() -> None:
    level = carried.Level("input", "float64", 1e-12, 1.0)
    errors = carried.Errors(level, (3, 3), np.zeros(1), np.zeros((1, 3, 3)), np.zeros(1), (0,), False, {}, 1e-12)
    assert not errors.near(np.zeros(1), 0.0, 0.0).any()


def test_a_stage_that_has_no_remedy_gives_none() -> None:
    class Stage:
        name = "mine"

    level = carried.Level("input", "float64", 1e-12, 1.0)
    errors = carried.Errors(level, (3, 3), np.zeros(2), np.zeros((2, 3, 3)), np.zeros(2), (0, 4), False, {}, 1e-12)
    errors.doubt(Stage, "something is open", task=1)
    errors.doubt(Stage, "something else", remedy="wait")
    (first, none), (_, wait) = errors.doubts
    assert first.startswith("mine: task 4: something is open")
    assert "float64" in first
    assert (none, wait) == ("", "wait")


def test_matrices_of_equal_shape_are_decomposed_together_and_only_once() -> None:
    level, rng = carried.Level("input", "float64", 1e-12, 1.0), np.random.default_rng(0)
    layers = [
        carried.Errors(level, (3, 3), np.zeros(1), np.zeros((1, 3, 3)), np.zeros(1), (0,), False, {}, 1e-12)
        for _ in range(2)
    ]
    given = [(errors, rng.standard_normal(shape)) for errors in layers for shape in ((3, 2), (3, 2), (2, 4))]
    carried.decompose(given)
    for errors, X in given:
        kept = dict(errors.shared)
        P, S, Qh = errors.svd(X)
        np.testing.assert_allclose(P * S @ Qh, X, atol=1e-15)
        assert errors.shared == kept  # found there
    carried.decompose(given, vectors=False)
    for errors, X in given:
        np.testing.assert_allclose(errors.singular_values(X), np.linalg.svd(X, compute_uv=False))


def test_one_singular_value_is_computed_once_and_taken_from_all_where_these_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    level, zeros = carried.Level("compute", "float64", 2.0**-52, 1.0), np.zeros(2)
    errors = carried.Errors(level, (3, 3), zeros, np.zeros((2, 3, 3)), zeros, (0, 4), False, {}, level.eps)
    calls: list[int] = []
    monkeypatch.setattr(carried, "value_at", lambda X, k: calls.append(k) or 5.0)
    X = np.diag([3.0, 2.0, 1.0])
    assert [errors.value_at(X, k) for k in (2, 2, 3)] == [5.0] * 3
    assert calls == [2, 3]
    errors.singular_values(X)
    assert [errors.value_at(X, k) for k in (1, 2, 3)] == pytest.approx([3.0, 2.0, 1.0])
    assert calls == [2, 3]


@pytest.mark.parametrize(("eps", "stop"), [(2.0**-52, 49 * 2.0**-52), (2.0**-23, 5 * 2.0**-23)])
def test_singular_values_closer_than_an_svd_stops_are_equal(eps: float, stop: float) -> None:
    """10 and 100 halves of an eps at least and at most, and u^(−1/8) halves between: 2^(53/8) = 98.7 in float64."""
    assert carried.stopping(eps) == pytest.approx(stop, rel=0.02)
    level, S = carried.Level("input", "float16", 2.0**-10, 0.5), np.asarray([4.0, 4.0 - 8 * stop, 1.0, 1.0 - 2 * stop])
    errors = carried.Errors(level, (4, 4), np.zeros(1), np.zeros((1, 4, 4)), np.zeros(1), (0,), False, {}, eps)
    assert errors.tied(S).tolist() == [False, False, True]  # of the largest one
    assert errors.tied(S[:1]).tolist() == []


def test_arithmetic_takes_for_zero_twice_what_it_makes_of_it_but_no_entries_that_come_and_go() -> None:
    found, error, level = {}, np.asarray([0.1, 0.9, 3.0, 5.0]), 1.0
    for name, jumped, divided in (("compute", 0, 0), ("compute", 1, 0), ("compute", 0, 1), ("input", 1, 0)):
        at = carried.Level(name, "float64", 1e-12, 1.0)
        errors = carried.Errors(at, (3, 3), np.zeros(1), np.zeros((1, 3, 3)), np.zeros(1), (0,), False, {}, 1e-12)
        errors.jumped, errors.divided = bool(jumped), bool(divided)
        found[name, jumped, divided] = errors.beside(error, level).tolist()
    assert found["compute", 0, 0] == [0.1, 0.5, 0.5, 0.5]
    assert found["compute", 1, 0] == [0.1, 0.5, 0.5, 5.0]
    assert found["compute", 0, 1] == found["input", 1, 0] == error.tolist()
