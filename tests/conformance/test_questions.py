"""Cases: their shapes, norms, masks and tolerances, and what an index says of an answer."""

from dataclasses import replace

import numpy as np
import pytest

from coremerge_ref.conformance import cases, questions
from coremerge_ref.conformance.families import FAMILIES
from coremerge_ref.conformance.precision import FLOAT32, FLOAT64
from coremerge_ref.conformance.questions import draw, merge_of, norm, static_size, with_answer

CASE = cases("ta/core/generic")[0]


def sized(*factors: tuple[float, float]) -> list[tuple[np.ndarray, np.ndarray, float]]:
    return [(np.full((2, 1), b), np.full((1, 3), a), 1.0) for b, a in factors]


# ---- precision ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("factors", "asked"),
    [
        ([(1.0, 1.0)], True),
        ([(0.0, 1.0)], True),
        ([(1.0, 1.0), (1e-35, 1.0)], False),  # loses digits
        ([(1.0, 1.0), (1.0, 1e35)], False),
        ([(-1e35, 1.0)], False),
        ([(1e-30, 1e30)], True),
    ],
)
def test_a_case_is_asked_in_single_precision_where_its_numbers_have_room(
    factors: list[tuple[float, float]], asked: bool
) -> None:
    case = replace(CASE, updates=sized(*factors), elsewhere={})
    found = case.at("float32")
    assert (found is not None) is asked
    assert found is None or (found.precision, found.updates) == (FLOAT32, case.updates)
    assert case.at("float64") is case
    assert case.at(FLOAT64) is case


def test_a_case_that_was_solved_elsewhere_is_that_one() -> None:
    other = replace(CASE, precision=FLOAT32)
    assert replace(CASE, elsewhere={"float32": other}).at("float32") is other
    assert replace(CASE, elsewhere={"float32": None}).at("float32") is None
    single = CASE.at("float32")
    assert single.at("float64") is CASE


# ---- sizes -------------------------------------------------------------------------------------------------------
def test_shape_and_condition_are_those_of_the_answer() -> None:
    case = replace(CASE, updates=sized((1.0, 1.0)), bound=6.0, scale=2.0)
    assert (case.shape, case.kappa, case.well_posed) == ((2, 3), 3, True)
    assert replace(case, scale=0.0).kappa == 1
    assert not replace(case, reasons=("a tie",)).well_posed
    batch = [(np.zeros((5, 2, 1)), np.zeros((5, 1, 3)), 1.0)]
    assert replace(CASE, updates=batch).shape == (5, 2, 3)
    assert case.note == FAMILIES["generic"][0]
    assert replace(case, family="seed").note == "drawn at random"


@pytest.mark.parametrize(("precision", "eps"), [(FLOAT64, 2.0**-52), (FLOAT32, 2.0**-23)])
def test_the_tolerance_is_fifty_of_the_bound_and_what_rounding_took(precision: object, eps: float) -> None:
    case = replace(CASE, expected=np.array([[3.0, 0], [0, 4.0]]), bound=8.0, precision=precision)
    assert case.expected_error == pytest.approx(2.5 * 2.0**-52, rel=1e-15, abs=0)
    assert case.tolerance == pytest.approx(400 * eps + 5 * 2.0**-52, rel=1e-15, abs=0)
    tiny = replace(CASE, expected=np.full((2, 2), 0.0), bound=0.0)
    assert (tiny.expected_error, tiny.tolerance) == (2.0**-1073, 2.0**-1072)  # half of the smallest number an entry


@pytest.mark.parametrize("size", [5e-324, 1e-300, 1.0, 1e300])
def test_the_norm_neither_overflows_nor_underflows(size: float) -> None:
    x = np.array([[3.0, 0], [0, -4.0]]) * size
    assert norm(x) == pytest.approx(5 * size, rel=1e-15, abs=0)
    assert norm(np.array([3, 4], dtype=np.float16)) == 5


@pytest.mark.parametrize(
    ("entries", "expected"),
    [([], 0), ([0.0, 0.0], 0), ([1.7e308] * 4, np.inf), ([np.inf, 1.0], np.inf), ([-np.inf], np.inf)],
)
def test_the_norm_of_nothing_and_of_too_much(entries: list[float], expected: float) -> None:
    assert norm(np.array(entries)) == expected
    assert np.isnan(norm(np.array([np.nan, 1.0])))


@pytest.mark.parametrize(
    ("m", "n", "ranks", "sizes"),
    [
        (10, 8, (2, 2), {"full": (10, 8), "knots": (4, 8), "core": (4, 4), "knots-unscaled": (4, 8)}),
        (3, 8, (2, 2), {"full": (3, 8), "knots": (3, 8), "core": (3, 4), "knots-unscaled": (3, 8)}),
        (10, 3, (2, 0, 2), {"full": (10, 3), "knots": (4, 3), "core": (4, 3), "knots-unscaled": (4, 3)}),
    ],
)
def test_a_space_is_as_large_as_its_frames(
    m: int, n: int, ranks: tuple[int, ...], sizes: dict[str, tuple[int, int]]
) -> None:
    updates = [(np.zeros((m, r)), np.zeros((r, n)), 1.0) for r in ranks]
    assert {space: static_size(updates, space) for space in sizes} == sizes
    batch = [(np.zeros((7, m, r)), np.zeros((7, r, n)), 1.0) for r in ranks]
    assert {space: static_size(batch, space) for space in sizes} == sizes


# ---- masks -------------------------------------------------------------------------------------------------------
def test_masks_hang_on_the_name_and_keep_what_is_not_dropped() -> None:
    masks = draw("a", (3, 40, 50), 0.25)
    assert (masks.shape, masks.dtype) == ((3, 40, 50), bool)
    assert abs(masks.mean() - 0.75) < 0.02
    assert np.array_equal(masks, draw("a", (3, 40, 50), 0.25))
    assert not np.array_equal(masks, draw("b", (3, 40, 50), 0.25))
    assert (masks | ~draw("a", (3, 40, 50), 0.5)).all()  # what half drops not is kept at a quarter
    assert draw("a", (2, 2), 0.0).all()


@pytest.mark.parametrize(
    ("method", "merge"),
    [("ta", "ta"), ("dare+ta", "ta"), ("trim+ta", "ta"), ("dare+ties+iso", "ties"), ("tsv+iso", "tsv")],
)
def test_a_pipeline_is_filed_by_its_merge(method: str, merge: str) -> None:
    assert merge_of(method) == merge


# ---- answers -----------------------------------------------------------------------------------------------------
def test_an_index_says_what_is_open() -> None:
    record = {
        "bound": 3.0, "scale": 2.0, "live": [2, 3], "reasons": ["a tie"], "freedom": "entries",
        "entries": {"shape": [2, 3], "values": {"1": [0.0, 2.0], "5": [1.0, 3.0, 4.0]}},
    }  # fmt: skip
    found = with_answer(CASE, np.ones((2, 3)), record)
    assert found.undecided.tolist() == [[False, True, False], [False, False, True]]
    assert found.possible == ((0.0, 2.0), (1.0, 3.0, 4.0))
    assert (found.bound, found.scale, found.live, found.reasons, found.freedom) == (3, 2, (2, 3), ("a tie",), "entries")
    for array in (found.expected, found.undecided):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 0
    plain = with_answer(CASE, np.ones((2, 3)), {k: record[k] for k in ("bound", "scale", "live", "reasons")})
    assert (plain.undecided, plain.possible, plain.freedom) == (None, (), "")


def test_what_ships_is_read_only_and_told_in_both_precisions() -> None:
    for case in cases(["ta/core/generic", "dare/core/generic"]):
        for array in (case.expected, *(x for b, a, _ in case.updates for x in (b, a))):
            assert not array.flags.writeable
        assert case.at("float32").at("float64") is case
    assert not cases("no_such_case")
    names = [case.name for case in cases()]
    assert len(names) == len(set(names))
    single = [case.name for case in cases(precision="float32")]
    assert set(single) < set(names)


def test_narrow_inputs_are_packed_in_what_holds_them() -> None:
    packed = questions.pack_inputs()
    for family, (_, build) in FAMILIES.items():
        for t, (B, A, _) in enumerate(build()):
            for letter, x in (("B", B), ("A", A)):
                found = packed[f"input/{family}/{t}/{letter}"]
                assert found.dtype.name == ("float32" if x.dtype.name == "bfloat16" else x.dtype.name)
                assert found.flags.c_contiguous
                assert np.array_equal(found, x.astype(found.dtype))
    assert len(packed) == 2 * sum(len(build()) for _, build in FAMILIES.values())
