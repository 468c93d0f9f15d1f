"""Cases drawn at random: the same for a seed, judged with bounds computed on the spot, never failed by a right one."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from doubles import Double

from coremerge_ref import conformance
from coremerge_ref.conformance import generated
from coremerge_ref.conformance.configs import CONFIGS, EVERY_SPACE, SPACES

pytest.importorskip("mpmath")


def test_a_right_implementation_never_fails_and_a_wrong_one_does():
    report = conformance.run(Double(), only="ta/core/generic", generated=40, seed=11)
    assert report.ok, report.summary()
    assert len(report.results) == 41
    assert report.provenance.generated == 40
    assert report.provenance.seed == 11
    assert "--seed 11" in report.summary()
    wrong = conformance.run(Double("scaling-ignored"), cases=conformance.generate(11, 40), diagnoses=True)
    assert wrong.counts["fail"] > 10
    assert next(iter(wrong.diagnoses())).startswith("scaling-ignored")


def test_a_seed_gives_the_same_cases_and_another_others():
    first, again, other = (conformance.generate(seed, 6) for seed in (3, 3, 4))
    assert [c.name for c in first] == [c.name for c in again]
    assert all(np.array_equal(c.expected, d.expected) for c, d in zip(first, again, strict=True))
    assert not any(np.array_equal(c.updates[0][0], d.updates[0][0]) for c, d in zip(first, other, strict=True))
    assert [c.name for c in conformance.generate(3, 2)] == [c.name for c in first[:2]]


def test_shapes_and_ranks():
    cases = conformance.generate(5, 8, shapes=[(2, 9), (12, 3)], ranks=[2, 5])
    assert {c.shape for c in cases} == {(2, 9), (12, 3)}
    assert {b.shape[-1] for c in cases for b, _, _ in c.updates} == {2, 5}
    assert conformance.run(Double(), cases=cases).ok


def test_a_new_seed_each_time_is_told():
    reports = [conformance.run(Double(), only="ta/core/generic", generated=1) for _ in range(2)]
    assert reports[0].provenance.seed != reports[1].provenance.seed
    seed = reports[0].provenance.seed
    again = conformance.run(Double(), only="ta/core/generic", generated=1, seed=seed)
    assert [r.case.name for r in again.results] == [r.case.name for r in reports[0].results]
    assert again.provenance.case_set == reports[0].provenance.case_set


# ---- what is drawn -----------------------------------------------------------------------------------------------
RANKS = (0, 1, 2, 3)


@pytest.fixture
def drawn() -> list[list[generated.Update]]:
    return [generated.drawn_updates(np.random.default_rng(seed), None, RANKS) for seed in range(400)]


def test_tasks_are_of_every_number_rank_size_and_scale(drawn: list[list[generated.Update]]) -> None:
    assert {len(updates) for updates in drawn} == {1, 2, 3, 4}
    tasks = [task for updates in drawn for task in updates]
    assert {B.shape[1] for B, _, _ in tasks} == set(RANKS)
    assert {B.shape[0] for B, _, _ in tasks} == {A.shape[1] for _, A, _ in tasks} == set(range(1, 8))
    assert {s for *_, s in tasks} == {1.0, 0.5, 3.0}
    assert all(len({(B.shape[0], A.shape[1]) for B, A, _ in updates}) == 1 for updates in drawn)
    whole = generated.drawn_updates(np.random.default_rng(0), [(2, 9)], (2,))
    assert {(B.shape, A.shape) for B, A, _ in whole} == {((2, 2), (2, 9))}


def test_some_tasks_are_whole_numbers_and_some_copies_of_the_one_before(drawn: list[list[generated.Update]]) -> None:
    def kind(x: np.ndarray) -> bool:
        return bool(x.any() and np.array_equal(x, np.round(x)))

    pairs = [(old, new) for updates in drawn for old, new in pairwise(updates) if old[0].any() and old[1].any()]
    factors = [
        (by, power)
        for (B, A, _), (b, a, _) in pairs
        for by in (1.0, -1.0, 2.0)
        for power in range(-9, 10)
        if np.array_equal(b, by * B) and np.array_equal(a, 2.0**power * A)
    ]
    assert {by for by, _ in factors} == {1.0, -1.0, 2.0}
    assert {power for _, power in factors} == set(range(-3, 4))
    assert 0.1 < len(factors) / len(pairs) < 0.25
    first = [updates[0] for updates in drawn if updates[0][0].size > 3]
    assert 0.2 < sum(kind(B) for B, _, _ in first) / len(first) < 0.4
    sizes = {np.log2(np.abs(A[A != 0]).min()) for B, A, _ in first if kind(B) and A.any()}
    assert sizes == set(range(-3, 4))


@pytest.fixture
def undecided(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The cases that would be solved; every other can be judged."""
    asked: list[Any] = []

    def solve(case: Any, exact_entries: bool) -> Any:
        assert exact_entries is False
        asked.append(case)
        record = {"bound": 1.0, "scale": 1.0, "live": [1, 1], "reasons": [], "asked": len(asked) % 2 == 0}
        return np.zeros(case.shape), record

    monkeypatch.setattr("coremerge_ref.conformance.solving.solve", solve)
    return asked


def test_cases_that_cannot_be_judged_are_left_out_and_others_drawn(undecided: list[Any]) -> None:
    cases = conformance.generate(3, 5)
    assert len(undecided) == 10
    assert [case.name for case in cases] == [case.name for case in undecided[1::2]]
    assert [case.name.rsplit("-", 1)[1] for case in undecided] == [str(i) for i in range(10)]
    assert not conformance.generate(3, 0)


def test_cases_are_of_every_method_and_space_with_their_masks_and_weights(undecided: list[Any]) -> None:
    conformance.generate(1, 300)
    assert {case.config for case in undecided} == set(generated.CONFIGS)
    assert {case.space for case in undecided} == set(SPACES) < set(EVERY_SPACE)
    for case in undecided:
        method, params, _ = CONFIGS[case.config]
        assert case.name.startswith(f"{case.config}/{case.space}/seed-1-")
        assert (case.family, case.method, set(case.params)) == ("generated", method, set(params))
        assert (case.masks is not None) is ("dare" in params)
        if case.masks is not None:
            assert len(case.masks) == len(case.updates)
        for p in case.params.values():
            assert len(p.get("weights", case.updates)) == len(case.updates)
        if "mean" in case.params:
            assert abs(sum(case.params["mean"]["weights"])) >= 0.1


def test_a_seed_is_any_of_many() -> None:
    seeds = {generated.fresh_seed() for _ in range(50)}
    assert len(seeds) > 40
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert max(seeds) > 2**26
