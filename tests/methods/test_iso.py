"""What errors of a merged matrix are after isotropization, of diagonal ones by hand."""

from typing import Any

import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.core.stack import Merged
from coremerge_ref.perturbation.carried import Errors, Level

D = 6 * 2.0**-23  # what float32's arithmetic and its SVD make of a matrix, relative to its norm
NONE = np.full((2, 2), np.inf)  # nothing is known of entries


def merged(*values: float, level: float = 1e-6, short: float = 2.0) -> Merged:
    """Their diagonal, with so many live rows and 9 columns."""
    return Merged(np.diag(values), np.asarray(level), np.asarray(short), np.asarray(9.0))


def errors_of(
    delta: float, name: str = "input", rank: int = 2, shape: Any = (9, 9), entry: Any = NONE, **given: Any
) -> Errors:
    level = Level(name, "float64", 2.0**-23, 1.0)
    return Errors(
        level, shape, np.asarray(delta), np.asarray(entry), np.asarray(rank), (0,), True, {}, 2.0**-52, lost=3, **given
    )  # fmt: skip


def after(errors: Errors, before: Merged, support: str = "rank") -> float:
    """The bound; all that it is made of goes on as it."""
    found = cm.Iso(support).carry(errors, before, None)
    assert found is errors
    bound = float(found.delta)
    assert found.entry.shape == before.M.shape
    assert (found.entry == bound).all()
    assert (found.polar, found.factors) == (None, None)
    return bound


@pytest.mark.parametrize(("shape", "condition"), [((9, 9), 1 / 2), ((2, 2), 2 / 6), ((2, 9), 1 / 2)])
def test_the_mean_moves_by_the_error_and_the_polar_factor_by_it_over_the_smallest_value(
    shape: Any, condition: float
) -> None:
    """Of diag(4, 2), a square one by 2 / (σ_1 + σ_2); σ̄ = 3; x to first order is x / (1 − 2 x)."""
    errors, x = errors_of(0.01, shape=shape), 0.01 * condition
    assert after(errors, merged(4, 2)) == pytest.approx(np.hypot(0.01, 3 * x / (1 - 2 * x)))
    (spectrum,), (margin,) = errors.spectra, errors.margins
    assert (spectrum.title, spectrum.kept, spectrum.cut) == ("iso: singular values of the merged matrix", 2, 1e-6)
    assert spectrum.values.tolist() == [4, 2]
    assert str(margin) == "iso: smallest singular value of the support of 2, relative to the largest, is 0.5"
    assert margin.amplifies == pytest.approx(3 * condition)
    assert (errors.lost, errors.doubts, int(errors.rank)) == (3, [], 2)


@pytest.mark.parametrize(("delta", "rank", "lost"), [(0.4, 2, 3), (0.6, 2, 3), (1.8, 2, 3), (0.6, 1, 4)])
def test_beyond_a_quarter_of_the_smallest_value_the_polar_factor_moves_by_the_logarithm_where_nothing_is_cut(
    delta: float, rank: int, lost: int
) -> None:
    """−ln(1 − δ / 2) of diag(4, 2), σ̄ = 3 and at most 3 + δ / √2 then; of another rank there is the norm."""
    errors = errors_of(delta, rank=rank)
    bound = after(errors, merged(4, 2))
    assert (errors.lost, errors.doubts) == (lost, [])
    x = delta / 2
    turned = 3 * x / (1 - 2 * x) if x < 0.25 else -np.log(1 - x) * np.sqrt(3 * (3 + delta / 2**0.5))
    assert bound == pytest.approx(np.hypot(delta, turned) if lost == 3 else 2 * 20**0.5 + delta)


def test_an_error_as_large_as_the_smallest_value_is_in_doubt() -> None:
    """Arithmetic: what counts as zero, 1e-6, is no doubt of it."""
    errors = errors_of(2.5, "compute")
    assert after(errors, merged(4, 2)) == pytest.approx(2 * 20**0.5 + 2.5 + D * 20**0.5)
    ((sentence, remedy),) = errors.doubts
    assert sentence == (
        "iso: singular value 2 of the merged matrix, the last that takes part, is 5.0e-01 of the largest, within the "
        "rounding of float64"
    )
    assert "merge without iso" in remedy


def test_a_square_polar_factor_has_no_bound_where_its_smallest_value_may_vanish() -> None:
    """2 / (4 + 2) of 2.5 is less than 1, and 2.5 more than 2: in doubt as a value at zero, and as the last one."""
    errors = errors_of(2.5, shape=(2, 2))
    assert after(errors, merged(4, 2)) == pytest.approx(2 * 20**0.5 + 2.5)
    assert len(errors.doubts) == 2


def test_vectors_that_are_known_do_not_make_values_known() -> None:
    errors = errors_of(2.5)
    errors.polar = (1e-6, 2.2, np.inf)
    assert after(errors, merged(4, 2)) == pytest.approx(2 * 20**0.5 + 2.5)
    assert len(errors.doubts) == 2
    errors = errors_of(2.5)
    errors.polar = (1e-6, 2.2, 0.1)  # each relative to itself, which no error takes to zero
    assert after(errors, merged(4, 2)) == pytest.approx(np.hypot(0.1 * 3 * 2**0.5, 3e-6))
    assert not errors.doubts


def test_values_that_count_as_zero_take_no_part() -> None:
    """σ̄ = 3 of 4 and 2; where an exact matrix may have a third one it is in doubt, but not in a row of zeros."""
    none, x, M = np.full((3, 3), np.inf), 0.01 / 2, merged(4, 2, 1e-9)
    errors = errors_of(0.01, entry=none)
    assert after(errors, M) == pytest.approx(np.hypot(0.01, 3 * x / (1 - 2 * x)))
    assert (errors.spectra[0].kept, errors.doubts) == (2, [])
    errors = errors_of(0.01, rank=3, entry=none)
    assert after(errors, M) == pytest.approx(2 * 20**0.5 + 0.01)
    assert errors.doubts[0][0].startswith("iso: singular value 3 of the merged matrix is 2.5e-10 of the largest, at")
    for entry, doubts in ((np.zeros((3, 3)), 0), (np.eye(3), 1)):
        errors = errors_of(0.01, rank=3, entry=entry)
        after(errors, merged(4, 2, 0.0))
        assert len(errors.doubts) == doubts


def test_nothing_is_made_of_nothing() -> None:
    for support in ("rank", "size"):
        errors = errors_of(0.01, entry=np.zeros((2, 2)))
        assert after(errors, merged(0, 0), support) == 0.01
        assert (errors.margins, errors.doubts) == ([], [])
    errors = errors_of(0.01)
    errors.lost = 0
    assert after(errors, merged(0, 0)) == 0.01  # in doubt, as errors may reach the level, and no more than that
    assert len(errors.doubts) == 1


@pytest.mark.parametrize(("delta", "doubts", "known"), [(5.0, 0, False), (5.0, 1, True), (2.5, 0, True)])
def test_of_a_matrix_whose_bound_was_lost_nothing_is_known_to_be_near_zero(
    delta: float, doubts: int, known: bool
) -> None:
    """diag(4, 2), of norm 4.5: no value is in doubt where a stage before lost its bound, without a doubt, to more."""
    errors = errors_of(delta)
    errors.lost, errors.doubts = 1, [("before", "")] * doubts
    assert after(errors, merged(4, 2)) == pytest.approx(2 * 20**0.5 + delta)
    assert (len(errors.doubts) > doubts) == known
    assert len(errors.spectra) == 1


def test_what_counts_as_zero_moves_by_its_error() -> None:
    assert after(errors_of(1e-9), merged(4e-7, 0)) == 1e-9


def test_arithmetic_adds_what_the_svd_makes_of_the_matrix() -> None:
    delta = 1e-6 + D * 20**0.5
    assert after(errors_of(1e-6, "compute"), merged(4, 2)) == pytest.approx(np.hypot(delta, 3 * delta / 2), rel=1e-5)


@pytest.mark.parametrize(
    ("polar", "rank", "delta", "turned"),
    [
        ((1e-6, 2e-6, np.inf), 2, 2e-6, 1e-6),
        ((1e-6, 1.0, np.inf), 2, 1e-3, 1e-6),  # δ is finer
        ((1e-2, 1.0, np.inf), 2, 1e-3, 1e-2),  # the turn is what it is
        ((1e-6, 2e-6, np.inf), 1, 1e-3, 5e-4),  # of another rank than the support's
    ],
)
def test_what_is_known_of_vectors_and_values_before_counts_for_both(
    polar: Any, rank: int, delta: float, turned: float
) -> None:
    """Nothing that counts as zero is near, so that only the rank differs."""
    errors = errors_of(1e-3, rank=rank)
    errors.polar = polar
    assert after(errors, merged(4, 2)) == pytest.approx(np.hypot(delta, 3 * turned), rel=2e-3)
    own = D * 20**0.5
    errors = errors_of(1e-3, "compute", rank=rank)
    errors.polar = polar
    spread, more = (min(1e-3 + own, polar[1] + own), own / 2) if rank == 2 else (1e-3 + own, own / 2)
    assert after(errors, merged(4, 2)) == pytest.approx(np.hypot(spread, 3 * (turned + more)), rel=2e-3)


@pytest.mark.parametrize("late", [False, True])
def test_what_is_known_of_columns_replaces_the_condition_number(late: bool) -> None:
    """Of diag(4, 2) I, columns of the left known to 1e-6: all |p_iᵀ E q_j| ≤ 1e-6, and so E q_j beyond both p_i.

    The polar factor turns by (1e-6 + 1e-6) / (4 + 2) on either side of its diagonal, and by 1e-6 / 4 and 1e-6 / 2 out
    of the span of the left vectors.
    """
    made = np.diag([4.0, 2.0]), np.eye(2), np.full(2, 1e-6), np.zeros(2)
    turned = 1e-6 * (2 * (2 / 6) ** 2 + (1 / 4) ** 2 + (1 / 2) ** 2) ** 0.5
    errors = errors_of(1e-3, factors=(lambda: made) if late else made)
    assert after(errors, merged(4, 2)) == pytest.approx(np.hypot(1e-3, 3 * turned), rel=1e-5)
    errors, own = errors_of(1e-3, "compute", factors=made), D * 20**0.5
    assert after(errors, merged(4, 2)) == pytest.approx(np.hypot(1e-3 + own, 3 * (turned + own / 2)), rel=1e-5)
    errors = errors_of(1e-7, factors=made)
    assert after(errors, merged(4, 2)) == pytest.approx(np.hypot(1e-7, 3 * 1e-7 / 2), rel=1e-5)


def test_what_is_known_of_entries_replaces_it_too() -> None:
    errors = errors_of(1e-2, entry=np.full((2, 2), 1e-5), shape=(2, 2), closed=True)
    assert after(errors, merged(4, 2)) == pytest.approx(np.hypot(1e-2, 3 * 2**0.5 * 2e-5 / 6), rel=1e-4)


def test_over_the_size_all_values_take_part_and_the_mean_is_over_the_short_side() -> None:
    """σ̄ = 6 / 3; neither polar factors before nor columns tell of null vectors."""
    made = np.diag([4.0, 2.0]), np.eye(2), np.full(2, 1e-9), np.zeros(2)
    errors, x = errors_of(0.01, factors=made), 0.01 / 2
    errors.polar = (0.0, 0.0, 0.0)
    assert after(errors, merged(4, 2, short=3.0), "size") == pytest.approx(np.hypot(0.01, 2 * x / (1 - 2 * x)))
    assert (errors.spectra[0].cut, errors.spectra[0].kept, errors.lost) == (None, 2, 3)
    assert errors.margins[0].amplifies == pytest.approx(2 / 2)
    assert after(errors_of(0.01), merged(4, 0), "size") == pytest.approx(2 * 4 + 0.01)  # any null vector will do
    assert after(errors_of(0.0), merged(4, 0, level=5), "rank") == 0.0


@pytest.mark.parametrize(("support", "lost"), [("size", 4), ("rank", 3)])
def test_a_size_in_doubt_is_one_of_the_size_alone(support: str, lost: int) -> None:
    errors = errors_of(0.01, size_doubt="the live size is 2 or 3")
    bound = after(errors, merged(4, 2), support)
    assert errors.lost == lost
    assert (bound > 8) == (lost == 4)
