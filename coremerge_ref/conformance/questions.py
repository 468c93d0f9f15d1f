"""The cases: inputs, every parameter, the expected value with its tolerance. Shipped as data, read once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .configs import grid, params_for
from .families import FAMILIES
from .precision import FLOAT64, Precision, as_precision
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
    with p, q its size before dead directions are left out (those come last).
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

    def at(self, precision: str | Precision) -> Case | None:
        """The case as it is judged for an implementation that computes in ``precision``; None where it is not asked:
        the numbers are out of its range."""
        precision = as_precision(precision)
        if precision == self.precision:
            return self
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

    @property
    def tolerance(self) -> float:
        """50 κ eps ‖scale‖ and the rounding of the expected value itself."""
        assert self.expected is not None
        return SAFETY * self.precision.eps * self.bound + 2 * self.expected_error

    @property
    def expected_error(self) -> float:
        """Bound on the error of ``expected``: each entry is the nearest float64 of a value known to 50 digits."""
        assert self.expected is not None
        return EPS / 2 * norm(self.expected) + 2.0**-1074 * self.expected.size**0.5


def norm(x: np.ndarray) -> float:
    """Frobenius norm without overflow or underflow on the way."""
    x = np.asarray(x, dtype=np.float64)
    top = float(np.max(np.abs(x), initial=0.0))
    if top == 0 or not np.isfinite(top):
        return top
    return float(np.linalg.norm(np.ldexp(x, -int(np.frexp(top)[1])))) * 2.0 ** int(np.frexp(top)[1])


def sha256(path: Path) -> str:
    """Hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def static_size(updates: list[Any], space: str) -> tuple[int, int]:
    """Frame sizes before dead directions are left out: min(m, R), min(n, R), or m, n where there is no frame."""
    m, n = updates[0][0].shape[-2], updates[0][1].shape[-1]
    ranks = sum(b.shape[-1] for b, _, _ in updates)
    return (m, n) if space == "full" else (min(m, ranks), n if space == "knots" else min(n, ranks))


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


@cache
def _load() -> tuple[Case, ...]:
    from safetensors.numpy import load_file

    index = json.loads((DATA / "cases.json").read_text())
    stored = load_file(str(DATA / "cases.safetensors"))
    out, at = [], 0
    for case in input_cases(stored):
        record, count = index["cases"][case.name], int(np.prod(case.shape))
        expected, at = stored["expected"][at : at + count].reshape(case.shape), at + count
        mask = None
        if "undecided" in record:
            mask = np.zeros(record["live"], dtype=bool)
            mask.flat[record["undecided"]] = True
        for x in (expected, *(f for b, a, _ in case.updates for f in (b, a)), *([] if mask is None else [mask])):
            x.flags.writeable = False
        out.append(
            replace(
                case, expected=expected, bound=record["bound"], scale=record["scale"],
                live=tuple(record["live"]), reasons=tuple(record["reasons"]), undecided=mask,
            )
        )  # fmt: skip
    return tuple(out)


def cases(only: Patterns = None, skip: Patterns = None, precision: str | Precision = FLOAT64) -> list[Case]:
    """All cases asked in ``precision``, or those that ``only`` and not ``skip`` names: parts of names, or globs of
    whole names. Arrays are read-only: ``run`` hands out copies."""
    return [at for c in _load() if selects(c.name, only, skip) and (at := c.at(precision)) is not None]
