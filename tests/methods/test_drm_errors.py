"""What errors do to renormalized rows in the singular vectors of [M_1 … M_T], by hand: matrices whose rows are
orthogonal, so that those vectors are axes, and rows whose lengths are whole numbers."""

from typing import Any

import numpy as np
import pytest
from examples import stack_of

import coremerge_ref as cm
from coremerge_ref.perturbation.carried import Errors, Level, stopping

# rows (4, 3, 2, 1) and (3, −4, 1, −2) / 2 of [M_1 M_2] are orthogonal, of norms √30 and √7.5
PAIR = np.asarray([[[4.0, 3.0], [1.5, -2.0]], [[2.0, 1.0], [0.5, -1.0]]])
MERGED = np.asarray([[3.0, 2.0], [1.0, -1.5]])  # all agree
CUT = "at the rank cut"


def errors_of(entry: Any, delta: Any = None, formed: float = 0.0, **rest: Any) -> Errors:
    entry = np.asarray(entry, dtype=float)
    T, p, q = entry.shape
    level = Level("compute" if formed else "input", "float64", formed or 1e-9, 1.0)
    delta = np.sqrt(np.sum(entry**2, axis=(1, 2))) if delta is None else np.asarray(delta, dtype=float)
    rank, unit = rest.pop("rank", np.full(T, min(p, q))), rest.pop("unit", 2.0**-52)
    return Errors(level, (p, q), delta, entry, rank, tuple(range(T)), False, {}, unit, **rest)


def carried(M: Any, errors: Errors, stage: Any = None, weights: Any = (1.0, 1.0), level: float = 0.0) -> Errors:
    stack = stack_of(M, np.full(len(M), level), weights)
    stage = stage or cm.Drm(drop=0.0)
    return stage.carry(errors, stack, stage.apply(stack))


def of_norms(M: Any, delta: list[float], *args: Any, **rest: Any) -> Errors:
    """Errors of which nothing but the norms is known."""
    entry = np.broadcast_to(np.asarray(delta)[:, None, None], np.shape(M)).copy()
    return carried(M, errors_of(entry, delta, **rest.pop("errors", {})), *args, **rest)


def doubted(errors: Errors, what: str) -> list[str]:
    return [doubt for doubt, _ in errors.doubts if what in doubt]


def margin(errors: Errors, what: str) -> float:
    (found,) = [m.value for m in errors.margins if m.what == what]
    return found


def mirrored(direction: str, X: Any) -> np.ndarray:
    return np.asarray(X) if direction == "horizontal" else np.asarray(X).mT


@pytest.mark.parametrize("direction", ["horizontal", "vertical"])
def test_entries_of_one_row_move_by_the_mean_of_the_errors_that_agree(direction: str) -> None:
    """Both tasks elect the first entry, (0.1 + 2 · 0.3) / 2; 2 − 4 elects the second task alone, 2 · 0.4."""
    M, entry = (mirrored(direction, X) for X in ([[[6.0, 2.0]], [[3.0, -4.0]]], [[[0.1, 0.2]], [[0.3, 0.4]]]))
    errors = errors_of(entry)
    e = carried(M, errors, cm.Drm(direction, 0.0), (1.0, 2.0))
    assert float(e.delta) == pytest.approx(np.hypot(0.35, 0.8))
    np.testing.assert_allclose(e.entry, np.full(M.shape[1:], np.hypot(0.35, 0.8)))
    assert margin(e, "smallest relative majority of a decided entry") == pytest.approx(2 / 6)
    assert margin(e, "relative gap at the rank cut") == pytest.approx(0.99)
    assert (int(e.rank), e.gauge_free, e.undecided, e.doubts) == (1, True, None, [])
    (found,) = e.spectra
    assert found.title == "drm: singular values of [M_1 … M_T]"
    assert (found.kept, found.values.tolist()) == (1, [pytest.approx(65**0.5)])
    assert found.cut == pytest.approx(0.01 * 65**0.5)


def test_no_entry_moves_by_more_than_the_norm_of_all_errors() -> None:
    """0.15 of 0.1 and 0.2."""
    e = carried([[[6.0, 2.0]]], errors_of([[[0.1, 0.2]]], [0.15]), weights=(1.0,))
    assert float(e.delta) == pytest.approx(np.hypot(0.1, 0.15))


def test_an_open_election_moves_its_entry_from_one_outcome_to_the_other() -> None:
    """2 − 2: the weighted outcomes are 2 + 0.2 and −(4 + 0.8)."""
    e = carried([[[6.0, 2.0]], [[3.0, -2.0]]], errors_of([[[0.1, 0.2]], [[0.3, 0.4]]]), weights=(1.0, 2.0))
    assert float(e.delta) == pytest.approx(0.35 + 7.0)
    assert len(doubted(e, "1 of 2 entries have a sign or voters")) == len(e.doubts) == 1
    assert e.undecided is None


@pytest.mark.parametrize("direction", ["horizontal", "vertical"])
@pytest.mark.parametrize("zero_rows", [0, 1, 3])
def test_an_entry_turns_singular_vectors_by_what_it_makes_of_the_gram_matrix(direction: str, zero_rows: int) -> None:
    """e at M_1's row 2, column 1: 4 e of M Mᵀ, between 30 and 7.5. Rows of zeros let vectors leave by e / σ_i."""
    e, M = 1e-6, np.concatenate([PAIR, np.zeros((2, zero_rows, 2))], axis=1)
    entry = np.zeros(M.shape)
    entry[0, 1, 0] = e
    errors = errors_of(mirrored(direction, entry))
    found = carried(mirrored(direction, M), errors, cm.Drm(direction, 0.0), (1.0, -3.0))
    turn, W = 4 * e / 22.5, np.asarray([1.0, -3.0])
    E = entry[:, :2] + turn * np.abs(PAIR[:, ::-1])
    R = np.tensordot(W, PAIR, axes=1) / 2
    smooth = np.tensordot(np.abs(W), E, axes=1) / 2
    leaving = e * np.hypot(np.linalg.norm(R[0]) / 30**0.5, np.linalg.norm(R[1]) / 7.5**0.5) if zero_rows else 0.0
    expected = np.linalg.norm(smooth) + turn * np.linalg.norm(R) + leaving
    assert float(found.delta) == pytest.approx(expected, rel=1e-6)
    assert (int(found.rank), found.doubts) == (2, [])


def test_errors_of_arithmetic_turn_them_by_their_norm_and_products_have_their_own() -> None:
    """C = √37.5 / 22.5 between √30 and √7.5. Of entries, the norms of columns of errors, or what each row has of them,
    bound those of Uᵀ E, and rounding is that of columns, or of all there is."""
    eps, e = 1e-7, 1e-4
    entry = np.asarray([[[e, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    found = carried(PAIR, errors_of(entry, [2 * e, 0.0], formed=eps))
    sizes, columns = np.linalg.norm(PAIR, axis=(1, 2)), np.linalg.norm(PAIR, axis=1)
    turn = (
        np.linalg.norm([2 * e + sizes[0] * (eps + stopping(eps)), sizes[1] * (eps + stopping(eps))]) * 37.5**0.5 / 22.5
    )
    own = np.stack([eps * columns] * 2, axis=1)
    own[0, :, 0] = e + eps * columns[0, 0], eps * np.linalg.norm(sizes)
    smooth = np.sum(own + turn * np.abs(PAIR[:, ::-1]), axis=0) / 2
    assert float(found.delta) == pytest.approx(np.linalg.norm(smooth) + turn * np.linalg.norm(MERGED), rel=1e-6)


@pytest.mark.parametrize(("e", "undetermined"), [(0.0995, False), (0.1002, True)])
def test_vectors_that_may_turn_into_each_other_leave_everything_open(e: float, undetermined: bool) -> None:
    """Of values 1 and 0.9, one in each task, by √2 e √1.81 / 0.19, 1 at e = 0.0999; the result may then be any."""
    M = [[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.9]]]
    found = of_norms(M, [e, e], weights=(1.0, -2.0))
    doubt = "drm: the singular vectors of [M_1 … M_T] whose coordinates count are not determined, "
    assert len(doubted(found, doubt)) == undetermined
    if undetermined:
        assert float(found.delta) == pytest.approx(np.hypot(1.0, 1.8) + 1.0 + 1.8 + 2**0.5 * e)


def test_equal_values_have_no_vectors_of_their_own() -> None:
    found = of_norms([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]], [1e-12, 0.0])
    assert doubted(found, "coordinates count are not determined")
    assert float(found.delta) == pytest.approx(2**0.5 + 2.0)
    separate = of_norms([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.99]]], [1e-12, 0.0])
    assert not doubted(separate, "coordinates count are not determined")
    cut = of_norms([[[9.0, 0.0, 0.0], [0.0, 0.01, 0.0], [0.0, 0.0, 0.01]]], [1e-12], weights=(1.0,))
    assert not doubted(cut, "coordinates count are not determined")


@pytest.mark.parametrize(("second", "kept", "gap"), [(2.2, 2, 0.05), (1.8, 1, 0.5)])
@pytest.mark.parametrize(("e", "doubt"), [(0.099, False), (0.101, True)])
def test_a_value_may_cross_a_relative_cut_by_twice_the_error(
    second: float, kept: int, gap: float, e: float, doubt: bool
) -> None:
    """Half of the largest, 4."""
    M = [[[4.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, second]]]
    stage = cm.Drm(drop=0.0, rank_cut=0.5)
    found = of_norms(M, [e, 0.0], stage)
    text = f"singular value 2 of [M_1 … M_T] is {second / 4:.1e} of the largest, at the rank cut"
    assert len(doubted(found, text)) == doubt
    assert margin(found, "relative gap at the rank cut") == pytest.approx(gap)
    assert (found.spectra[0].kept, found.spectra[0].cut) == (kept, pytest.approx(2.0))
    if doubt:
        size = np.hypot(4.0, second if kept == 2 else 0.0)
        assert float(found.delta) == pytest.approx(size + 4.0 + second + e)
    of_rank = of_norms(M, [e, 0.0], stage, errors={"rank": np.asarray([1, 0])})
    assert not doubted(of_rank, CUT)  # it cannot have a second one


@pytest.mark.parametrize(
    ("formed", "jumped", "second", "e", "doubt"),
    [
        (0.0, False, 0.6, 0.09, False),
        (0.0, False, 0.6, 0.11, True),
        (0.0, False, 0.4, 0.09, False),
        (0.0, False, 0.4, 0.11, True),
        (1e-9, False, 0.8, 0.26, False),  # what arithmetic makes of zero is half of the level
        (1e-9, False, 0.7, 0.26, True),
        (1e-9, False, 2.4, 2.1, False),
        (1e-9, True, 2.4, 2.1, True),
    ],
)
def test_a_value_near_the_level_may_count_as_zero(
    formed: float, jumped: bool, second: float, e: float, doubt: bool
) -> None:
    M = [[[40.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, second]]]
    errors = {"formed": formed, "jumped": jumped}
    found = of_norms(M, [e, 0.0], cm.Drm(drop=0.0, rank_cut=0.0), level=0.5, errors=errors)
    assert len(doubted(found, CUT)) == doubt
    assert found.spectra[0].cut == 0.5


def test_where_no_value_is_kept_all_tasks_may_be_in_the_result() -> None:
    """All values are within the level: 1 (5 + 0.1) + 2 (4 + 0.2) of two matrices 1 × 3, or of errors that entered."""
    M = [[[3.0, 4.0, 0.0]], [[0.0, 0.0, 4.0]]]
    options = {"weights": (1.0, -2.0), "level": 10.0}
    found = of_norms(M, [0.1, 0.2], **options)
    assert (float(found.delta), int(found.rank)) == (pytest.approx(13.5), 1)
    np.testing.assert_allclose(found.entry, np.full((1, 3), 13.5))
    entering = {"entering": np.asarray([0.01, 0.02])}
    assert float(of_norms(M, [0.1, 0.2], **options, errors=entering).delta) == pytest.approx(13.05)


def test_zero_tasks_have_no_largest_value() -> None:
    found = of_norms(np.zeros((2, 1, 3)), [0.0, 0.0])
    assert (float(found.delta), found.doubts, found.spectra[0].kept) == (0.0, [], 0)


def test_a_size_in_doubt_leaves_the_result_open() -> None:
    found = of_norms([[[3.0, 4.0]], [[0.0, 1.0]]], [1e-3, 0.0], errors={"size_doubt": "how many rows there are"})
    assert doubted(found, "how many rows there are")
    # (3, 2.5), and 5 + 1 of the tasks
    assert float(found.delta) == pytest.approx(np.hypot(3.0, 2.5) + 6.0 + 1e-3)


# _turn


def turned(entry: Any, S: list[float], error: float, formed: float = 0.0) -> np.ndarray:
    axes = np.eye(len(S))
    return cm.Drm()._turn(errors_of([entry], formed=formed), axes, np.asarray(S), axes, error).inside


def test_each_entry_of_an_error_turns_the_two_vectors_that_it_joins() -> None:
    """(σ_i E_ji + σ_j E_ij) / (σ_i² − σ_j²), and twice two such turns, twice over, by way of a third vector."""
    E = np.zeros((3, 3))
    E[1, 0], E[0, 1], E[2, 1] = 0.03, 0.06, 0.06
    one, other = (4 * 0.03 + 2 * 0.06) / 12, 2 * 0.06 / 3
    direct = [[0, one, 0], [one, 0, other], [0, other, 0]]
    second = [[0, 0, 4 * one * other], [0, 0, 0], [4 * one * other, 0, 0]]
    np.testing.assert_allclose(turned(E, [4.0, 2.0, 1.0], 10.0), np.add(direct, second))
    # arithmetic's are known by their norm: √(σ_i² + σ_j²) / (σ_i² − σ_j²) of it
    whole = np.asarray([[0, 20**0.5 / 12, 17**0.5 / 15], [0, 0, 5**0.5 / 3], [0, 0, 0]])
    np.testing.assert_allclose(turned(E, [4.0, 2.0, 1.0], 0.1, 1e-9), 0.1 * (whole + whole.T))
    # and whichever is less
    expected = np.minimum(0.1 * (whole + whole.T), np.add(direct, second))
    np.testing.assert_allclose(turned(E, [4.0, 2.0, 1.0], 0.1), expected)


@pytest.mark.parametrize(("entry", "expected"), [(1.0, 0.25), (1.01, 0.5)])
def test_from_a_quarter_on_there_is_no_first_order(entry: float, expected: float) -> None:
    """Of values 4 and 0, where the norm, 2, would let them turn by a half."""
    assert turned([[0.0, 0.0], [entry, 0.0]], [4.0, 0.0], 2.0)[0, 1] == expected


def test_equal_values_turn_no_more_than_they_meet() -> None:
    assert turned(np.diag([1e-3, 1e-3]), [1.0, 1.0], 1e-3).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert turned(np.full((2, 2), 1e-3), [1.0, 1.0], 1e-3)[0, 1] == 2.0
