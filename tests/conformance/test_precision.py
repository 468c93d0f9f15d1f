"""An implementation is judged at the precision that it computes in."""

import numpy as np
import pytest

from coremerge_ref import conformance
from coremerge_ref.conformance.precision import FLOAT32, FLOAT64
from coremerge_ref.conformance.verdict import detect, judge

CASES = [c for c in conformance.cases(only="/core/") if c.well_posed]


def test_what_is_right_in_single_precision_is_right_there_alone():
    case = next(c for c in CASES if c.name == "ta/core/generic")
    answer = case.expected * (1 + 2.0**-24)
    assert judge(case, answer)[0] == "fail"
    assert judge(case, answer, "float32")[0] == "pass"
    assert judge(case.at("float32"), answer)[0] == "pass"
    assert judge(case, case.expected * (1 + 2.0**-12), "float32")[0] == "fail"


@pytest.mark.parametrize("change", [lambda x: x.astype(np.float32), lambda x: x * (1 + 2.0**-24)])
def test_single_precision_is_detected(change):
    with np.errstate(all="ignore"):
        assert detect((c, change(c.expected)) for c in CASES) is FLOAT32
    assert detect((c, c.expected) for c in CASES) is FLOAT64
    assert detect((c, 2 * c.expected) for c in CASES) is FLOAT64


def test_one_answer_that_is_right_in_single_precision_alone_is_enough():
    case = next(c for c in CASES if c.name == "ta/core/generic")
    assert detect([(case, case.expected * (1 + 2.0**-24))]) is FLOAT32
    assert detect([(case, case.expected * (1 + 2.0**-12))]) is FLOAT64  # right in neither


def test_what_single_precision_cannot_hold_is_not_asked():
    single = conformance.cases(precision="float32")
    assert {"huge", "tiny", "denormal"}.isdisjoint(c.family for c in single)
    assert all(np.isfinite(x.astype(np.float32)).all() for c in single for b, a, _ in c.updates for x in (b, a))
    with pytest.raises(ValueError, match="not asked in float32"):
        judge(next(c for c in conformance.cases() if c.family == "huge"), 0.0, "float32")
