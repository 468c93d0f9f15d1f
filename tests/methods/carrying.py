"""Errors given entry by entry, what a stage makes of them, and what it does when every entry moves by its error."""

import itertools
from typing import Any

import numpy as np
from examples import stack_of

from coremerge_ref.core.stages import Stage
from coremerge_ref.perturbation.carried import Errors, Level


def errors_of(entry: Any, name: str = "input", gauge_free: bool = False, eps: float = 1e-16, **rest: Any) -> Errors:
    """Errors of a stack whose entries are off by `entry` (T, p, q) at most, of rank 1, of tasks 0, 2, 4, …"""
    E = np.asarray(entry, dtype=float)
    T, p, q = E.shape
    level, delta = Level(name, "float64", eps, 1.0), np.asarray([np.linalg.norm(X) for X in E])
    errors = Errors(level, (p, q), delta, E, np.ones(T, dtype=int), tuple(range(0, 2 * T, 2)), gauge_free, {}, eps)
    for key, value in rest.items():
        setattr(errors, key, value)
    return errors


def carried(
    stage: Stage, M: Any, entry: Any, level: float = 0.0, weights: Any = None, **rest: Any
) -> tuple[Errors, np.ndarray]:
    """What the stage makes of errors `entry` of M (T, p, q), and of M; `level`: up to which entries count as zero."""
    T = len(M)
    before = stack_of(M, [level] * T, tuple(weights or (1.0,) * T))
    after = stage([before])
    errors = stage.propagate([errors_of(entry, **rest)], [before], after)
    return errors[0], np.asarray(after[0].M)


def moved(stage: Stage, M: Any, entry: Any, weights: Any = None, by_task: bool = False) -> np.ndarray:
    """How far each entry of the result gets when all entries of M move by `entry`, in all directions; by_task: those of
    a task in one, which is enough where no entry has a say in another."""
    M, E = np.asarray(M, dtype=float), np.asarray(entry, dtype=float)
    given = [0.0] * len(M), tuple(weights or (1.0,) * len(M))
    at, places, farthest = np.asarray(stage([stack_of(M, *given)])[0].M), np.nonzero(E), np.zeros(())
    for signs in itertools.product([-1.0, 1.0], repeat=len(M) if by_task else len(places[0])):
        X = M.copy()
        X[places] += np.asarray(signs)[places[0] if by_task else ...] * E[places]
        farthest = np.maximum(farthest, np.abs(np.asarray(stage([stack_of(X, *given)])[0].M) - at))
    return farthest


def margins_of(errors: Errors) -> list[tuple[str, Any, float]]:
    """What, task and value of each margin."""
    return [(margin.what, margin.task, round(margin.value, 12)) for margin in errors.margins]


def doubts_of(errors: Errors) -> list[str]:
    """Each sentence."""
    return [sentence for sentence, _ in errors.doubts]
