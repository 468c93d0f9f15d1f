"""What methods are checked on: small generic updates, stacks made of them, and the libraries at hand."""

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.merging import merge
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.core.stages import POST, Stage
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.testing.builders import Factors, Recipe
from coremerge_ref.testing.ratios import THRESHOLD, ratio

EPS = arrays.eps("float64")
RECIPE = Recipe(8, 7, (2, 3, 2), scales=(1.0, 0.5, 2.0), seed=24)  # three tasks that differ in rank and scale


def updates(factors: list[Factors] | None = None) -> list[LowRankUpdate]:
    """The factors, those of RECIPE by default, as updates."""
    return [LowRankUpdate(B, A, s) for B, A, s in (RECIPE.build() if factors is None else factors)]


def matrices() -> np.ndarray:
    """The stack M (3, 8, 7) of RECIPE's updates."""
    return np.stack([s * B @ A for B, A, s in RECIPE.build()])


def with_masks(stage: Stage, masks: np.ndarray) -> Stage:
    """The stage with `masks` (T, p, q) in place of random ones, if it draws any."""
    return replace(stage, masks=masks) if draws(stage) else stage  # type: ignore[type-var]


def draws(stage: Stage) -> bool:
    """Whether the stage has random masks, which can be passed in."""
    return any(field.name == "masks" for field in fields(stage))  # type: ignore[arg-type]


def apply(stage: Stage, M: np.ndarray, live: tuple[int, int] | None = None) -> np.ndarray:
    """What the stage alone makes of M (T, p, q) of `live` size; a post is given the sum."""
    rows, cols = (arrays.sizes(size, M) for size in live or M.shape[-2:])
    level = np.asarray(linalg.thresholds(M.dtype)[1] * linalg.norm(M))  # (T,)
    if stage.kind == POST:
        total = M.sum(axis=0)
        total.flags.writeable = M.flags.writeable
        return np.asarray(stage([Merged(total, level.sum(), rows, cols)])[0].M)
    tasks = tuple(range(len(M)))
    return np.asarray(stage([Stack(M, level, rows, cols, (1.0,) * len(M), tasks, ("",))])[0].M)


def merged(stage: Stage, given: Any = None, **options: Any) -> np.ndarray:
    """What `merge` makes of the updates, RECIPE's by default, with this stage in its pipeline, as NumPy (…, m, n)."""
    update = merge(updates() if given is None else given, Pipeline([stage]), **options)
    return np.asarray(arrays.to_host(update.to_dense()), dtype=np.float64)


def assert_close(actual: Any, expected: Any, scale: float, kappa: float, what: str, eps: float = EPS) -> None:
    """AssertionError unless the error ratio is at most THRESHOLD; scale: the size of what went in."""
    found = ratio(actual, expected, scale, eps, kappa)
    assert found <= THRESHOLD, f"{what}: the error is {found:.3g} in units of κ eps, κ = {kappa:.3g}"


def kappa(function: Callable[[np.ndarray], np.ndarray], M: np.ndarray, step: float = 1e-7) -> float:
    """How much larger than `step` the change of function(M) is, relative to Σ‖M_t‖, where M changes by it; ≥ 1."""
    rng, worst, before = np.random.default_rng(1), 1.0, function(M)
    for _ in range(4):
        E, F = (rng.standard_normal((k, k)) for k in M.shape[-2:])
        moved = M + step * (E / np.linalg.norm(E, 2) @ M + M @ F / np.linalg.norm(F, 2))
        worst = max(worst, 4 * float(np.linalg.norm(function(moved) - before)) / step / size(M))
    return worst


def kappa_alone(stage: Stage, M: np.ndarray) -> float:
    """kappa of the stage by itself."""
    return kappa(partial(apply, stage), M)


def kappa_merged(stage: Stage, M: np.ndarray, step: float = 1e-7) -> float:
    """kappa of a merge with the stage, the largest over spaces_of(stage)."""

    def run(X: np.ndarray, space: str) -> np.ndarray:
        return merged(stage, factored(X), space=space)

    return max(kappa(partial(run, space=space), M, step) for space in spaces_of(stage))


def size(M: np.ndarray) -> float:
    """Σ_t ‖M_t‖, the scale of rounding."""
    return float(np.linalg.norm(M, axis=(-2, -1)).sum())


def factored(M: np.ndarray) -> list[LowRankUpdate]:
    """Updates of the matrices M (T, m, n), as M · I."""
    return [LowRankUpdate(M_t, np.eye(M.shape[-1])) for M_t in M]


def spaces_of(stage: Stage) -> tuple[str, ...]:
    """Where two computations may be compared: in full space alone where turned signs of basis vectors matter."""
    return ("full",) if "check_commutes_as_claimed" in stage.expected_failures else ("core", "full")


def libraries() -> dict[str, Callable[[np.ndarray], Any]]:
    """Functions that make an array of each array library that is installed, beside NumPy."""
    made: dict[str, Callable[[np.ndarray], Any]] = {}
    if find_spec("array_api_strict"):
        import array_api_strict

        made["array_api_strict"] = array_api_strict.asarray
    if find_spec("torch"):
        import torch

        made["torch"] = torch.asarray
    if find_spec("jax"):
        import jax

        if jax.config.read("jax_enable_x64"):
            made["jax"] = jax.numpy.asarray
    if find_spec("cupy"):
        cupy = import_module("cupy")  # which has no types

        if cupy.is_available():
            made["cupy"] = cupy.asarray
    return made
