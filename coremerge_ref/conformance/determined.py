"""The right answers of an ill-posed case: how far an answer is from the nearest of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np

from .model import Model, encode, one_sided_frame
from .model.arithmetic import Array, signed
from .questions import Case, norm

ANGLES = 180  # rotations that are looked at before the nearest ones are refined
REFINED = 3


def outside(case: Case, x: Array, tolerance: float) -> tuple[float, str]:
    """(distance from the right answers in units of the tolerance, what an answer beyond it gets wrong)."""
    if case.freedom == "entries":
        distance, what = from_entries(case, x), "the other entries and the values that these can have are determined"
    elif case.freedom == "rotation":
        distance, what = from_rotations(case, x), "it is so up to one rotation"
    elif case.freedom == "flat":
        distance, what = from_flat(case, x), "the directions with a singular value are determined, and all lengths"
    else:
        assert case.expected is not None
        distance, what = norm(x - case.expected), "nothing else was found to be right"
    return (distance / tolerance if tolerance else math.inf if distance else 0.0), what


def frames_of(case: Case) -> tuple[Array, Array]:
    """The frames (m, a), (n, b) in which the undecided entries are: those of the space, or DRM's on one side."""
    space = encode(Model(), case.updates, case.space)
    whole_left, whole_right = np.eye(case.shape[-2]), np.eye(case.shape[-1])
    u = whole_left if space.u is None else space.u
    v = whole_right if space.v is None else space.v
    p = case.params.get("drm")
    if p and p["direction"] == "horizontal":
        u = u @ one_sided_frame(Model(), space.stack, p["rank_cut"])
    elif p:
        v = v @ one_sided_frame(Model(), np.swapaxes(space.stack, 1, 2), p["rank_cut"])
    return (u if u is whole_left else signed(u)), (v if v is whole_right else signed(v))


def from_entries(case: Case, x: Array) -> float:
    """Every entry that is decided agrees, the others have one of their possible values."""
    assert case.expected is not None
    assert case.undecided is not None
    u, v = frames_of(case)
    inner, right = u.T @ x @ v, u.T @ case.expected @ v
    difference = inner - right
    for at, values in zip(np.flatnonzero(case.undecided), case.possible, strict=True):
        difference.flat[at] = min(abs(inner.flat[at] - value) for value in values)
    return math.hypot(norm(difference), norm(x - u @ inner @ v.T))


def from_rotations(case: Case, x: Array) -> float:
    """The nearest answer after a rotation in the plane of two equal singular values."""
    step = math.pi / ANGLES
    nearest = sorted((norm(answer - x), step * (i + 1)) for i, answer in enumerate(all_around(case)))[:REFINED]
    return min(least(lambda a: norm(rotated(case, a) - x), angle - step, angle + step) for _, angle in nearest)


def rotated(case: Case, angle: float) -> Array:
    """The right answer after a rotation."""
    return Model(rotation=angle, tied=2.0**13 * case.precision.eps)(case)


@lru_cache(maxsize=64)
def all_around(case: Case) -> list[Array]:
    """The right answers after ANGLES rotations, which all answers to the case are held against."""
    return [rotated(case, math.pi / ANGLES * (i + 1)) for i in range(ANGLES)]


def least(f: Callable[[float], float], low: float, high: float) -> float:
    """Least value of a function with one valley (golden-section search)."""
    ratio = (math.sqrt(5) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = f(a), f(b)
    for _ in range(50):
        if at_a < at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = f(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = f(b)
    return min(at_a, at_b)


def from_flat(case: Case, x: Array) -> float:
    """Isotropization that takes null vectors along: whatever these are, the directions with a singular value are where
    they belong, every singular value is the same, and nothing leaves the space."""
    assert case.expected is not None
    supported = Model()(replace(case, params={**case.params, "iso": {**case.params["iso"], "support": "rank"}}))
    p, s, qt = np.linalg.svd(supported)
    r = int(np.sum(s > s[0] / 2))
    p, q = p[:, :r], qt[:r].T
    u, v = frames_of(case)
    return math.hypot(
        norm(p.T @ (x - case.expected) @ q),
        norm(np.linalg.svd(x, compute_uv=False) - np.linalg.svd(case.expected, compute_uv=False)),
        norm(x - u @ (u.T @ x @ v) @ v.T),
    )
