"""Leading directions, values that may be zero, spans of all tasks: how far errors turn them, by hand."""

from typing import Any

import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.methods._subspaces import Leading, at_zero, leading, leaving_span, spanned
from coremerge_ref.perturbation.carried import Errors, Level

E1, E2, F1, F2 = np.eye(3)[0], np.eye(3)[1], np.eye(4)[0], np.eye(4)[1]
DELTA = np.asarray([3e-3, 4e-3])


def span_of(
    *M: np.ndarray,
    ranks: tuple[int, ...] = (1, 1),
    side: str = "left",
    columns: Any = None,
    closed: bool = False,
    entry: float = 1e-3,
) -> tuple[int, float]:
    level, stack = Level("input", "float64", 1e-7, 0.5), np.stack(M)
    errors = Errors(
        level, (3, 4), DELTA, np.full(stack.shape, entry), np.asarray(ranks), (0, 1), True, {}, 2.0**-52, closed=closed
    )
    errors.columns = {side: lambda: columns}
    return spanned(errors, stack, DELTA, np.asarray(ranks), side, columns)


@pytest.mark.parametrize("side", ["left", "right"])
def test_it_turns_by_the_norm_of_all_errors_over_the_smallest_singular_value_of_all(side: str) -> None:
    """Of [2 e_1 f_1ᵀ, e_2 f_2ᵀ] 2 and 1, and so of the transposed ones: √(3² + 4²) thousandths."""
    assert span_of(2 * np.outer(E1, F1), np.outer(E2, F2), side=side) == (2, pytest.approx(5e-3))
    assert span_of(2 * np.outer(E1, F1), 0.5 * np.outer(E2, F2), side=side) == (2, pytest.approx(1e-2))


def test_columns_tell_how_a_span_turns_where_they_are_asked() -> None:
    level, stack = Level("input", "float64", 1e-7, 0.5), np.stack([np.outer(E1, F1), np.outer(E2, F2)])
    errors = Errors(level, (3, 4), DELTA, np.full(stack.shape, 1e-3), np.ones(2), (0, 1), True, {}, 2.0**-52)
    errors.columns = {"left": lambda: (2, 1e-9)}
    assert spanned(errors, stack, DELTA, np.ones(2), "left") == (2, pytest.approx(5e-3))
    assert spanned(errors, stack, DELTA, np.ones(2), "left", True) == (2, 1e-9)


def test_rows_that_a_mask_leaves_zero_in_all_tasks_are_in_no_span() -> None:
    """Two rows of three are there, of two tasks of rank 2 each: all of those two, which no error leaves."""
    M = np.eye(3, 4) * np.asarray([[1.0], [1.0], [0.0]])
    assert span_of(M, 2 * M, ranks=(2, 2), entry=0.0) == (2, pytest.approx(5e-3 / 5**0.5))
    assert span_of(M, 2 * M, ranks=(2, 2), entry=0.0, closed=True) == (2, 0.0)
    assert span_of(M, M.T[:3, [0, 1, 2, 2]], ranks=(2, 0), entry=0.0, side="right") == (2, pytest.approx(5e-3 / 2**0.5))
    assert span_of(M, 2 * M, ranks=(2, 2))[0] == 3  # where no mask is known of


def test_columns_and_rows_span_different_spaces() -> None:
    """e_1 f_1ᵀ and e_1 f_2ᵀ: one column space, of which the dimension that ranks promise is not reached."""
    pair = np.outer(E1, F1), np.outer(E1, F2)
    assert span_of(*pair, side="left") == (2, np.inf)
    assert span_of(*pair, side="right") == (2, pytest.approx(5e-3))


def test_no_more_directions_are_spanned_than_there_are_rows_or_columns() -> None:
    M = np.eye(3, 4)
    assert span_of(M, M, ranks=(3, 3), side="left") == (3, pytest.approx(5e-3 / 2**0.5))  # values √2, three times
    assert span_of(M, M, ranks=(3, 3), side="right") == (4, np.inf)


def test_tasks_without_a_direction_span_none() -> None:
    assert span_of(np.zeros((3, 4)), np.zeros((3, 4)), ranks=(0, 0)) == (0, np.inf)
    assert span_of(np.eye(3, 4), np.eye(3, 4), ranks=(0, 0)) == (0, np.inf)  # nor what is rounding


def test_all_rows_of_a_frame_that_turns_along_are_not_moved() -> None:
    """Of 3 × 4 matrices all rows of 4, by two tasks of rank 2, and of one alone no more than 3."""
    top, bottom = np.eye(3, 4), np.eye(3, 4, 1)
    assert span_of(top, bottom, ranks=(2, 2), side="right", closed=True) == (4, 0.0)
    assert span_of(top, bottom, ranks=(2, 1), side="right", closed=True)[1] > 0
    assert span_of(top, bottom, ranks=(2, 1), side="left", closed=True) == (3, 0.0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_as_many_columns_as_directions_turn_the_space_as_they_do(side: str) -> None:
    pair = 2 * np.outer(E1, F1), 1e-6 * np.outer(E2, F2)  # by their norm alone nothing would be known
    assert span_of(*pair, side=side) == (2, pytest.approx(5e3))
    assert span_of(*pair, side=side, columns=(2, 1e-7)) == (2, 1e-7)
    assert span_of(*pair, side=side, columns=(3, 1e-7)) == (2, pytest.approx(5e3))  # they span no less than all three
    assert span_of(np.outer(E1, F1), np.outer(E2, F2), side=side, columns=(2, 1.0)) == (2, pytest.approx(5e-3))


def test_the_whole_of_a_frame_that_turns_along_is_not_moved() -> None:
    M = np.eye(3, 4)
    assert span_of(M, M, ranks=(3, 3), closed=True) == (3, 0.0)
    assert span_of(M, M, ranks=(3, 0), side="right", closed=True)[1] > 0  # three of four


class Stage:
    name = "a stage"
    remedy = "something else"


class OfRank(Stage):
    k = 1


def known_to(
    name: str = "input", rank: Any = (3, 3), shape: tuple[int, int] = (9, 9), eps: float = 2.0**-52, **given: Any
) -> Errors:
    entry, level = given.pop("entry", np.zeros((2, 3, 4))), Level(name, "float64", eps, 1.0)
    return Errors(level, shape, DELTA, entry, np.asarray(rank), (0, 7), True, {}, 2.0**-52, **given)


def beside(a: float, b: float) -> float:
    """How far a vector of the value a turns into one of b, per unit of error."""
    return float((a * a + b * b) ** 0.5 / (a * a - b * b))


def diagonal(*values: float) -> np.ndarray:
    M = np.zeros((3, 4))
    M[range(len(values)), range(len(values))] = values
    return M


def test_leading_triplets_and_what_is_noted_of_them() -> None:
    """Of 4, 2, 1 the first turns by √(4² + 2²) / (4² − 2²) per unit; rounding by the level over 4 − 2."""
    errors = known_to()
    found = leading(Stage, errors, diagonal(4, 2, 1), 1, 0.1, 0.01, 1)
    np.testing.assert_allclose(np.abs(found.P), [[1], [0], [0]])
    np.testing.assert_allclose(np.abs(found.Q), [[1], [0], [0], [0]])
    assert (found.S.tolist(), found.error) == ([4], pytest.approx(0.1 / 2))
    np.testing.assert_allclose(found.turns, [20**0.5 / 12])
    (spectrum,), (margin,) = errors.spectra, errors.margins
    assert (spectrum.title, spectrum.kept, spectrum.cut) == ("a stage: task 7: singular values of M_t", 1, 0.1)
    assert spectrum.values.tolist() == [4, 2, 1]
    assert (str(margin), margin.amplifies) == (
        "a stage: task 7: relative gap of M_t at k = 1 is 0.5", pytest.approx(20**0.5 / 3),
    )  # fmt: skip
    assert (errors.doubts, errors.lost) == ([], 0)


@pytest.mark.parametrize(
    ("values", "k", "rank", "shape", "turns", "error", "gap"),
    [
        ((4, 2, 0.05), 2, 3, (9, 9), [beside(4, 0.05), beside(2, 0.05)], 0.05, 0.4875),
        ((4, 2, 0.05), 3, 3, (9, 9), [1 / 4, 1 / 2], 0.05, 0.5),  # what is cut as zero is no next value
        ((4, 2, 0.05), 2, 2, (9, 9), [1 / 4, 1 / 2], 0.05, 0.5),  # nor what no exact matrix has
        ((4, 2, 1), 2, 3, (9, 9), [beside(4, 1), beside(2, 1)], 0.1, 0.25),
        ((4, 2, 1), 3, 3, (9, 9), [1 / 4, 1 / 2, 1], 0.1, 0.25),
        ((4, 2, 1), 3, 3, (3, 3), [0, 0, 0], 0.1, 0.25),  # all vectors that there are
        ((4, 2, 1), 3, 3, (3, 4), [1 / 4, 1 / 2, 1], 0.1, 0.25),
        ((4, 2, 1), 2, 1, (9, 9), [1 / 4, 1 / 2], 0.1, 0.5),
        ((4, 4, 1), 1, 3, (9, 9), [np.inf], 1.0, 0.0),  # either of two
    ],
)
def test_how_far_leading_vectors_turn(
    values: Any, k: int, rank: int, shape: Any, turns: Any, error: float, gap: float
) -> None:
    errors = known_to(shape=shape)
    found = leading(Stage, errors, diagonal(*values), k, 0.1, 1e-3, 0, "X", rank)
    np.testing.assert_allclose(found.turns, turns)
    assert found.error == pytest.approx(error)
    assert errors.margins[0].value == pytest.approx(gap)
    assert errors.margins[0].amplifies == pytest.approx(turns[-1] * 4)


@pytest.mark.parametrize(("k", "live"), [(0, 3), (2, 0)])
def test_where_no_triplet_is_taken_there_is_none(k: int, live: int) -> None:
    errors = known_to()
    found = leading(Stage, errors, diagonal(*[4, 2, 1][:live]), k, 0.1, 5.0 if live else 0.01, 0)
    assert (found.P.shape, found.S.shape, found.Q.shape, found.turns.shape) == ((3, 0), (0,), (4, 0), (0,))
    assert (found.error, errors.doubts, errors.margins) == (0.0, [], [])
    assert errors.spectra[0].kept == 0


@pytest.mark.parametrize(
    ("k", "delta", "lost", "doubts"),
    [
        (1, 0.3, 0, 0),  # 4 and 2 turn by 0.3 · 0.373, and both move: 0.22 in all
        (1, 0.35, 1, 0),
        (1, 1.3, 1, 0),
        (1, 1.5, 1, 1),
        (2, 0.4, 0, 0),  # 2 by 0.4 / 2, beside a zero that does not
        (2, 0.6, 1, 0),
        (2, 1.8, 1, 0),
    ],
)
def test_a_cut_within_the_error_is_in_doubt(k: int, delta: float, lost: int, doubts: int) -> None:
    errors = known_to(rank=(2, 2))
    leading(Stage, errors, diagonal(4, 2), k, 0.1, delta, 1)
    assert (errors.lost, len(errors.doubts)) == (lost, doubts)
    for sentence, remedy in errors.doubts:
        assert sentence == (
            "a stage: task 7: singular values 1 and 2 of M_t differ by 5.0e-01 of the largest, so which directions are "
            "kept is not determined, within the rounding of float64"
        )
        assert remedy == "something else"


def test_equal_values_are_in_doubt_however_small_the_error_and_another_rank_is_named() -> None:
    errors = known_to()
    leading(OfRank, errors, diagonal(4, 4, 1), 1, 0.1, 0.0, None, "X", 3)
    ((sentence, remedy),) = errors.doubts
    assert sentence.startswith("a stage: singular values 1 and 2 of X differ by 0.0e+00")
    assert remedy == "choose another rank, such as k = 2, with 75% between it and the next"
    errors = known_to()
    leading(OfRank, errors, diagonal(4, 4, 1), 1, 0.1, 0.0, 0, rank=2)  # the third is none of it
    assert "k = 1" in errors.doubts[0][1]


def test_values_beyond_the_rank_are_rounding() -> None:
    for given, rank, task in (((1, 3), None, 0), ((3, 1), None, 1), ((3, 3), 1, 1)):
        errors = known_to(rank=given)
        leading(Stage, errors, diagonal(4, 2, 1), 2, 0.1, 1e-3, task, rank=rank)
        ((sentence, _),) = errors.doubts
        assert sentence.startswith(
            f"a stage: task {(0, 7)[task]}: singular value 2 of M_t is rounding, and above the level that counts"
        )
    errors = known_to(rank=(2, 1))
    leading(Stage, errors, diagonal(4, 2, 1), 2, 0.1, 1e-3, 0)
    leading(Stage, errors, diagonal(4, 2, 1), 2, 0.1, 1e-3, None)  # of the first one, where it is of none
    assert not errors.doubts


def test_a_value_that_is_zero_by_structure_is_in_no_doubt() -> None:
    """One row, and one column, is all there is of diag(4, 0, 0), unless errors make another."""
    entry = np.zeros((2, 3, 4))
    entry[1, 1, 1] = 0.5
    for task, doubts in ((0, 0), (1, 1), (None, 1)):
        errors = known_to(rank=(2, 2), entry=entry)
        found = leading(Stage, errors, diagonal(4), 2, 0.1, 0.2, task, rank=2)
        assert (found.S.tolist(), len(errors.doubts)) == ([4], doubts)
    errors = known_to(rank=(2, 2))  # of the sum of all tasks entries tell nothing
    leading(Stage, errors, diagonal(4), 2, 0.1, 0.2, None, rank=2)
    assert len(errors.doubts) == 1
    errors = known_to(rank=(2, 2), entry=entry)
    leading(Stage, errors, diagonal(4), 1, 0.1, 0.2, 1, "X")
    assert errors.doubts[0][0].startswith(
        "a stage: task 7: singular value 2 of X is 0.0e+00 of the largest, at the level that counts as zero"
    )


@pytest.mark.parametrize(("floor", "doubts"), [(0.02, 1), (0.06, 0), (None, 0)])
def test_a_value_between_its_own_error_and_the_level_is_in_doubt(floor: float | None, doubts: int) -> None:
    errors, more = known_to(rank=(2, 2)), {} if floor is None else {"floor": floor}
    leading(Stage, errors, diagonal(4, 0.05), 2, 0.1, 0.01, 0, **more)
    assert len(errors.doubts) == doubts


@pytest.mark.parametrize(
    ("S", "delta", "rank", "possible", "doubt"),
    [
        ((4, 1), 0.8, 2, (2, 2), 0),  # 1 > 0.1 + 0.8
        ((4, 1), 0.91, 2, (2, 2), 2),
        ((4, 1), 0.95, 1, (2, 2), 0),
        ((4, 1, 0.1), 0.01, 3, (3, 3), 3),
        ((4, 1, 0.1), 0.01, 2, (3, 3), 0),
        ((4, 1, 0.1), 0.01, 3, (2, 3), 0),
        ((4, 1, 0.1), 0.01, 3, (3, 2), 0),
        ((4, 0.1, 0.1), 0.01, 3, (3, 2), 2),
        ((4, 0.1, 0.1), 0.01, 3, (2, 3), 2),
        ((0, 0, 0), 0.2, 3, (3, 3), 1),
        ((4, 1, 0.1), 0.01, 0, (3, 3), 0),
    ],
)
def test_values_at_the_level_of_zero(S: Any, delta: float, rank: int, possible: Any, doubt: int) -> None:
    errors, there = known_to(), np.zeros((4, 5), dtype=bool)
    there[: possible[0], : possible[1]] = True
    at_zero(Stage, errors, np.asarray(S, dtype=float), 0.1, delta, rank, there)
    if not doubt:
        assert not errors.doubts
        return
    value = S[doubt - 1] / (S[0] or 1)
    assert [sentence for sentence, _ in errors.doubts] == [
        f"a stage: singular value {doubt} of the merged matrix is {value:.1e} of the largest, at the level that counts "
        "as zero, within the rounding of float64"
    ]


@pytest.mark.parametrize(
    ("jumped", "delta", "value", "doubts"),
    [(False, 0.45, 0.5, 0), (True, 0.45, 0.5, 1), (False, 0.45, 0.12, 1), (True, 0.25, 0.3, 1), (False, 0.25, 0.3, 0)],
)
def test_arithmetic_makes_no_more_of_zero_than_counts_as_zero_unless_entries_come_and_go(
    jumped: bool, delta: float, value: float, doubts: int
) -> None:
    errors = known_to("compute", jumped=jumped)
    at_zero(Stage, errors, np.asarray([4, value]), 0.1, delta, 2, np.ones((2, 2), dtype=bool))
    assert len(errors.doubts) == doubts


def test_small_values_of_columns_that_are_known_are_determined_where_an_error_as_large_leaves_them_open() -> None:
    """diag(4, 1, 1e-4) with columns known to 1e-3 of themselves, and the matrix to 1e-2 alone: x = 1e-3 √3 on the left.

    The third value is in doubt, twice, and is not; where two are taken they turn by x and little more, ρ² = 1e-8.
    """
    S, eye = np.asarray([4.0, 1.0, 1e-4]), np.eye(3)
    factors, x = (eye * S, eye, 1e-3 * S, np.zeros(3)), 1e-3 * 3**0.5
    for k, columns, doubts in ((3, None, 2), (3, factors, 0), (2, None, 0), (2, factors, 0)):
        level = Level("input", "float64", 1e-7, 0.5)
        errors = Errors(
            level, (9, 9), np.zeros(1), np.ones((1, 3, 3)), np.asarray([3]), (0,), True, {}, 2.0**-52, lost=0
        )
        part = leading(cm.Tsv(), errors, np.diag(S), k, 1e-9, 1e-2, 0, factors=columns)
        assert len(errors.doubts) == doubts
        if columns is None:
            assert part.multiplied == (np.inf,) * 3
            continue
        span = -np.log1p(-x)
        assert part.multiplied == pytest.approx((span, 2**0.5 * span, x), rel=1e-6)


def test_values_that_multiply_into_each_other_are_as_open_as_before() -> None:
    """1 and 0.999: a gap of 1e-3, and 1e-3 √3 of each is more."""
    S, eye = np.asarray([1.0, 0.999, 1e-4]), np.eye(3)
    level = Level("input", "float64", 1e-7, 0.5)
    errors = Errors(level, (9, 9), np.zeros(1), np.ones((1, 3, 3)), np.asarray([3]), (0,), True, {}, 2.0**-52)
    part = leading(cm.Tsv(), errors, np.diag(S), 1, 1e-9, 1e-2, 0, factors=(eye * S, eye, 1e-3 * S, np.zeros(3)))
    assert part.multiplied[0] == np.inf
    ((sentence, _),) = errors.doubts
    assert sentence.startswith("tsv: task 0: singular values 1 and 2 of M_t differ by 1.0e-03 of the largest")


@pytest.mark.parametrize(("name", "expected"), [("compute", 0.05), ("input", 0.0)])
def test_arithmetic_takes_vectors_out_of_a_span_by_what_is_off_over_the_last_value(name: str, expected: float) -> None:
    """0.06 of values 4 and 2, 0.04 of 1, none where nothing is kept; rounded inputs stay in spans that turn."""
    level = Level(name, "float64", 1e-7, 0.5)
    errors = Errors(level, (3, 4), DELTA, np.zeros((2, 3, 4)), np.ones(2), (0, 1), True, {}, 2.0**-52)
    parts = [
        Leading(np.eye(3, len(S)), np.asarray(S), np.eye(4, len(S)), 0.0, np.zeros(len(S)), len(S))
        for S in ([4, 2.0], [1.0], [])
    ]
    assert leaving_span(errors, np.asarray([0.06, 0.04, 0.5]), parts) == pytest.approx(expected, abs=0)
