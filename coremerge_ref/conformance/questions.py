"""The cases: inputs, every parameter, the expected value with its tolerance. Shipped as data, read once."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .configs import grid, params_for
from .families import FAMILIES
from .precision import FLOAT32, FLOAT64, Precision, as_precision
from .selecting import Patterns, selects

DATA = Path(__file__).parent / "data"
FORMAT = "coremerge-conformance-1"
SAFETY = 50.0
EPS = FLOAT64.eps


@dataclass(frozen=True, eq=False)
class Case:
    """One question to an implementation. ``updates``: (B (…, m, r), A (…, r, n), scale), ΔW = scale · B A.

    ``params``: stage name -> every parameter. A ``k`` of None is ⌊min(p, q) / T⌋ for tsv and the rounded fraction for
    cart, p and q the live size of the space. ``masks``: DARE's, True keeps; (T, p, q) in the coordinates of the space
    with p, q its size before dead directions are left out (those come last). ``freedom``: what is open where the answer
    is not determined: "entries" (those ``undecided``, in the coordinates of the space or of DRM's frame, each of which
    has one of its ``possible`` values), "rotation" (in the plane of two equal singular values) or "flat" (directions
    without a singular value, made as long as the others). ``elsewhere``: the case in other precisions.
    """

    name: str
    family: str
    config: str
    method: str
    space: str
    updates: list[tuple[np.ndarray, np.ndarray, float]]
    params: dict[str, dict[str, Any]]
    masks: np.ndarray | None = None
    expected: np.ndarray | None = None
    bound: float = 0.0
    scale: float = 0.0
    live: tuple[int, int] = (0, 0)
    reasons: tuple[str, ...] = ()
    undecided: np.ndarray | None = field(default=None, repr=False)
    precision: Precision = FLOAT64
    freedom: str = ""
    possible: tuple[tuple[float, ...], ...] = field(default=(), repr=False)
    elsewhere: dict[str, Case | None] = field(default_factory=dict, repr=False)

    def at(self, precision: str | Precision) -> Case | None:
        """The case as it is judged for an implementation that computes in ``precision``; None where it is not asked:
        numbers are out of its range, or rounding leaves open more than can be judged."""
        precision = as_precision(precision)
        if precision == self.precision:
            return self
        if precision.name in self.elsewhere:
            return self.elsewhere[precision.name]
        tops = [float(np.max(np.abs(x), initial=0.0)) for b, a, _ in self.updates for x in (b, a)]
        return replace(self, precision=precision) if all(map(precision.holds, tops)) else None

    @property
    def shape(self) -> tuple[int, ...]:
        """(…, m, n) of the answer."""
        b, a, _ = self.updates[0]
        return (*b.shape[:-1], a.shape[-1])

    @property
    def well_posed(self) -> bool:
        """Whether the answer is determined."""
        return not self.reasons

    @property
    def kappa(self) -> float:
        """Amplification of relative errors."""
        return self.bound / self.scale if self.scale else 1.0

    @property
    def note(self) -> str:
        """What the family of inputs is."""
        return FAMILIES[self.family][0] if self.family in FAMILIES else "drawn at random"

    @cached_property
    def tolerance(self) -> float:
        """50 κ eps ‖scale‖ and the rounding of the expected value itself."""
        assert self.expected is not None
        return SAFETY * self.precision.eps * self.bound + 2 * self.expected_error

    @cached_property
    def expected_error(self) -> float:
        """Bound on the error of ``expected``: each entry is the nearest float64 of a value known to 50 digits."""
        assert self.expected is not None
        return EPS / 2 * norm(self.expected) + 2.0**-1074 * self.expected.size**0.5


def norm(x: np.ndarray) -> float:
    """Frobenius norm without overflow or underflow on the way."""
    flat = np.asarray(x, dtype=np.float64).ravel()
    top = float(np.abs(flat).max(initial=0.0))
    if top == 0 or not math.isfinite(top):
        return top
    exponent = math.frexp(top)[1]
    scaled = np.ldexp(flat, -exponent)
    try:
        return math.ldexp(math.sqrt(float(scaled @ scaled)), exponent)
    except OverflowError:
        return math.inf


def sha256(path: Path) -> str:
    """Hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def static_size(updates: list[Any], space: str) -> tuple[int, int]:
    """Frame sizes before dead directions are left out: min(m, R), min(n, R), or m, n where there is no frame."""
    m, n = updates[0][0].shape[-2], updates[0][1].shape[-1]
    ranks = sum(b.shape[-1] for b, _, _ in updates)
    return (m, n) if space == "full" else (min(m, ranks), min(n, ranks) if space == "core" else n)


def draw(name: str, shape: tuple[int, ...], drop: float) -> np.ndarray:
    """Masks of a case: Philox keyed by its name; True keeps."""
    key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key)).random(int(np.prod(shape))).reshape(shape) >= drop


def pack_inputs() -> dict[str, np.ndarray]:
    """Every family's factors, bfloat16 held exactly in float32."""
    out = {}
    for family, (_, build) in FAMILIES.items():
        for t, (b, a, _) in enumerate(build()):
            for letter, x in (("B", b), ("A", a)):
                x = x.astype(np.float32) if x.dtype.name == "bfloat16" else x
                out[f"input/{family}/{t}/{letter}"] = np.ascontiguousarray(x)
    return out


def input_cases(stored: dict[str, np.ndarray] | None = None) -> Iterator[Case]:
    """All cases without expected values; the inputs rebuilt, or taken from ``stored``."""
    families = {name: build() for name, (_, build) in FAMILIES.items()}
    if stored is not None:
        for name, updates in families.items():
            families[name] = [
                (stored[f"input/{name}/{t}/B"].astype(b.dtype), stored[f"input/{name}/{t}/A"].astype(a.dtype), s)
                for t, (b, a, s) in enumerate(updates)
            ]
    for family, config_name, space, config in grid():
        updates, name = families[family], f"{config_name}/{space}/{family}"
        params, masks = params_for(config, len(updates)), None
        if "dare" in params:
            masks = draw(name, (len(updates), *static_size(updates, space)), params["dare"]["drop"])
        yield Case(name, family, config_name, config[0], space, updates, params, masks)


def with_answer(case: Case, expected: np.ndarray, record: dict[str, Any]) -> Case:
    """A case with its expected value and what a solution's record says of it."""
    mask, possible = None, tuple[tuple[float, ...], ...]()
    if "entries" in record:
        mask = np.zeros(record["entries"]["shape"], dtype=bool)
        mask.flat[[int(at) for at in record["entries"]["values"]]] = True
        possible = tuple(tuple(values) for values in record["entries"]["values"].values())
    for x in (expected, *([] if mask is None else [mask])):
        x.flags.writeable = False
    return replace(
        case, expected=expected, bound=record["bound"], scale=record["scale"], live=tuple(record["live"]),
        reasons=tuple(record["reasons"]), undecided=mask, freedom=record.get("freedom", ""), possible=possible,
    )  # fmt: skip


@cache
def _load() -> tuple[Case, ...]:
    from safetensors.numpy import load_file

    index = json.loads((DATA / "cases.json").read_text())
    stored = {path.stem: load_file(str(path)) for path in DATA.glob("*.safetensors")}
    out = []
    for case in input_cases(stored["inputs"]):
        record = index["cases"].get(case.name)
        if record is None:
            continue
        for x in (f for b, a, _ in case.updates for f in (b, a)):
            x.flags.writeable = False
        values, count = stored[merge_of(case.method)]["expected"], int(np.prod(case.shape))

        def answered(facts: dict[str, Any], case: Case = case, values: Any = values, count: int = count) -> Case:
            return with_answer(case, values[facts["at"] : facts["at"] + count].reshape(case.shape).copy(), facts)

        double, single = answered(record), None
        if record.get("float32", {}) is not None:
            single = replace(answered({**record, **record.get("float32", {})}), precision=FLOAT32)
        double.elsewhere["float32"] = single
        if single is not None:
            single.elsewhere["float64"] = double
        out.append(double)
    return tuple(out)


def merge_of(method: str) -> str:
    """The stage of a pipeline by which its expected values are filed: the first that is no transform."""
    return next(name for name in method.split("+") if name not in ("trim", "dare"))


def cases(only: Patterns = None, skip: Patterns = None, precision: str | Precision = FLOAT64) -> list[Case]:
    """All cases asked in ``precision``, or those that ``only`` and not ``skip`` names: parts of names, or globs of
    whole names. Arrays are read-only: ``run`` hands out copies."""
    return [at for c in _load() if selects(c.name, only, skip) and (at := c.at(precision)) is not None]
