"""Random merges: sizes, kinds, dtypes, scales, weights, methods and spaces, each drawn from one seed."""

import re
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

import ml_dtypes
import numpy as np

import coremerge_ref as cm
from coremerge_ref.conformance.definition import Compressed
from coremerge_ref.core.spaces import SPACES as TABLE
from coremerge_ref.core.stages import KINDS as STAGE_KINDS
from coremerge_ref.core.stages import MERGE, POST, STAGES, TRANSFORM, UNKNOWN, Stage
from coremerge_ref.testing import KINDS, Recipe

DTYPES = {"float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
NUMBERS = (0.0, 0.01, 0.04, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.99, 1.0, -1.5)  # whatever of them a parameter takes
WHOLE = {"seed": tuple(range(50)), "steps": (0, 1, 10)}
RANKS = (None, 1, 2, 3, 50)
# from these seeds on; those below draw what they always did
SHAKEN, DEPENDENT = 2**32, 2**33
NOT_DRAWN = ("masks", "weights", "scope")  # of the call, or of several layers


def values(stage: type[Any], name: str) -> tuple[Any, ...]:
    """What is drawn for a parameter, by the type of its default: of words, those that its own error message lists."""
    default = next(f.default for f in fields(stage) if f.name == name)
    if isinstance(default, str):
        try:
            stage(**{name: "?"})
        except cm.ParameterError as error:
            words = re.search(r"one of (.*), got", str(error))
            return tuple(words[1].split(", ")) if words else (default,)
    if isinstance(default, bool):
        return (default, not default)
    if default is None or isinstance(default, int):
        return RANKS if default is None else WHOLE.get(name, (default,))
    return tuple(dict.fromkeys((default, *NUMBERS)))


def spaces() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Every space of the table in every form that it takes, and how the 60-digit definition is asked for it."""
    forms: dict[str, tuple[Any, dict[str, Any]]] = {}
    for name, space in TABLE.items():
        drawn = [values(space, f.name) for f in fields(space)]
        for form in product(*drawn):
            asked = dict(zip([f.name for f in fields(space)], form, strict=True))
            try:
                made = space(**asked)
            except cm.ParameterError:
                continue
            told = {"space": name, **asked} if made.lossless else {"space": Compressed(**asked)}
            forms[" ".join([name, *(f"{key}={value}" for key, value in asked.items())])] = made, told
    return forms


def settings(stage: type[Stage], one: Any) -> dict[str, Any]:
    """Parameters that the stage accepts together, and at which it has an answer."""
    while True:
        names = [f.name for f in fields(stage) if f.name not in NOT_DRAWN]  # type: ignore[arg-type]
        drawn = {name: one(values(stage, name)) for name in names}
        try:
            if stage(**drawn).equivariance != UNKNOWN:  # null vectors take part
                return drawn
        except cm.ParameterError:
            continue


def pipeline(one: Any) -> list[type[Stage]]:
    """Stages of the table: transforms, a merge and posts; a merge alone about half of the time."""
    kinds = {
        kind: [s for s in STAGES.values() if s.kind == kind and s.commutes_with != UNKNOWN] for kind in STAGE_KINDS
    }
    counts = {TRANSFORM: one((0, 0, 0, 0, 0, 0, 1, 1, 1, 2)), MERGE: 1, POST: one((0, 0, 0, 1))}
    drawn = [one(kinds[kind]) for kind, number in counts.items() for _ in range(number)]
    return list(dict.fromkeys(drawn))  # a stage stands once, since parameters are by name


SPACES = spaces()


@dataclass(frozen=True)
class Trial:
    """One merge, and everything it takes to ask for it again."""

    seed: int
    factors: list[tuple[np.ndarray, np.ndarray, float]]
    method: str
    parameters: dict[str, dict[str, Any]]
    space: str
    weights: list[float]
    precision: str

    @property
    def updates(self) -> list[cm.LowRankUpdate]:
        """As merge takes them."""
        return [cm.LowRankUpdate(B, A, s) for B, A, s in self.factors]

    @property
    def pipeline(self) -> cm.Pipeline:
        """The method with its parameters."""
        return cm.Pipeline.parse(self.method, self.parameters)

    def __str__(self) -> str:
        shapes = " ".join(f"{B.shape[0]}×{B.shape[1]}×{A.shape[1]}" for B, A, _ in self.factors)
        return (
            f"seed {self.seed}: {self.method} {self.parameters} in {self.space}, {self.precision}, {shapes}, "
            f"{self.factors[0][0].dtype}, weights {self.weights}"
        )


def draw(seed: int) -> Trial:
    """The trial of a seed."""
    rng = np.random.default_rng(seed)

    def one(values: Any) -> Any:
        return values[rng.integers(len(values))]

    tasks = int(one((1, 2, 2, 3, 3, 4)))
    m, n = (int(x) for x in rng.integers(1, 13, 2)) if rng.random() < 0.8 else (int(one((3, 9, 24))), 20)
    recipe = Recipe(
        m=m, n=n, ranks=tuple(int(r) for r in rng.integers(1, 5, tasks)), kind=str(one(list(KINDS))),
        decades=float(one((0.0, 0.3, 1.0, 3.0, 8.0))), seed=int(rng.integers(2**31)),
        scales=tuple(float(s) for s in rng.choice([1.0, 0.5, 2.0, -3.0, 1e-3, 1e3], tasks)),
    )  # fmt: skip
    dtype = DTYPES[one(("float64", "float64", "float32", "float16", "bfloat16"))]
    extreme = float(one((1.0,) * 12 + (1e30, 1e-30, 1e-37, 1e-150, 1e-310))) if dtype is np.float64 else 1.0
    regular = rng.random() < 0.2  # small whole numbers: ties, equal entries, exact cancellation
    factors = []
    for B, A, s in recipe.build():
        if regular:
            B, A = (rng.integers(-2, 3, X.shape).astype(float) for X in (B, A))
        factors.append(((B * extreme).astype(dtype), A.astype(dtype), float(s)))
    if seed >= SHAKEN:
        factors = shaken(factors, seed)
    if seed >= DEPENDENT:
        factors = [dependent(one, np.random.default_rng([seed, 2, t])) for t, one in enumerate(factors)]
    stages = pipeline(one)
    method = "+".join(stage.name for stage in stages)
    parameters = {stage.name: settings(stage, one) for stage in stages}
    weights = [float(w) for w in rng.choice([1.0, 1.0, 1.0, 0.5, -0.7, 1.6, 0.0, 1e-3], tasks)]
    if "mean" in method and abs(sum(weights)) < 1e-9:
        weights = [1.0] * tasks
    precision = "float64" if rng.random() < 0.6 else "float32"
    kept, lost = ([name for name, (space, _) in SPACES.items() if space.lossless is which] for which in (True, False))
    space = str(one(kept if rng.random() < 0.97 else lost))
    return Trial(seed, factors, method, parameters, space, weights, precision)


def shaken(factors: list[Any], seed: int) -> list[Any]:
    """The factors, whose differences may be no larger than their rounding: a third of the tasks that could are the
    first but for last bits, a sixth has half of its entries that small beside the others."""
    rng, (B, A, s) = np.random.default_rng([seed, 1]), factors[0]
    made = [factors[0]]
    for own in factors[1:]:
        kind, eps = rng.random(), float(ml_dtypes.finfo(A.dtype).eps)
        some = [rng.random(X.shape) < 0.5 for X in own[:2]]
        if kind < 1 / 3:
            last = np.where(rng.random(A.shape) < 0.5, rng.choice([-1.0, 1.0], A.shape) * eps, 0.0)
            own = B, (A.astype(np.float64) * (1 + last)).astype(A.dtype), s
        elif kind < 1 / 2:
            small = (np.where(where, X.astype(np.float64) * eps / 2, X) for X, where in zip(own[:2], some, strict=True))
            own = (*(X.astype(A.dtype) for X in small), own[2])
        made.append(own)
    return made


def dependent(factors: Any, rng: np.random.Generator) -> Any:
    """The factors of a task, of which in one case of four a column is, but for its last bits, a multiple of another, or
    a sum of two: arithmetic loses a direction there that rounding of the inputs brings back."""
    (B, A, s), kind = factors, rng.random()
    r = B.shape[1]
    if r < 2 or kind >= 1 / 4:
        return factors
    of_rows = rng.random() < 0.5
    X = (A.T if of_rows else B).astype(np.float64)
    some = X[:, : r - 1] @ rng.choice([-2.0, -0.5, 0.0, 1.0], r - 1)
    off = np.where(rng.random(len(X)) < 0.5, float(ml_dtypes.finfo(B.dtype).eps), 0.0) * (kind < 1 / 12)
    X[:, r - 1] = some * (1 + off)
    return (B, X.T.astype(A.dtype), s) if of_rows else (X.astype(B.dtype), A, s)


def with_factors(trial: Trial, factors: list[tuple[np.ndarray, np.ndarray, float]]) -> Trial:
    """The same merge of other factors."""
    return replace(trial, factors=factors)
