"""Large merges beside 60 digits in small: `python -m benchmarks.fuzz.large` draws others anew."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mpmath")
pytest.importorskip("flint")
import coremerge_ref as cm
from benchmarks.fuzz.large import SIZES, draw, enlarged, findings, hadamard, is_exact

FIRST, TRIALS, PLANTED = 20261130, 32, 12


@pytest.mark.parametrize("part", range(4))
def test_no_promise_is_broken(part: int) -> None:
    for i in range(part, TRIALS, 4):
        trial = draw(FIRST + i)
        assert findings(trial) == [], trial


def test_an_error_of_a_hundredth_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    merge = cm.merge

    def off(*args: Any, **options: Any) -> cm.DenseUpdate:
        return cm.DenseUpdate(1.01 * np.asarray(merge(*args, **options).to_dense()))

    monkeypatch.setattr(cm, "merge", off)
    kinds = [{kind for kind, _ in findings(draw(FIRST + i))} for i in range(PLANTED)]
    assert sum("bound exceeded" in one for one in kinds) > PLANTED / 4
    assert sum("false well-posed" in one for one in kinds) > PLANTED / 4
    assert not any("certificate below the error" in one for one in kinds)  # which is of what is there


def test_a_certificate_that_is_a_little_low_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    certify = cm.certify

    def lower(*args: Any, **options: Any) -> Any:
        found = certify(*args, **options)
        return replace(found, merged=0.9 * found.merged)

    monkeypatch.setattr(cm, "certify", lower)
    kinds = {kind for i in range(PLANTED) for kind, _ in findings(draw(FIRST + i))}
    assert kinds == {"certificate below the error"}


def test_what_is_large_is_the_small_one_exactly() -> None:
    made = [(small, enlarged(small)) for small in map(draw, range(FIRST, FIRST + 60))]
    there = [(small, *one) for small, one in made if one is not None]
    assert len(there) > 30
    assert {len(trial.factors[0][0]) for _, trial, _, _ in there} == set(SIZES)
    assert {trial.precision for _, trial, _, _ in there} == {"float32", "float64"}
    for small, trial, L, R in there[:12]:
        for (B, A, _), (own, beside, _) in zip(trial.factors, small.factors, strict=True):
            rows = np.random.default_rng(0).integers(len(B), size=3)
            for X, frame, part in ((B, L, own), (A.T, R, beside.T)):
                for i in rows[rows < len(X)]:
                    sums = [sum(map(Fraction, frame[i] * part[:, j]), Fraction(0)) for j in range(part.shape[1])]
                    assert sums == [Fraction(x) for x in X[i]]
                assert np.array_equal(X, X.astype(trial.precision))


@pytest.mark.parametrize("size", SIZES)
def test_hadamards_matrix_is_orthonormal_and_its_entries_are_powers_of_two(size: int) -> None:
    H = hadamard(size)
    assert np.array_equal(np.abs(H), np.full((size, size), size**-0.5))
    assert np.array_equal(H @ H.T, np.eye(size))


@pytest.mark.parametrize(("other", "exact"), [(2.0**-11, True), (2.0**-24, False), (1e-20, False), (0.0, True)])
def test_sums_of_numbers_far_apart_are_rounded(other: float, exact: bool) -> None:
    assert is_exact(np.array([[1.0], [other]]), "float32") is exact
