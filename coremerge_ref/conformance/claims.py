"""The theorems as equations between an implementation's own answers: fn(first) = factor · left · fn(second) · right.

A claim needs no expected value but for linear merges and single updates, where it is the plain sum of products. Which
methods and spaces a theorem holds for is said with each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .configs import CART, CTS, DRM, SPACES, TIES
from .questions import Case

Update = tuple[np.ndarray, np.ndarray, float]
Params = dict[str, dict[str, Any]]
WEIGHTED = ("ta", "mean", "ties", "drm")

# pipelines at absolute settings, so that an answer does not hang on the size of a space
METHODS: dict[str, Params] = {
    "ta": {"ta": {}},
    "mean": {"mean": {}},
    "tsv": {"tsv": {"k": 2}},
    "cart": {"cart": {**CART, "k": 1, "coefficient": 1.5}},
    "ta+iso": {"ta": {}, "iso": {"support": "rank"}},
    "tsv+iso": {"tsv": {"k": 2}, "iso": {"support": "rank"}},
    "ties": {"ties": TIES},
    "drm": {"drm": {**DRM, "drop": 0.0}},  # tasks of rank 1 have equal magnitudes there: a threshold would be a tie
    "iso_cts": {"iso_cts": CTS},
}
ORTHOGONAL = ("ta", "mean", "tsv", "cart", "ta+iso", "tsv+iso")  # M ↦ E M F carries over for all orthogonal E and F
# what gives W for one task W, or for copies of it
IDENTITY: dict[str, Params] = {
    "ta": {"ta": {}},
    "mean": {"mean": {}},
    "tsv": {"tsv": {"k": 9}},
    "cart": {"cart": {**CART, "k": 9}},
    "ties": {"ties": {**TIES, "density": 1.0}},
}


def question(updates: list[Update], method: str, space: str, params: Params) -> Case:
    """A case of these updates, (B (m, r), A (r, n), scale) each; a stage's weights are 1 where none are given."""
    full = {
        stage: {"weights": [1.0] * len(updates), **given} if stage in WEIGHTED else dict(given)
        for stage, given in params.items()
    }
    return Case(f"{method}/{space}", "question", method, method, space, updates, full)


@dataclass(frozen=True)
class Draw:
    """What Hypothesis draws: a method in a space, updates, and a generator for what a theorem needs beside them."""

    method: str
    space: str
    updates: list[Update]
    rng: np.random.Generator

    def ask(self, updates: list[Update], params: Params | None = None, space: str | None = None) -> Case:
        """The question of the same method on these updates."""
        return question(updates, self.method, space or self.space, params or METHODS[self.method])


@dataclass(frozen=True)
class Claim:
    """fn(first) = factor · left · fn(second) · right; ``known`` stands in fn(second)'s place where there is none."""

    first: Case
    second: Case | None = None
    known: np.ndarray | None = None
    left: np.ndarray | None = None  # (m, m)
    right: np.ndarray | None = None  # (n, n)
    factor: float = 1.0
    transposed: bool = False

    def expected(self, answer: np.ndarray) -> np.ndarray:
        """What fn(first) is, given fn(second) or what is known."""
        answer = answer.T if self.transposed else answer
        answer = answer if self.left is None else self.left @ answer
        return self.factor * (answer if self.right is None else answer @ self.right)


@dataclass(frozen=True)
class Theorem:
    """``holds``: whether it does for a method in a space. ``alike``: draw one update only."""

    name: str
    sentence: str
    claim: Callable[[Draw], Claim]
    holds: Callable[[str, str], bool] = field(default=lambda method, space: True)
    alike: bool = False


def product(update: Update) -> np.ndarray:
    """ΔW (m, n)."""
    B, A, s = update
    return s * (B @ A)


def _one(d: Draw) -> Claim:
    return Claim(d.ask(d.updates[:1], IDENTITY[d.method]), known=product(d.updates[0]))


def _copies(d: Draw) -> Claim:
    count, method = int(d.rng.integers(2, 5)), IDENTITY[d.method]
    factor = float(count) if d.method == "ta" else 1.0
    return Claim(d.ask([d.updates[0]] * count, method), known=product(d.updates[0]), factor=factor)


def _linear(d: Draw) -> Claim:
    weights = [float(x) for x in d.rng.integers(-8, 9, len(d.updates)) / 4]
    if d.method == "mean":
        weights[0] += 8 * len(weights)  # away from a sum of zero
    total = sum(weights) if d.method == "mean" else 1.0
    known = np.asarray(sum(w * product(u) for w, u in zip(weights, d.updates, strict=True))) / total
    return Claim(d.ask(d.updates, {d.method: {"weights": weights}}), known=known)


def _refactored(d: Draw) -> Claim:
    """(B G, G⁻¹ A), G of integers and determinant ±1; signed permutations alone where entries in core count."""
    plain = d.method not in ORTHOGONAL and d.space == "core"
    changed = []
    for B, A, s in d.updates:
        G, inverse = _unimodular(d.rng, A.shape[0], shears=not plain)
        changed.append((B @ G * s, inverse @ A, 1.0))
    return Claim(d.ask(changed), d.ask(d.updates))


def _unimodular(rng: np.random.Generator, r: int, shears: bool) -> tuple[np.ndarray, np.ndarray]:
    """A matrix of small integers and its inverse, exact both."""
    G = np.eye(r)[rng.permutation(r)] * rng.choice([-1.0, 1.0], r)
    inverse = G.T.copy()
    if shears and r > 1:
        i, j = rng.permutation(r)[:2]
        step, back = np.eye(r), np.eye(r)
        step[i, j], back[i, j] = 2.0, -2.0
        G, inverse = G @ step, back @ inverse
    return G, inverse


def _order(d: Draw) -> Claim:
    order = [int(t) for t in d.rng.permutation(len(d.updates))]
    weights = [1.0 + t / 4 for t in range(len(d.updates))]
    return Claim(d.ask([d.updates[t] for t in order], weighted(d, [weights[t] for t in order])),
                 d.ask(d.updates, weighted(d, weights)))  # fmt: skip


def weighted(d: Draw, weights: list[float]) -> Params:
    """The method's parameters with these weights in the stages that have any."""
    return {stage: {**p, "weights": weights} if stage in WEIGHTED else p for stage, p in METHODS[d.method].items()}


def _turned(d: Draw) -> Claim:
    B, A, _ = d.updates[0]
    free = d.method in ORTHOGONAL
    E = _turn(d.rng, B.shape[0], free or d.space != "full")
    F = _turn(d.rng, A.shape[1], free or d.space == "core")
    return Claim(d.ask([(E @ B, A @ F, s) for B, A, s in d.updates]), d.ask(d.updates), left=E, right=F)


def _turn(rng: np.random.Generator, size: int, free: bool) -> np.ndarray:
    """An orthogonal matrix, a signed permutation where it is not free."""
    if free:
        return np.asarray(np.linalg.qr(rng.standard_normal((size, size)))[0])
    return np.eye(size)[rng.permutation(size)] * rng.choice([-1.0, 1.0], size)


def _scaled(d: Draw) -> Claim:
    factor = float(rng_sign(d.rng) * 2.0 ** int(d.rng.integers(-50, 51)))
    return Claim(d.ask([(B, A, factor * s) for B, A, s in d.updates]), d.ask(d.updates), factor=factor)


def rng_sign(rng: np.random.Generator) -> float:
    """1 or −1."""
    return float(rng.choice([1.0, -1.0]))


def _zero(d: Draw) -> Claim:
    B, A, s = d.updates[0]
    return Claim(d.ask([*d.updates, (np.zeros_like(B), A[:, ::-1].copy(), s)]), d.ask(d.updates))


def _weights(d: Draw) -> Claim:
    weights = [1.0 + t / 4 for t in range(len(d.updates))]
    doubled = [2 * w for w in weights]
    return Claim(d.ask(d.updates, weighted(d, doubled)), d.ask(d.updates, weighted(d, weights)),
                 factor=1.0 if d.method == "mean" else 2.0)  # fmt: skip


def _spaces(d: Draw) -> Claim:
    other = str(d.rng.choice([space for space in SPACES if space != d.space]))
    return Claim(d.ask(d.updates), d.ask(d.updates, space=other))


def _transposed(d: Draw) -> Claim:
    """The scale stays with B: the frames of the paper's basis are those of [s_t B_t] and [A_t]."""
    return Claim(d.ask([(A.T.copy(), s * B.T, 1.0) for B, A, s in d.updates]), d.ask(d.updates), transposed=True)


def _orthogonal(method: str, space: str) -> bool:
    return method in ORTHOGONAL


def _identity(method: str, space: str) -> bool:
    return method in IDENTITY


THEOREMS = (
    Theorem("lossless", "one task comes back", _one, _identity, alike=True),
    Theorem("copies", "copies of one task merge to it", _copies, _identity, alike=True),
    Theorem("linear", "a linear merge is the weighted sum of the updates, in every space", _linear,
            lambda method, space: method in ("ta", "mean")),
    Theorem("spaces", "an orthogonally equivariant method gives one update in every space", _spaces, _orthogonal),
    Theorem("refactoring", "(B G, G⁻¹ A) is the same update, and a scale may stand in B", _refactored,
            lambda method, space: method != "iso_cts"),
    Theorem("order", "tasks in another order, each with its weight, merge to the same", _order),
    Theorem("turns", "E ΔW F for all tasks gives E · merge · F: rotations where the method or the space allows them, "
            "signed permutations elsewhere", _turned, lambda method, space: method != "iso_cts"),
    Theorem("transposition", "transposed updates give the transposed merge", _transposed,
            lambda method, space: space != "knots" and method not in ("drm", "iso_cts")),
    Theorem("scale", "c times every update gives c times the merge, c = −1 included", _scaled),
    Theorem("zero task", "a task of zeros changes nothing", _zero,
            lambda method, space: method in ("ta", "tsv", "ta+iso", "tsv+iso") or (method, space) in (
                ("ties", "full"), ("ties", "knots"))),
    Theorem("weights", "twice the weights give twice the merge, and the same mean", _weights,
            lambda method, space: method in ("ta", "mean", "ties", "drm", "ta+iso")),
)  # fmt: skip
