"""Climbs of the size of the inputs' rounding: `python -m benchmarks.fuzz.climbing` in small."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

import coremerge_ref as cm
from benchmarks.fuzz import climbing

FIRST = 20261201


@pytest.mark.parametrize("part", range(4))
def test_no_bound_is_exceeded_and_most_are_met_to_a_hundredth(part: int) -> None:
    found = [climbing.climbed(climbing.draw(seed)) for seed in range(FIRST + part, FIRST + 80, 4)]
    known = [one for one in found if one is not None]
    assert len(known) > len(found) / 2
    for most, bound, noise in known:
        assert most <= bound * (1 + 1e-9) + noise
    assert np.median([most / bound for most, bound, _ in known]) > 0.01


def test_a_bound_that_is_too_low_is_found_out(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    true = cm.explain

    def low(*args: Any) -> Any:
        told = true(*args)
        return replace(told, input_bound=replace(told.input_bound, relative=told.input_bound.relative / 1000))

    monkeypatch.setattr(cm, "explain", low)
    monkeypatch.setattr("sys.argv", ["climbing", "--trials", "6", "--seed", str(FIRST)])
    assert climbing.main() == 1
    assert "exceeded" in capsys.readouterr().out


def test_every_column_moves_by_half_an_eps_of_its_norm() -> None:
    case = replace(climbing.draw(FIRST), method="tsv")
    exact = [X.to(torch.float64) for X in case.factors]
    y = torch.ones(tuple(case.merged(exact).shape), dtype=torch.float64)
    for i, (X, Y) in enumerate(zip(exact, climbing.moved(case, exact, exact, y, 1e-3), strict=True)):
        axis = i % 2
        np.testing.assert_allclose(np.linalg.norm(Y - X, axis=axis), 1e-3 * np.linalg.norm(X, axis=axis), rtol=1e-9)


def test_every_method_and_dtype_is_drawn() -> None:
    drawn = [climbing.draw(seed) for seed in range(300)]
    assert {case.method for case in drawn} == set(climbing.METHODS)
    assert {case.dtype for case in drawn} == set(climbing.DTYPES)
