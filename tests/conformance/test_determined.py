"""How far an answer is from the nearest right one, where there are several."""

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from said import parts

from coremerge_ref.conformance import cases, determined
from coremerge_ref.conformance.determined import frames_of, from_flat, from_rotations, least, outside, rotated


def pick(name: str) -> Any:
    return next(c for c in cases(name) if c.name == name)


ENTRIES, ROTATION, FLAT = pick("ties-count/core/generic"), pick("tsv/full/tie_task"), pick("iso-size/full/generic")
NOISE = np.random.default_rng(0).standard_normal((10, 8))


@pytest.mark.parametrize("at", [0.0, 0.1, 1.7, 3.0])
def test_the_least_value_of_one_valley_is_found(at: float) -> None:
    asked = []

    def valley(x: float) -> float:
        asked.append(x)
        return abs(x - at) + 2

    assert least(valley, 0.0, 3.0) == pytest.approx(2, abs=1e-9)
    assert all(0 <= x <= 3 for x in asked)
    assert len(asked) == 52
    steep = least(lambda x: (x - at) ** 2, 0.0, 3.0)
    assert steep == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (ENTRIES, "the other entries … determined"),
        (ROTATION, "one rotation"),
        (FLAT, "directions … all lengths"),
        (replace(ENTRIES, freedom=""), "nothing else"),
    ],
    ids=["entries", "rotation", "flat", "none"],
)
def test_distances_are_in_units_of_the_tolerance_and_say_what_is_wrong(case: Any, said: str) -> None:
    near, what = outside(case, case.expected, 0.5)
    assert near < 1e-12
    assert re.search(parts(said), what)
    far = outside(case, case.expected + 0.1 * NOISE, 0.5)[0]
    assert far == pytest.approx(2 * outside(case, case.expected + 0.1 * NOISE, 1.0)[0])
    assert far > 0.1
    assert outside(case, case.expected + 0.1 * NOISE, 0.0)[0] == math.inf


def test_without_a_tolerance_only_the_right_answer_is_right() -> None:
    case = replace(ENTRIES, freedom="")
    assert outside(case, case.expected, 0.0)[0] == 0
    assert outside(case, case.expected + 1e-300, 0.0)[0] == 0  # the same number
    assert outside(case, 2 * case.expected, 0.0)[0] == math.inf


def test_where_nothing_is_open_the_distance_is_that_from_the_right_answer() -> None:
    case = replace(ENTRIES, freedom="")
    assert outside(case, case.expected + NOISE, 1.0)[0] == pytest.approx(np.linalg.norm(NOISE), rel=1e-12)


def test_decided_entries_and_what_leaves_the_frames_are_held_to_and_the_others_to_their_values() -> None:
    u, v = frames_of(ENTRIES)
    inner = u.T @ ENTRIES.expected @ v
    open_at, decided = np.flatnonzero(ENTRIES.undecided), np.flatnonzero(~ENTRIES.undecided)
    for values, at in zip(ENTRIES.possible, open_at, strict=True):
        for value in values:
            for off in (0.0, 0.01):
                other = inner.copy()
                other.flat[at] = value + off
                assert determined.from_entries(ENTRIES, u @ other @ v.T) == pytest.approx(off, abs=1e-10)
    other = inner.copy()
    other.flat[decided[0]] += 3.0
    outwards = np.linalg.svd(u)[0][:, -1:] @ np.ones((1, 8)) / 8**0.5  # what no task has
    assert determined.from_entries(ENTRIES, u @ other @ v.T + 4 * outwards) == pytest.approx(5, rel=1e-10)


@pytest.mark.parametrize("angle", [0.0, 0.01, 0.7, 1.5, 3.1])
def test_every_rotation_of_the_plane_is_as_right_and_what_is_added_is_not(angle: float) -> None:
    turned = rotated(ROTATION, angle)
    assert from_rotations(ROTATION, turned) < 1e-9
    out = from_rotations(ROTATION, turned + 1e-3 * NOISE)
    assert 0 < out <= 1e-3 * np.linalg.norm(NOISE)
    assert len(determined.all_around(ROTATION)) == 180


def test_flat_directions_are_held_to_their_lengths_their_place_and_their_space() -> None:
    s = np.linalg.svd(FLAT.expected, compute_uv=False)
    assert s == pytest.approx([s[0]] * 8)
    assert from_flat(FLAT, FLAT.expected) < 1e-12
    assert from_flat(FLAT, 1.5 * FLAT.expected) == pytest.approx(
        math.hypot(0.5 * s[0] * 8**0.5, 0.5 * s[0] * 6**0.5), rel=1e-9
    )  # eight lengths, and six directions with a singular value
    mirrored = -FLAT.expected
    assert from_flat(FLAT, mirrored) == pytest.approx(2 * s[0] * 6**0.5, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "left", "right"),
    [
        ("ta/full/generic", 10, 8),
        ("ta/knots/generic", 6, 8),
        ("ta/core/generic", 6, 6),
        ("drm/full/generic", 6, 8),
        ("drm-vertical/full/generic", 10, 6),
    ],
)
def test_undecided_entries_are_in_the_frames_of_the_space_or_of_drm(name: str, left: int, right: int) -> None:
    u, v = frames_of(pick(name))
    assert (u.shape, v.shape) == ((10, left), (8, right))
    for frame in (u, v):
        np.testing.assert_allclose(frame.T @ frame, np.eye(frame.shape[1]), atol=1e-13)
