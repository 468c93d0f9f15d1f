"""Polar factors of all tasks' directions side by side, and how far errors move them, by hand."""

from typing import Any

import numpy as np
import pytest

from coremerge_ref.methods._orthogonalizing import orthogonalizing
from coremerge_ref.perturbation.carried import Errors, Level


class Stage:
    name = "a stage"
    remedy = "something else"


def known_to(name: str = "input", shape: tuple[int, int] = (9, 9), eps: float = 2.0**-52) -> Errors:
    """Errors of two tasks, of which only the level and the shape count."""
    level, none = Level(name, "float64", eps, 1.0), np.zeros(2)
    return Errors(level, shape, none, np.zeros((2, 3, 4)), none, (0, 7), True, {}, 2.0**-52)


# polar factors: singular values of [e_1, (4 e_1 + …)], which are √(1 ± 0.6)
SKEW = np.asarray([[1.0, 0.6], [0.0, 0.8], [0.0, 0.0]])
SMALL = 0.4**0.5  # and twice that
BOTH = [(np.asarray([0.03]), np.asarray([0.04])), (np.asarray([0.05]), np.asarray([0.04]))]  # 0.03 and 0.04 of them


def polar_of(
    X: Any, turned: Any = BOTH, levels: Any = (3.0, 2.0), known: float = 0.0, side: str = "left",
    span: Any = (9, np.inf), errors: Errors | None = None, leaving: float = 0.0,
) -> tuple[float, float, int]:  # fmt: skip
    X, errors = np.asarray(X, dtype=float), known_to() if errors is None else errors
    return orthogonalizing(Stage, errors, X, np.asarray(levels), turned, known, side, span, leaving=leaving)


def test_polar_factors_move_by_what_columns_turn_over_the_smallest_singular_value() -> None:
    """√(0.03² + 0.04²) / √0.4 = x, and 1 / (1 − 2 x) of it for what is of second order, 3 times that with values."""
    errors, x = known_to(), 0.05 / SMALL
    change = x / (1 - 2 * x)
    assert polar_of(SKEW, errors=errors) == (pytest.approx(3 * change), pytest.approx(change), 2)
    (spectrum,), (margin,) = errors.spectra, errors.margins
    assert spectrum.title == "a stage: singular values of [P_1 … P_T], left"
    np.testing.assert_allclose(spectrum.values, [2 * SMALL, SMALL])
    assert (spectrum.kept, spectrum.cut) == (2, pytest.approx(64 * 2.0**-52 * 2 * SMALL, rel=1e-6, abs=0))
    assert str(margin) == "a stage: σ_min of [P_1 … P_T], left (polar factor), is 0.63"
    assert margin.amplifies == pytest.approx(1 / SMALL)
    assert not errors.doubts


@pytest.mark.parametrize("scale", [4.0, 6.0, 10.0])
def test_beyond_a_quarter_they_move_by_the_logarithm_where_no_direction_is_cut(scale: float) -> None:
    """√(0.03² + 0.04²) / √0.4 times 4, 6 and 10; turns up to a quarter to first order, by 4 ln(4 / 3) more."""
    x, errors = 0.05 * scale / SMALL, known_to()
    turned = [(scale * a, scale * b) for a, b in BOTH]
    change = polar_of(SKEW, turned, errors=errors)[1]
    assert change == pytest.approx(-np.log(1 - x * 4 * np.log(4 / 3)))
    assert (errors.lost, errors.doubts) == (0, [])
    shared = np.column_stack([SKEW, SKEW[:, 0]])  # and of three columns in two dimensions nothing is known
    three = [turned[0], tuple(np.repeat(a, 2) for a in turned[1])]
    polar_of(shared, three, (3.0, 2.0, 2.0), span=(2, np.inf), errors=errors)
    assert (errors.lost, errors.doubts) == (1, [])


@pytest.mark.parametrize(
    ("shape", "side", "span", "first"),
    [
        ((2, 9), "left", (9, np.inf), 0.05 * 2 / (3 * SMALL)),  # a square one, of 2 / (σ_1 + σ_2)
        ((9, 2), "left", (9, np.inf), 0.05 / SMALL),
        ((9, 2), "right", (9, np.inf), 0.05 * 2 / (3 * SMALL)),
        ((9, 9), "left", (2, 0.0), 0.05 * 2 / (3 * SMALL)),  # times a basis of the span, which turns beside it
        ((9, 9), "left", (2, 0.02), np.hypot(0.05 * 2 / (3 * SMALL), 0.02)),
        ((9, 9), "left", (2, 9.0), 0.05 / SMALL),
        ((9, 9), "left", (3, 0.0), 0.05 / SMALL),
    ],
)
def test_polar_factors_of_all_columns_of_a_span_move_as_square_ones(
    shape: Any, side: str, span: Any, first: float
) -> None:
    """Second-order terms are those of the larger bound."""
    errors = known_to(shape=shape)
    most = first if shape[side == "right"] == 2 else 0.05 / SMALL
    assert polar_of(SKEW, side=side, span=span, errors=errors)[1] == pytest.approx(first / (1 - 2 * most))


def test_arithmetic_adds_what_its_svd_does() -> None:
    """d √2 of a matrix of two columns of norm 1; the span's turn stands beside it."""
    errors, d = known_to("compute", eps=2.0**-23), 6 * 2.0**-23
    turned, own, moved = [(x * 1e-4, y * 1e-4) for x, y in BOTH], d * 2**0.5, 5e-6 + d * 2**0.5
    assert polar_of(SKEW, turned, errors=errors)[1] == pytest.approx(moved / SMALL, rel=1e-4)
    found = polar_of(SKEW, turned, span=(2, 1e-6), errors=errors)[1]
    assert found == pytest.approx(np.hypot(moved * 2 / (3 * SMALL), 1e-6) + own / SMALL, rel=1e-4)
    # no turn of the span follows what leaves it, unless it is all of the frame
    found = polar_of(SKEW, turned, span=(2, 1e-6), errors=errors, leaving=5e-7)[1]
    assert found == pytest.approx(np.hypot(moved * 2 / (3 * SMALL), 1e-6) + (own + 5e-7) / SMALL, rel=1e-4)
    found = polar_of(SKEW[:2], turned, span=(2, 1e-6), errors=errors, leaving=5e-7)[1]
    assert found == pytest.approx(np.hypot(moved * 2 / (3 * SMALL), 1e-6) + own / SMALL, rel=1e-4)
    found = polar_of(SKEW, [(np.asarray([3e-6, 0.0]), np.full(2, 4e-6))], errors=errors)
    assert found == (pytest.approx(9e-6 + 3 * own), pytest.approx(3e-6 + own), 2)


@pytest.mark.parametrize(
    ("columns", "shared", "each", "moved"),
    [
        ([0.03, 0.04], [0.06, 0.06], (0.09**2 + 0.08**2) ** 0.5, 0.05),
        ([0.03, 0.04], [0.01, 0.02], 0.04, 0.02),  # 3 · 0.01 or 2 · 0.02
        ([np.inf, np.inf], [np.inf, np.inf], np.inf, np.inf),
        ([0.03, 0.04], [np.inf, np.inf], (0.09**2 + 0.08**2) ** 0.5, 0.05),
    ],
)
def test_one_block_is_its_own_polar_factor(columns: Any, shared: Any, each: float, moved: float) -> None:
    errors, none = known_to(), np.zeros(0)
    one = [(none, none), (np.asarray(columns), np.asarray(shared))]
    found = polar_of(np.eye(3, 2), one, errors=errors)
    assert found == (pytest.approx(each), pytest.approx(moved), 2)
    assert not errors.doubts


def test_no_columns_and_columns_of_zeros_have_no_polar_factor() -> None:
    errors = known_to()
    assert polar_of(np.zeros((3, 0)), [], (), errors=errors) == (0.0, 0.0, 0)
    assert polar_of(np.zeros((3, 2)), errors=errors) == (0.0, 0.0, 0)
    assert [s.cut for s in errors.spectra] == [0.0, 0.0]
    assert not errors.margins


@pytest.mark.parametrize(
    ("X", "shape", "found"),
    [
        ([[1, 1], [0, 0], [0, 0]], (9, 9), 2),
        ([[1, 1, 0], [0, 0, 1], [0, 0, 0]], (9, 9), 3),
        ([[1, 1, 0], [0, 0, 1], [0, 0, 0]], (2, 9), 0),  # there is no third in two rows
        ([[1, 0, 0], [0, 1, 0], [0, 0, 0]], (9, 9), 0),  # nor of a column of zeros
    ],
)
def test_directions_that_tasks_share_up_to_the_error_are_in_doubt(X: Any, shape: Any, found: int) -> None:
    errors = known_to(shape=shape)
    polar_of(X, levels=(1.0,) * len(X[0]), errors=errors)
    assert len(errors.doubts) == (found > 0)
    for sentence, _ in errors.doubts:
        assert sentence.startswith(f"a stage: singular value {found} of [P_1 … P_T], left, is ")
        assert "at the cut of the polar factor: tasks share a direction up to the error" in sentence
    errors = known_to("compute", shape=shape)
    assert polar_of(X, levels=(1.0,) * len(X[0]), errors=errors)[0] < 0.07  # arithmetic takes zeros for zero
    assert not errors.doubts


def near_pair(angle: float) -> np.ndarray:
    """Two columns whose singular values are √2 and angle / √2, about."""
    return np.asarray([[1.0, np.cos(angle)], [0.0, np.sin(angle)], [0.0, 0.0]])


@pytest.mark.parametrize(("known", "support"), [(1e-7, 1), (1e-9, 2), (0.0, 2), (1.2e-8, 1)])
def test_directions_closer_than_rounding_are_one_up_to_the_root_of_eps(known: float, support: int) -> None:
    """Of 2e-8: the second value is 1e-8 of the first."""
    assert polar_of(near_pair(2e-8), known=known)[2] == support
    assert polar_of(near_pair(2e-7), known=1e-3)[2] == 2  # 1.5e-8 is the most


def test_a_value_at_the_cut_itself_is_none() -> None:
    assert polar_of(np.diag([1.0, 2.0**-26]), known=1.0)[2] == 1  # the root of eps
    assert polar_of(np.diag([1.0, 2.0**-25]), known=1.0)[2] == 2


@pytest.mark.parametrize(("known", "doubts"), [(1e-3, "at the cut"), (1e-5, "is not determined")])
def test_what_rounding_turns_is_in_doubt_beyond_the_cut_itself(known: float, doubts: str) -> None:
    """A second value of 1e-4 that errors reach: as one of zero where rounding does, too."""
    errors = known_to("compute")
    polar_of(near_pair(1.4e-4), known=known, errors=errors)
    ((sentence, _),) = errors.doubts
    assert doubts in sentence
    if known == 1e-5:
        assert sentence.startswith(
            "a stage: the smallest singular value of [P_1 … P_T], left, is 9.9e-05, so the polar"
        )


def test_without_a_bound_on_turns_there_is_none_on_the_polar_factor() -> None:
    turned = [(np.full(1, np.inf), np.full(1, np.inf))] * 2
    errors = known_to()
    assert polar_of(SKEW, turned, errors=errors) == (np.inf, np.inf, 2)
    assert "singular value 1 of" in errors.doubts[0][0]
