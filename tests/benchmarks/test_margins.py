"""The margins of what counts as zero hold with room to spare, at a few sizes; the benchmark goes to 8192."""

import needs_scipy  # noqa: F401
import pytest

from benchmarks import margins
from coremerge_ref.core import arrays, linalg


@pytest.mark.parametrize(("size", "R"), [(64, 16), (512, 64), (1024, 256)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_null_singular_values_stay_below_the_threshold(size: int, R: int, dtype: str) -> None:
    rank, _ = linalg.thresholds(dtype)
    allowed = rank / arrays.eps(dtype)
    assert 0 <= margins.null_margin(size, R, dtype) < allowed / 4


@pytest.mark.parametrize(("size", "r"), [(64, 4), (512, 16), (2048, 16)])
@pytest.mark.parametrize(("space", "room"), [("core", 4), ("knots", 4), ("full", 3)])
def test_errors_of_entries_stay_below_their_level(size: int, r: int, space: str, room: float) -> None:
    assert 0 < margins.entry_margin(size, r, space) < 8 / room
