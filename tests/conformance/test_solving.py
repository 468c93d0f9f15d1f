"""The files of solved cases: every expected value once, an index of what is asked, and a hash of each file."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from coremerge_ref.conformance import cases, questions, solving
from coremerge_ref.conformance.precision import FLOAT32, FLOAT64
from coremerge_ref.conformance.questions import Case

FIRST, SECOND, THIRD = cases("ta/core/generic")[0], cases("dare/core/generic")[0], cases("tsv/core/generic")[0]
FOUR = np.arange(4.0).reshape(2, 2)


def facts(**changes: Any) -> dict[str, Any]:
    return {"bound": 3.0, "scale": 2.0, "live": [2, 2], "reasons": [], "asked": True, **changes}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is written for these solutions: the index, and the values of each file."""
    monkeypatch.setattr(solving, "DATA", tmp_path / "data")
    monkeypatch.setattr(solving, "pack_inputs", lambda: {"input/generic/0/B": np.eye(3)})

    def write(*solved: tuple[Case, dict[str, Any]]) -> tuple[dict[str, Any], dict[str, list[float]]]:
        given = [case for case, _ in solved], [solutions for _, solutions in solved]
        solving.write(*given)
        files = {path.stem: load_file(path) for path in (tmp_path / "data").glob("*.safetensors")}
        assert np.array_equal(files.pop("inputs")["input/generic/0/B"], np.eye(3))
        index = json.loads((tmp_path / "data" / "cases.json").read_text())
        for name, digest in index["sha256"].items():
            assert hashlib.sha256((tmp_path / "data" / name).read_bytes()).hexdigest() == digest
        assert set(index["sha256"]) == {f"{name}.safetensors" for name in (*files, "inputs")}
        assert index["format"] == questions.FORMAT
        return index["cases"], {name: values["expected"].tolist() for name, values in files.items()}

    return write


def test_values_are_filed_by_merge_and_each_is_stored_once(written: Any) -> None:
    index, values = written(
        (FIRST, {"float64": (FOUR, facts())}),
        (THIRD, {"float64": (FOUR, facts())}),
        (SECOND, {"float64": (FOUR + 4, facts())}),
        (replace(SECOND, name="dare/core/again"), {"float64": (FOUR, facts())}),
    )
    assert values == {"ta": [*range(8)], "tsv": [0, 1, 2, 3]}
    places = {FIRST.name: 0, THIRD.name: 0, SECOND.name: 4, "dare/core/again": 0}
    assert {name: entry["at"] for name, entry in index.items()} == places
    assert list(index) == list(places)


def test_single_precision_is_told_by_what_differs(written: Any) -> None:
    both = {"float64": (FOUR, facts()), "float32": (FOUR, facts())}
    other = {"float64": (FOUR, facts()), "float32": (FOUR + 4, facts(bound=7.0))}
    index, _ = written((FIRST, both), (SECOND, other))
    plain = {"at": 0, "bound": 3.0, "scale": 2.0, "live": [2, 2], "reasons": []}
    assert index == {FIRST.name: plain, SECOND.name: {**plain, "float32": {"at": 4, "bound": 7.0}}}


def test_what_is_not_asked_is_left_out_or_said_to_be(written: Any) -> None:
    index, _ = written(
        (FIRST, {"float64": (FOUR, facts(asked=False)), "float32": (FOUR, facts())}),
        (SECOND, {"float64": (FOUR, facts()), "float32": (FOUR, facts(asked=False))}),
        (THIRD, {"float64": (FOUR, facts())}),  # its numbers are out of range
    )
    assert set(index) == {SECOND.name, THIRD.name}
    assert index[SECOND.name]["float32"] is None
    assert index[THIRD.name]["float32"] is None


def test_a_freedom_that_single_precision_does_not_have_is_taken_back(written: Any) -> None:
    index, _ = written(
        (FIRST, {"float64": (FOUR, facts(reasons=["a tie"], freedom="rotation")), "float32": (FOUR, facts())}),
    )
    assert index[FIRST.name]["freedom"] == "rotation"
    assert index[FIRST.name]["float32"] == {"reasons": [], "freedom": ""}


def test_the_index_has_a_case_a_line(written: Any, tmp_path: Path) -> None:
    written((FIRST, {"float64": (FOUR, facts())}), (THIRD, {"float64": (FOUR, facts())}))
    lines = (tmp_path / "data" / "cases.json").read_text().splitlines()
    assert [line.split(":{")[0] for line in lines[1:-1]] == [f'"{FIRST.name}"', f'"{THIRD.name}"']


def test_what_is_written_is_read_again_as_it_was(written: Any) -> None:
    """A shipped case, from what its index says of it, becomes the same case."""
    index, values = written((FIRST, {"float64": (FIRST.expected, facts(bound=FIRST.bound, live=[*FIRST.live]))}))
    record = index[FIRST.name]
    stored = np.array(values["ta"]).reshape(FIRST.shape)
    again = questions.with_answer(replace(FIRST, expected=None), stored, record)
    assert np.array_equal(again.expected, FIRST.expected)
    assert (again.bound, again.live, again.reasons) == (FIRST.bound, FIRST.live, ())


# ---- products that arithmetic gets exactly -----------------------------------------------------------------------
def case_of(B: float, A: float, s: float) -> Case:
    return replace(FIRST, updates=[(np.array([[B, B]]), np.array([[A], [A]]), s)])


@pytest.mark.parametrize(
    ("given", "double", "single"),
    [
        ((1.5, 0.5, 2.0), True, True),
        ((1 + 2.0**-20, 1.0, 1.0), True, True),
        ((1 + 2.0**-20, 1 + 2.0**-20, 1.0), True, False),  # of 41 bits
        ((1 + 2.0**-30, 1.0, 1.0), True, False),  # no such factor
        ((1 + 2.0**-30, 1 + 2.0**-30, 1.0), False, False),  # of 61 bits
        ((1.0, 1.0, 0.1), True, False),
        ((3.0, 1.0, 0.1), False, False),
        ((2.0**-100, 2.0**-100, 1.0), True, False),  # below the smallest
    ],
)
def test_products_are_exact_where_every_bit_has_room(given: tuple[float, ...], double: bool, single: bool) -> None:
    case = case_of(*given)
    assert solving.exact_products(case, FLOAT64) is double
    assert solving.exact_products(case, FLOAT32) is single


def test_layers_of_a_batch_are_taken_apart() -> None:
    (B, A, s), *_ = FIRST.updates
    assert solving.layers(FIRST) == [FIRST.updates]
    batch = replace(FIRST, updates=[(np.stack([B, 2 * B, 3 * B]), np.stack([A, A, -A]), s)])
    apart = solving.layers(batch)
    assert len(apart) == 3
    for ((b, a, scale),), x, y in zip(apart, (1, 2, 3), (1, 1, -1), strict=True):
        assert np.array_equal(b, x * B)
        assert np.array_equal(a, y * A)
        assert scale == s


# ---- precisions --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("size", "names"), [(1.0, ["float64", "float32"]), (1e35, ["float64"]), (1e-35, ["float64"])])
def test_a_case_is_solved_in_every_precision_that_has_room_for_its_numbers(size: float, names: list[str]) -> None:
    case = replace(case_of(size, 3.0, 2.0), params={"ta": {"weights": [0.5]}}, elsewhere={})
    found = solving.solve_in_all(case)
    assert list(found) == names
    for name, (expected, record) in found.items():
        np.testing.assert_allclose(expected, [[6 * size]], rtol=1e-15)  # ½ · 2 · [1 1] [3 3]ᵀ
        assert (record["reasons"], record["asked"]) == ([], True)
        # in units of the precision's own eps: ½ ‖2 B‖ ‖A‖, and as much for the frame of either side
        assert (record["bound"], record["scale"]) == (
            pytest.approx(18 * size, rel=1e-12, abs=0),
            pytest.approx(6 * size, rel=1e-12, abs=0),
        ), name


# ---- what ships --------------------------------------------------------------------------------------------------
def unlike(case: Case) -> list[str]:
    """What a case has, in either precision, that its solution does not say: its value, and all that is known of it."""
    solved, told = solving.solve_in_all(replace(case, expected=None, elsewhere={})), []
    for name in ("float64", "float32"):
        shipped = case.at(name)
        if shipped is None:
            told += [name] * (name in solved and solved[name][1]["asked"])
            continue
        expected, record = solved[name]
        again = questions.with_answer(replace(shipped, expected=None), expected, record)
        alike = {
            "asked": record["asked"],
            "expected": np.array_equal(again.expected, shipped.expected),
            "bound": again.bound == pytest.approx(shipped.bound, rel=1e-9, abs=0),
            "scale": again.scale == pytest.approx(shipped.scale, rel=1e-9, abs=0),
            "undecided": np.array_equal(again.undecided, shipped.undecided),
            "possible": [*map(len, again.possible)] == [*map(len, shipped.possible)]
            and np.allclose(np.hstack([0, *again.possible]), np.hstack([0, *shipped.possible]), rtol=1e-12),
            **{key: getattr(again, key) == getattr(shipped, key) for key in ("live", "reasons", "freedom")},
        }
        told += [f"{name}: {key}" for key, same in alike.items() if not same]
    return told


MERGES = ("ta", "mean", "ties", "tsv", "cart", "iso_cts", "drm")


@pytest.mark.parametrize("merge", MERGES)
def test_the_cases_that_ship_are_as_they_are_solved(merge: str) -> None:
    """Every configuration, in one space after the other: other implementations are held to these files."""
    pytest.importorskip("mpmath")
    asked = [c for c in cases("/generic") if questions.merge_of(c.method) == merge]
    configs = list(dict.fromkeys(c.config for c in asked))
    assert configs
    for place, config in enumerate(configs):
        spaces = [c for c in asked if c.config == config]
        case = spaces[place % len(spaces)]
        assert unlike(case) == [], case.name


OPEN = [
    "ties-count/core/generic", "drm/full/opposite", "ties/knots/parallel", "drm-vertical/core/generic",
    "iso-size/full/generic", "ties/core/tie_stack", "dare/core/near_stack", "tsv/full/near_task", "tsv/core/tie_task",
    "ties-model/core/layers", "tsv/core/batch", "drm/core/zero_b",
]  # fmt: skip


@pytest.mark.parametrize("name", OPEN)
def test_what_rounding_leaves_open_is_shipped_as_it_is_solved(name: str) -> None:
    """Entries, a rotation, null vectors, and more than can be judged; batches, and layers that meet."""
    pytest.importorskip("mpmath")
    (case,) = (c for c in cases(name) if c.name == name)
    assert unlike(case) == []


ODD = {
    "ta": ["core/denormal", "knots/rank0", "knots-unscaled/zero_b"],
    "mean": ["knots/balanced", "full/zero_b", "core/nothing"],
    "ties": ["core/rank0", "knots/huge", "knots-unscaled/rescaled", "full/signs", "full/all_zero"],
    "dare": ["knots-unscaled/float32", "core/column"],
    "tsv": ["core/deficient", "knots-unscaled/tall", "full/row", "core/all_zero"],
    "cart": ["core/duplicated", "knots-unscaled/single", "full/wide"],
    "iso": ["knots/opposite", "core/overfull", "knots-unscaled/square", "full/mixed"],
    "iso_cts": ["core/opposite", "full/single", "core/nothing"],
    "drm": ["full/tall", "knots-unscaled/zero_b", "core/nothing"],
}


@pytest.mark.parametrize("config", ODD)
def test_of_what_is_odd_the_shipped_is_what_is_solved(config: str) -> None:
    """Copies, zeros, cancelling tasks, tasks without rank, one row, numbers near the end of the range."""
    pytest.importorskip("mpmath")
    names = [f"{config}/{name}" for name in ODD[config]]
    asked = [case for case in cases() if case.name in names]
    assert len(asked) >= 2
    assert {case.name: told for case in asked if (told := unlike(case))} == {}
