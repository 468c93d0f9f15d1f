"""Invalid input: what a right implementation refuses. Asked last, judged apart, never required: no verdict and no exit
code depends on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .answers import ANSWERED, CHANGED, UNSUPPORTED, Answer
from .configs import CONFIGS, params_for
from .families import FAMILIES
from .isolate import Here, Worker
from .questions import Case
from .selecting import Patterns, selects
from .supports import supported
from .text import clean

Updates = list[tuple[np.ndarray, np.ndarray, float]]
Params = dict[str, dict[str, Any]]
REFUSED, TAKEN, NOT_FINITE = "refused", "taken", "not finite"


@dataclass(frozen=True, eq=False)
class InvalidCase(Case):
    """A question that has no answer; ``shape`` is what the answer would have if the input were right."""

    wrong: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """(m, n) of the generic family."""
        b, a, _ = FAMILIES["generic"][1]()[0]
        return b.shape[0], a.shape[1]


@dataclass(frozen=True)
class Reaction:
    """``outcome``: refused (an error), taken (finite numbers came out), not finite (NaN or infinity came out), or
    unsupported. ``said``: the error's message."""

    case: str
    wrong: str
    outcome: str
    said: str = ""

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return {"case": clean(self.case), "wrong": self.wrong, "outcome": self.outcome, "said": clean(self.said)}


def entry(factor: int, value: Any) -> Callable[[Updates], Updates]:
    """One entry of the second task's B (0) or A (1) replaced."""

    def changed(updates: Updates) -> Updates:
        parts: list[Any] = [x.copy() if isinstance(x, np.ndarray) else x for x in updates[1]]
        parts[factor][1, 1] = value
        return [updates[0], (parts[0], parts[1], parts[2]), *updates[2:]]

    return changed


def second(change: Callable[[Any, Any, float], Any]) -> Callable[[Updates], Updates]:
    """The second task replaced."""
    return lambda updates: [updates[0], change(*updates[1]), *updates[2:]]


def setting(**values: Any) -> Callable[[Params], Params]:
    """Parameters replaced in the stages that have them."""
    return lambda params: {s: {k: values.get(k, v) for k, v in p.items()} for s, p in params.items()}


# name -> (what is wrong, what is done to the updates of ``generic``)
UPDATES: dict[str, tuple[str, Callable[[Updates], Updates]]] = {
    "nan-in-b": ("NaN in B of the second task", entry(0, np.nan)),
    "nan-in-a": ("NaN in A of the second task", entry(1, np.nan)),
    "infinity-in-b": ("infinity in B of the second task", entry(0, np.inf)),
    "nan-scale": ("the second task's scale is NaN", second(lambda b, a, s: (b, a, float("nan")))),
    "no-task": ("no task at all", lambda updates: []),
    "other-shape": ("the second task has one row less", second(lambda b, a, s: (b[:-1], a, s))),
    "ranks-disagree": ("B has one column less than A has rows", second(lambda b, a, s: (b[:, :-1], a, s))),
    "b-is-a-vector": ("B of the second task is a vector", second(lambda b, a, s: (b[:, 0], a, s))),
    "complex": ("B of the second task is complex", second(lambda b, a, s: (b + 0j, a, s))),
    "overflow": (
        "the product is beyond float64",
        second(lambda b, a, s: (b * 2.0**600, a * 2.0**600, s)),
    ),
}
METHODS = ("ta-plain", "ties", "tsv")
# name -> (what is wrong, configuration, what is done to its parameters)
SETTINGS: dict[str, tuple[str, str, Callable[[Params], Params]]] = {
    "weight-missing": ("a weight for two of three tasks", "ta", setting(weights=[1.0, 2.0])),
    "nan-weight": ("a weight is NaN", "ta", setting(weights=[1.0, float("nan"), 2.0])),
    "weights-sum-to-zero": ("the weights of a mean sum to zero", "mean", setting(weights=[1.0, -2.0, 1.0])),
    "density-above-1": ("a density of 1.5", "ties", setting(density=1.5)),
    "density-below-0": ("a density of -0.5", "ties", setting(density=-0.5)),
    "unknown-choice": ("keep is 'most'", "ties", setting(keep="most")),
    "drop-1": ("a drop rate of 1, which rescales by infinity", "dare", setting(drop=1.0)),
    "rank-0": ("k is 0", "tsv", setting(k=0)),
    "rank-below-0": ("k is -1", "cart", setting(k=-1)),
}


def invalid_cases(only: Patterns = None, skip: Patterns = None) -> list[InvalidCase]:
    """The cases whose names, ``invalid/...``, are chosen."""
    return [case for case in _all() if selects(case.name, only, skip)]


def _all() -> Iterator[InvalidCase]:
    for name, (wrong, bent) in UPDATES.items():
        for config in METHODS:
            yield _case(f"invalid/{name}/{config}", wrong, config, change=bent)
    for name, (wrong, config, bent_params) in SETTINGS.items():
        yield _case(f"invalid/{name}", wrong, config, params=bent_params)
    masks = np.ones((3, 3, 3), dtype=bool)
    yield replace(_case("invalid/masks-of-other-shape", "DARE's masks are 3 × 3", "dare"), masks=masks)


def _case(
    name: str, wrong: str, config: str, change: Callable[[Updates], Updates] = lambda updates: updates,
    params: Callable[[Params], Params] = lambda params: params,
) -> InvalidCase:  # fmt: skip
    updates, chosen = FAMILIES["generic"][1](), CONFIGS[config]
    given = params(params_for(chosen, len(updates)))
    size = updates[0][0].shape[0], updates[0][1].shape[1]
    masks = np.ones((3, *size), dtype=bool) if "dare" in given else None
    return InvalidCase(name, "invalid", config, chosen[0], "full", change(updates), given, masks, wrong=wrong)


def react(way: Here | Worker, cases: Sequence[InvalidCase]) -> list[Reaction]:
    """What the function does with each."""
    return [_reaction(case, way.answer(case)) for case in cases if supported(case, way.supports)]


def _reaction(case: InvalidCase, answer: Answer) -> Reaction:
    if answer.kind == UNSUPPORTED:
        return Reaction(case.name, case.wrong, UNSUPPORTED)
    if answer.kind not in (ANSWERED, CHANGED):
        return Reaction(case.name, case.wrong, REFUSED, answer.message)
    array = np.asarray(answer.array)
    finite = array.dtype.kind not in "fc" or bool(np.isfinite(array).all())
    return Reaction(case.name, case.wrong, TAKEN if finite else NOT_FINITE)


def told(reactions: Sequence[Reaction]) -> list[str]:
    """Lines for the first screen: how many were refused, and what came out of the others."""
    asked = [r for r in reactions if r.outcome != UNSUPPORTED]
    if not asked:
        return []
    refused = sum(r.outcome == REFUSED for r in asked)
    lines = ["", f"invalid input, which nothing is required of: {refused} of {len(asked)} refused"]
    for outcome, words in ((TAKEN, "gave finite numbers"), (NOT_FINITE, "gave NaN or infinity")):
        wrongs = list(dict.fromkeys(r.wrong for r in asked if r.outcome == outcome))
        if wrongs:
            lines.append(f"    {words}: {'; '.join(wrongs)}")
    return lines
