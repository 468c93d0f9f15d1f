"""Hold an implementation to the theorems on random updates: no expected values, failures shrunk to a few numbers.

    from coremerge_ref import conformance
    print(conformance.check_properties(my_merge).summary())

Needs Hypothesis (the extra "conformance").
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .answers import ANSWERED, BROKEN, UNSUPPORTED, Answer, Function
from .asking import ask
from .claims import METHODS, THEOREMS, Claim, Draw, Theorem
from .configs import SPACES
from .isolate import Here, Worker, asker
from .loading import name_of
from .outcomes import Outcome, PropertyReport, reproduction
from .precision import as_precision
from .questions import norm
from .sensitivity import conditioned

EXAMPLES = 8  # of each theorem for each method and space
THRESHOLD = 50.0  # as for the cases: error in units of κ · eps · size
WORST = 1e-3  # relative error that the condition of an example may allow; it says nothing above
Pairs = list[tuple[str, str]]


def check_properties(
    fn: Function | str, *, only: Iterable[str] | None = None, examples: int = EXAMPLES, seed: int | None = None,
    precision: str = "float64", isolate: bool = False, timeout: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PropertyReport:  # fmt: skip
    """Draw ``examples`` for each theorem (``only`` some of their names), method and space that ``fn`` supports, and
    report what holds. A new seed is drawn where none is given; the report tells it."""
    from .generated import fresh_seed

    start, seed = time.perf_counter(), fresh_seed() if seed is None else seed
    chosen = theorems(only)
    with asker(fn, isolate, timeout) as way:
        pairs, outcomes = supported_pairs(way), []
        for count, theorem in enumerate(chosen):
            outcomes.append(hold(way, theorem, pairs, examples, seed, precision, name_of(fn)))
            if progress is not None:
                progress(count + 1, len(chosen))
    return PropertyReport(outcomes, name_of(fn), seed, precision, time.perf_counter() - start)


def theorems(only: Iterable[str] | None = None) -> list[Theorem]:
    """All, or those named; ValueError for a name that none has."""
    names = [t.name for t in THEOREMS]
    strange = sorted(set(only or ()) - set(names))
    if strange:
        raise ValueError(f"no such properties: {', '.join(strange)}; there are {', '.join(names)}")
    return [t for t in THEOREMS if not only or t.name in set(only)]


def supported_pairs(way: Here | Worker) -> Pairs:
    """The methods and spaces that the function answers or breaks on, asked one small question each."""
    rng = np.random.default_rng(0)
    updates = [(rng.standard_normal((3, 1)), rng.standard_normal((1, 4)), 1.0) for _ in range(2)]
    return [
        (method, space)
        for method in METHODS
        for space in SPACES
        if ask(way, Draw(method, space, updates, rng).ask(updates)).kind != UNSUPPORTED
    ]


class Violated(Exception):
    """An example on which a theorem does not hold."""


@dataclass
class Trial:
    """One theorem asked of one function for one method and space: how often, and the last failing example, the
    smallest in the end."""

    way: Here | Worker
    theorem: Theorem
    precision: str
    count: int = 0
    failing: tuple[Claim, str] | None = None

    def __call__(self, draw: Draw) -> None:
        """Ask one example; Violated where the theorem does not hold on it."""
        from hypothesis import assume

        if self.failing is not None and self.failing[1].startswith(DEAD):
            return  # a process that was lost is not asked for a smaller example
        claim = self.theorem.claim(draw)
        why, telling = violation(self.way, claim, self.precision)
        assume(telling)
        self.count += 1
        if why:
            self.failing = claim, why
            raise Violated(why)


def hold(
    way: Here | Worker, theorem: Theorem, pairs: Pairs, examples: int, seed: int, precision: str, name: str
) -> Outcome:
    """The theorem on drawn examples of each method and space that it is about; failing ones are shrunk."""
    trials: dict[tuple[str, str], Trial] = {}
    for pair in pairs:
        if theorem.holds(*pair):
            smallest = not any(t.failing for t in trials.values())  # one example is shown, so one is shrunk
            trials[pair] = _tried(Trial(way, theorem, precision), *pair, examples, seed, smallest)
    count = sum(t.count for t in trials.values())
    tested, failed = [p for p, t in trials.items() if t.count], [p for p, t in trials.items() if t.failing]
    verdict = "fail" if failed else "pass" if count else "unsupported"
    outcome = Outcome(theorem.name, theorem.sentence, verdict, count, tested, failed)
    if not failed:
        return outcome
    claim, why = trials[failed[0]].failing or (None, "")
    assert claim is not None
    return replace(outcome, why=why, code=reproduction(claim, name, why))


def _tried(trial: Trial, method: str, space: str, examples: int, seed: int, shrink: bool) -> Trial:
    import hypothesis as hyp
    from hypothesis.errors import Flaky, Unsatisfiable

    @hyp.seed(seed)
    @hyp.settings(
        max_examples=examples, database=None, deadline=None, print_blob=False, report_multiple_bugs=False,
        suppress_health_check=list(hyp.HealthCheck),
        phases=(hyp.Phase.generate, hyp.Phase.shrink) if shrink else (hyp.Phase.generate,),
    )  # fmt: skip
    @hyp.given(_strategy(trial.theorem, method, space))
    def holds(draw: Draw) -> None:
        trial(draw)

    with contextlib.suppress(Violated, Flaky, Unsatisfiable):
        holds()
    return trial


DEAD = ("the function ended", "no answer within", "not asked", "printed more", "damaged")


def violation(way: Here | Worker, claim: Claim, precision: str = "float64") -> tuple[str, bool]:
    """(what is wrong, or nothing; whether the example says anything: supported and well conditioned)."""
    eps = as_precision(precision).eps
    kappa, size = conditioned(claim)
    if not THRESHOLD * kappa * eps <= WORST:
        return "", False
    first = ask(way, claim.first)
    second = ask(way, claim.second) if claim.second is not None else Answer(ANSWERED, claim.known)
    for answer, case in ((first, claim.first), (second, claim.second)):
        if answer.kind == UNSUPPORTED:
            return "", False
        if answer.kind == BROKEN or answer.array is None:
            return answer.message, True
        if answer.kind != ANSWERED:
            return "the inputs were changed in place", True
        if case is not None and answer.array.shape != case.shape:
            return f"shape {answer.array.shape} where {case.shape} is expected", True
        if answer.array.dtype.kind == "c" or not np.all(np.isfinite(answer.array.astype(np.float64))):
            return "NaN, infinity or complex numbers in the result", True
    assert first.array is not None
    assert second.array is not None
    expected = claim.expected(second.array.astype(np.float64))
    error = norm(first.array.astype(np.float64) - expected)
    if error <= THRESHOLD * kappa * eps * size:
        return "", True
    relative = error / norm(expected) if norm(expected) else float("inf")
    return f"the two sides differ by {relative:.2g} of their size", True


def _strategy(theorem: Theorem, method: str, space: str) -> Any:
    from hypothesis import strategies as st

    @st.composite
    def draws(draw: Any) -> Draw:
        m, n = draw(st.integers(1, 6)), draw(st.integers(1, 6))
        tasks = 1 if theorem.alike else draw(st.integers(1, 4))
        ranks = draw(st.lists(st.integers(1, 3), min_size=tasks, max_size=tasks))
        kind = draw(st.sampled_from(["generic", "copied", "zero", "empty"])) if tasks > 1 else "generic"
        scales = draw(st.lists(st.sampled_from([1.0, 2.0, 0.5, -1.0, 3.0]), min_size=tasks, max_size=tasks))
        rng = np.random.default_rng(draw(st.integers(0, 2**16)))
        updates = [(_entries(rng, m, r), _entries(rng, r, n), s) for r, s in zip(ranks, scales, strict=True)]
        B, A, s = updates[-1]
        if kind == "copied":
            updates[-1] = updates[0]
        elif kind == "zero":
            updates[-1] = (B * 0, A, s)
        elif kind == "empty":
            updates[-1] = (B[:, :0], A[:0], s)
        return Draw(method, space, updates, rng)

    return draws()


def _entries(rng: np.random.Generator, rows: int, cols: int) -> np.ndarray:
    """Thousandths up to 2: short to print, and no float32 numbers."""
    return np.asarray(rng.integers(-2000, 2001, (rows, cols)) / 1000)
