"""Arguments of a merge: numbers out of range, parts, shards and methods that cannot be, refused by what was given."""

from typing import Any

import numpy as np
import pytest
from said import parts

import coremerge_ref as cm
from coremerge_ref.adapters.arguments import check_factors, check_numbers, check_shards, part_of
from coremerge_ref.adapters.forms import FORMS
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.errors import DTypeError, ParameterError

PEFT, SINGLE = (next(form for form in FORMS.values() if form.sharded is sharded) for sharded in (True, False))


@pytest.mark.parametrize(
    "weights", [[], [None], [[1, 2.5]], [(np.float32(1), np.int64(2))], [None, [0, -1], [1e300, 1]]], ids=repr
)
@pytest.mark.parametrize("dtype", [None, "float16", "bfloat16", "float32", "float64"])
def test_what_may_be_given(weights: list[Any], dtype: str | None) -> None:
    check_numbers(2, weights, dtype)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((0, [], None), ParameterError, "adapters: … at least one … none"),
        ((1, [], "int8"), DTypeError, "dtype: … float16 … bfloat16 … 'int8'"),
        ((1, [], "XXfloat32"), DTypeError, "dtype: … 'XXfloat32'"),
        ((2, [None, "ab"], None), ParameterError, "weights: … numbers … 'ab'"),
        ((2, [3], None), ParameterError, "weights: … numbers … 3"),
        ((2, [[1, "2"]], None), ParameterError, "weights: … numbers … [1, '2']"),
        ((2, [[1, True]], None), ParameterError, "weights: … numbers … [1, True]"),
        ((2, [[1]], None), ParameterError, "weights: … 2, … got 1"),
        ((2, [[1, 2, 3]], None), ParameterError, "weights: … 2, … got 3"),
        ((2, [[1, float("inf")]], None), ParameterError, "weights: … finite … [1, inf]"),
        ((2, [[1, 10**400]], None), ParameterError, "weights: … finite … [1, 1000"),
        ((2, [(float("nan"), 1)], None), ParameterError, "weights: … finite … [nan, 1]"),
        ((2, [[1, 1], [1, float("inf")]], None), ParameterError, "weights: … finite … [1, inf]"),
    ],
)
def test_numbers_that_cannot_be(given: tuple[int, Any, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=parts(message)):
        check_numbers(*given)


@pytest.mark.parametrize(
    ("text", "part"),
    [(None, None), ("1/1", (1, 1)), ("2/3", (2, 3)), (" 2 / 3 ", (2, 3)), ((3, 3), (3, 3)), ([1, 2], (1, 2))],
)
def test_which_part_of_how_many(text: Any, part: Any) -> None:
    assert part_of(text) == part


@pytest.mark.parametrize(
    "text", ["", "0/3", "4/3", "1", "1/2/3", "-1/3", "1.0/3", "a/b", (0, 1), (2, 1), (1,), 3, {1: 2}]
)
def test_what_is_no_part(text: Any) -> None:
    with pytest.raises(ParameterError, match=parts(f"layers: … i/n … got {str(text)[:4]!r}"[:-1])):
        part_of(text)


def test_which_outputs_may_lie_in_several_files() -> None:
    check_shards(None, SINGLE, True, True, True)
    check_shards(5, PEFT, False, False, False)
    check_shards(5, SINGLE, False, True, False)
    for given, message in [
        ((5, PEFT, False, False, True), "fused model … leave it out"),
        ((5, PEFT, True, True, False), "one file … leave it out"),
        ((5, SINGLE, False, False, False), f"{SINGLE.title} … leave it out"),
    ]:
        with pytest.raises(ParameterError, match=parts(f"max_shard_size: … {message}")):
            check_shards(*given)


def test_methods_that_give_full_matrices_are_named() -> None:
    good, bad = Pipeline.parse("tsv"), Pipeline.parse("dare+ties")
    core, full = cm.Core(), cm.Full()
    check_factors([good, bad], core, 2, [None], 1.0, False)
    check_factors([good, bad], full, 2, [None], 1.0, True)
    with pytest.raises(ParameterError, match=parts("'dare+ties' in space 'full' … --rank … --dense")):
        check_factors([good, bad], full, 2, [None], 1.0, False)


def test_parameters_that_do_not_go_with_the_adapters_are_found_before_work_begins() -> None:
    with pytest.raises(ParameterError):
        check_factors([Pipeline.parse("ta")], cm.Core(), 2, [[1, 1], [1]], 1.0, True)
    with pytest.raises(ParameterError):
        check_factors([Pipeline.parse("ta")], cm.Core(), 2, [None], float("nan"), True)
