"""Cases drawn at random: the same for a seed, judged with bounds computed on the spot, never failed by a right one."""

import numpy as np
import pytest
from doubles import Double

from coremerge_ref import conformance

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
