"""How many singular values are kept: the definitions of sd-scripts and PEFT, on spectra that are known."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coremerge_ref.adapters.cutting import Cut, facts
from coremerge_ref.core.updates import DenseUpdate, LowRankUpdate
from coremerge_ref.errors import ParameterError
from coremerge_ref.testing import THRESHOLD, ratio


def update(spectrum: list[float], m: int = 9, n: int = 7, seed: int = 0) -> LowRankUpdate:
    """P diag(spectrum) Qᵀ in factors that are not orthogonal themselves, with a scale."""
    rng = np.random.default_rng(seed)
    s = len(spectrum)
    P, Q = (np.linalg.qr(rng.standard_normal((size, s)))[0] for size in (m, n))
    # of whole numbers, as its inverse is: the singular values are the spectrum up to rounding
    mix = np.eye(s) + np.eye(s, k=1)
    return LowRankUpdate(P * np.array(spectrum) @ mix, np.linalg.inv(mix).round() @ Q.T / 4, 4.0)


@pytest.mark.parametrize(
    ("cut", "k"),
    [
        ({"rank": 2}, 2),
        ({"rank": 9}, 4),
        ({"retain": 0.7}, 1),  # 64 of 85
        ({"retain": 0.8}, 2),  # 80 of 85
        ({"retain": 1.0}, 4),
        ({"retain": 1.0, "rank": 3}, 3),
        ({"cumulative": 0.5}, 1),  # 8 of 15
        ({"cumulative": 0.8}, 2),  # 12 of 15
        ({"cumulative": 0.81}, 3),
        ({"cumulative": 1}, 4),
        ({"ratio": 1.5}, 1),
        ({"ratio": 3.0}, 2),  # 8, 4 are above 8/3
        ({"ratio": 100.0}, 4),
        ({"ratio": 100.0, "rank": 3}, 3),
    ],
)
def test_the_spectrum_8_4_2_1(cut: dict[str, Any], k: int) -> None:
    assert Cut.of(cut).apply(update([8, 4, 2, 1])).rank == k  # type: ignore[union-attr]


@pytest.mark.parametrize("count", [3, 7, 10, 49])
def test_equal_values_reach_their_share_though_they_differ_by_rounding(count: int) -> None:
    for k in range(1, count + 1):
        share = k / count
        for name in ("retain", "cumulative"):
            cut = Cut(**{name: share})
            assert cut.count(np.ones(count)) == k
            jittered = np.sort(1 + np.random.default_rng(k).uniform(-1, 1, count) * 2.0**-52)[::-1]
            assert cut.count(jittered) == k


@given(
    st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12),
    st.floats(0.01, 0.99),
    st.sampled_from(["retain", "cumulative"]),
)
def test_the_fewest_that_reach_the_share(values: list[float], share: float, name: str) -> None:
    """By exact sums: k values reach it, up to rounding, and k − 1 do not."""
    S = np.sort(values)[::-1]
    k = Cut(**{name: share}).count(S)
    terms = [float(value) ** (2 if name == "retain" else 1) for value in S]
    total = math.fsum(terms)
    assert math.fsum(terms[:k]) >= share * total * (1 - 1e-14)
    assert k == 1 or math.fsum(terms[: k - 1]) <= share * total * (1 + 1e-14)


def test_rounding_is_no_direction() -> None:
    """Factors of rank 2 in four columns: the other two values are rounding, and are never kept."""
    rng = np.random.default_rng(3)
    B, A = rng.standard_normal((30, 2)), rng.standard_normal((2, 20))
    mixed = LowRankUpdate(B @ rng.standard_normal((2, 4)), rng.standard_normal((4, 2)) @ A)
    for cut in (Cut(rank=4), Cut(retain=1.0), Cut(ratio=1e300), Cut(cumulative=1.0)):
        small = cut.apply(mixed)
        assert (small.rank, small.info["of"]) == (2, 2)
        size = float(np.linalg.norm(mixed.to_dense()))
        assert ratio(small.to_dense(), mixed.to_dense(), scale=size, eps=2.0**-52, kappa=10) <= THRESHOLD


def test_nothing_stays_nothing_and_something_something() -> None:
    zero = Cut(retain=0.5).apply(LowRankUpdate(np.zeros((4, 2)), np.ones((2, 3))))
    assert (zero.rank, zero.info["energy"], zero.info["error"], zero.info["norm"]) == (0, 1.0, 0.0, 0.0)
    assert Cut(retain=1e-9).apply(update([8, 4])).rank == 1
    assert Cut(rank=3).apply(LowRankUpdate(np.zeros((4, 0)), np.zeros((0, 3)))).rank == 0


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_facts(scale: float) -> None:
    info = Cut(rank=2).apply(update([8 * scale, 4 * scale, 2 * scale, 1 * scale])).info
    want = {"norm": math.sqrt(85) * scale, "of": 4, "energy": 80 / 85, "cumulative": 12 / 15, "ratio": 2}
    want["error"] = math.sqrt(5 / 85)
    for name, value in want.items():
        assert ratio(info[name], value, scale=value, eps=2.0**-52, kappa=10) <= THRESHOLD, name


def test_matrices_are_cut_too() -> None:
    given = update([8, 4, 2, 1])
    small = Cut(retain=0.9).apply(DenseUpdate(given.to_dense()))
    assert (small.rank, small.info["of"]) == (2, 4)


def test_what_lies_beyond_counts() -> None:
    """Of √(64 + 16 + 5): what is not in S is energy that cannot be kept."""
    S = np.array([8.0, 4.0])
    beyond = math.sqrt(5)
    assert Cut(retain=0.75).count(S, beyond) == 1
    assert Cut(retain=0.94).count(S, beyond) == 2
    assert Cut(retain=0.99).count(S, beyond) == 2  # all there is, which is not enough
    info = Cut(rank=1).apply(update([8, 4]), beyond=beyond).info
    assert ratio(info["error"], math.sqrt(21 / 85), scale=1.0, eps=2.0**-52, kappa=10) <= THRESHOLD


def test_where_all_lies_beyond_nothing_is_kept_and_all_is_lost() -> None:
    kept = {"energy": 0.0, "cumulative": 0.0, "ratio": 1.0}
    assert facts(np.zeros(2), 0, beyond=3.0) == {"norm": 3.0, "of": 0, "error": 1.0, **kept}


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"rank": 0}, "rank: expected an integer"),
        ({"rank": True}, "rank: expected an integer"),
        ({"retain": 0}, "retain: expected a share"),
        ({"retain": 1.01}, "retain: expected a share"),
        ({"retain": float("nan")}, "retain: expected a share"),
        ({"ratio": 0.5}, "ratio: expected a number of at least 1"),
        ({"ratio": "2"}, "ratio: expected a number"),
        ({"cumulative": -1}, "cumulative: expected a share"),
        ({"retain": 0.5, "ratio": 2}, "retain and ratio"),
        ({"share": 0.5}, "expected some of rank, retain"),
        ({}, "expected some of rank, retain"),
    ],
)
def test_what_is_no_cut(given: dict[str, Any], word: str) -> None:
    with pytest.raises(ParameterError, match=word):
        Cut.of(given)
