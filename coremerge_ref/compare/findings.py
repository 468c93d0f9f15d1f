"""What was found: hypotheses with their fitted numbers and how far they are from the merged update."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coremerge_ref.compare.candidates import Candidate
from coremerge_ref.methods.dialects import DIALECTS

_PLAIN = 1e-5  # a fitted number this close to a plain one, relatively, is shown as that


@dataclass(frozen=True, eq=False)
class Match:
    """One hypothesis. numbers: fitted, as candidate.unknowns names them.

    distance: ‖Σ c_i X_i − Y‖ / ‖Y‖ over all layers. worst: the layer that is farthest off, relatively, and how far.
    truncated: the hypothesis holds after the best approximation of each layer's rank.
    """

    candidate: Candidate
    numbers: tuple[float, ...]
    distance: float
    worst: tuple[str, float] = ("", 0.0)
    truncated: bool = False

    def fitted(self) -> dict[str, float]:
        """The fitted numbers by name: equal weights as one scale, CART's as scale and coefficient."""
        values = dict(zip(self.candidate.unknowns, self.numbers, strict=True))
        if len(values) > 1 and self.candidate.unknowns[0] != "scale":
            if _spread(self.numbers) <= _PLAIN:
                return {"scale": _plain(sum(self.numbers) / len(self.numbers))}
            return {name: _plain(value, max(map(abs, self.numbers))) for name, value in values.items()}
        if "scale" not in values:
            return {name: _plain(value) for name, value in values.items()}
        scale = values.pop("scale")
        parts = {name.removeprefix("scale · "): _plain(v / scale) if scale else v for name, v in values.items()}
        return {"scale": _plain(scale), **parts}

    def settings(self) -> dict[str, Any]:
        """The parameters that the hypothesis sets, as stage.parameter → value."""
        return {f"{stage}.{k}": v for stage, values in self.candidate.parameters.items() for k, v in values.items()}

    def _told_apart(self) -> bool:
        """Whether naming dialects says something: some have this function, not all."""
        return 0 < len(self.candidate.dialects) < len(DIALECTS) and self.candidate.space not in ("any", "factors")

    def describe(self) -> str:
        """The hypothesis in one line."""
        one = self.candidate
        where = {"any": "in any space", "factors": ""}.get(one.space, f"in {one.space} space")
        numbers = [f"{k} {v:.6g}" for k, v in self.fitted().items()]
        settings = [f"{k}={'relative' if v is None else v}" for k, v in self.settings().items()]
        dialects = f"dialect {' or '.join(one.dialects)}" if self._told_apart() else ""
        cut = "truncated to the stored rank" if self.truncated else ""
        return ", ".join(
            x for x in (f"{one.method} {where}".strip(), *settings, dialects, *numbers, cut, one.mistake) if x
        )

    def as_json(self, eps: float) -> dict[str, Any]:
        """The hypothesis and its distances; eps of the stored dtype."""
        one = self.candidate
        return {
            "method": one.method, "space": one.space, "parameters": self.settings(), "dialects": list(one.dialects),
            "fitted": self.fitted(), "truncated": self.truncated, "mistake": one.mistake or None,
            "distance": self.distance, "eps_units": self.distance / eps,
            "worst_layer": {"layer": self.worst[0], "distance": self.worst[1]}, "text": self.describe(),
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Identification:
    """The answer. matches: what reproduces the update within `limit`, plainest first; closest: the nearest others.

    limit: the relative distance that storing in `dtype` and computing explain. notes: what else the numbers say.
    doubt: why the numbers at hand cannot tell one merge from another, "" where they can; then nothing is a match.
    """

    matches: tuple[Match, ...]
    closest: tuple[Match, ...]
    limit: float
    dtype: str
    eps: float
    layers: int
    notes: tuple[str, ...] = ()
    doubt: str = ""

    @property
    def verdict(self) -> str:
        """ "reproduced", "closest" or "cannot tell"."""
        return "cannot tell" if self.doubt else "reproduced" if self.matches else "closest"

    @property
    def reproduced(self) -> bool:
        """Whether something reproduces the update to rounding."""
        return bool(self.matches)

    @property
    def best(self) -> Match:
        """The plainest of what reproduces it, or the closest."""
        return self.matches[0] if self.matches else self.closest[0]

    def as_json(self) -> dict[str, Any]:
        """All of it for machines."""
        return {
            "verdict": self.verdict, "doubt": self.doubt or None, "layers": self.layers, "dtype": self.dtype,
            "eps": self.eps, "limit": self.limit, "matches": [match.as_json(self.eps) for match in self.matches],
            "closest": [match.as_json(self.eps) for match in self.closest], "notes": list(self.notes),
        }  # fmt: skip


def remarks(match: Match, scalings: Sequence[float], ranks: Sequence[int], tasks: int) -> list[str]:
    """What the fitted scale may mean; scalings and ranks of all modules of all tasks."""
    if match.candidate.mistake:
        return []
    numbers = match.fitted()
    s, r = (values[0] if len(set(values)) == 1 else None for values in (scalings, ranks))
    known: Mapping[str, float | None] = {
        f"scale 1/{tasks}: the mean over the tasks (merge's `mean`)": 1 / tasks if tasks > 1 else None,
        "scale 1 / (alpha / r): as if the adapters' scaling had been ignored": s and 1 / s,
        "scale alpha / r: as if the adapters' scaling had been applied twice": s,
        "scale √r: as if the result had inherited rsLoRA's alpha / √r": r and math.sqrt(r),
        "scale √R, R the sum of the ranks: as if the result had inherited rsLoRA's alpha / √r": r
        and math.sqrt(r * tasks),
    }
    scale = numbers.get("scale", 1.0)
    said = [text for text, value in known.items() if value and value != 1 and abs(scale - value) <= _PLAIN * abs(value)]
    weights = [value for name, value in numbers.items() if name.startswith("weight")]
    if weights:
        zero = [str(t + 1) for t, w in enumerate(weights) if w == 0]
        said += [f"weight 0: input {', '.join(zero)} takes no part"] if zero else []
    return said


def _spread(numbers: Sequence[float]) -> float:
    largest = max(map(abs, numbers))
    return (max(numbers) - min(numbers)) / largest if largest else 0.0


def _plain(value: float, size: float | None = None) -> float:
    """The number with at most four significant digits that is within rounding of `value`, else itself."""
    size = abs(value) if size is None else size
    near = float(f"{value:.4g}")
    if abs(value) <= _PLAIN * size:
        return 0.0
    return near if abs(near - value) <= _PLAIN * abs(value) else value
