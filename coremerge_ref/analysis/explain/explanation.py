"""What explain returns: numbers first, then one word and one sentence."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from coremerge_ref.perturbation.carried import Errors, Margin, Spectrum

WELL_POSED, SENSITIVE, ILL_POSED = VERDICTS = ("well-posed", "sensitive", "ill-posed")
SENSITIVE_ABOVE = 1e-3  # relative error of the result
LOOSE = 1.0  # a bound above the result itself says nothing


@dataclass(frozen=True)
class Bound:
    """How far errors of one size may move ΔW: ‖error‖ ≤ relative · ‖ΔW‖, relative = condition · growth · eps.

    dtype, eps: of the rounding. growth: how it adds up in arithmetic at worst; 1/2 for inputs, rounded once. condition:
    relative error of the result per relative error of the factors, larger where a decision hangs on them. verdict and
    reason at this size of errors; remedy: what to do about it, in plain words, "" where nothing need be done.
    discontinuity: the first one within rounding, "" where there is none.
    """

    dtype: str
    eps: float
    growth: float
    condition: float
    relative: float
    verdict: str
    reason: str
    remedy: str = ""
    discontinuity: str = ""


@dataclass(frozen=True, eq=False)
class Explanation:
    """The conditioning of one layer's merge.

    bound: by the rounding of the arithmetic, which verdict and reason are about, since inputs count as exact.
    input_bound: by the rounding of the inputs to their own dtype, if they were rounded from something. margins and
    spectra: what the stages divide by and decide on. undecided: entries (p, q) in the space's coordinates that hang on
    rounding, None where nothing elects. estimated: some stage has no error theory here and was probed instead.
    narrower_zeros: by the title of a spectrum, how many of its values this arithmetic takes for zero and float64 does
    not, whose merge is another one then, which no bound on rounding tells; directions that frames leave out are among
    them, single entries are not, and it is empty in float64.
    """

    layer: str
    method: str
    space: str
    shape: tuple[int, int]
    tasks: int
    rows: int
    cols: int
    info: Mapping[str, float]
    bound: Bound
    input_bound: Bound
    margins: tuple[Margin, ...]
    spectra: tuple[Spectrum, ...]
    undecided: np.ndarray | None = None
    estimated: bool = False
    narrower_zeros: dict[str, int] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """ "well-posed", "sensitive" or "ill-posed"."""
        return self.bound.verdict

    @property
    def reason(self) -> str:
        """Why, in one sentence."""
        return self.bound.reason

    def to_dict(self) -> dict[str, Any]:
        """As JSON: plain numbers and lists, None for what is infinite."""
        made = {name: getattr(self, name) for name in ("layer", "method", "space", "verdict", "reason")}
        made |= {
            "shape": list(self.shape),
            "tasks": self.tasks,
            "live": [self.rows, self.cols],
            "info": dict(self.info),
        }
        made |= {"bound": asdict(self.bound), "input_bound": asdict(self.input_bound), "estimated": self.estimated}
        made["margins"] = [asdict(margin) for margin in self.margins]
        made["spectra"] = [asdict(spectrum) | {"values": spectrum.values.tolist()} for spectrum in self.spectra]
        made["narrower_zeros"] = self.narrower_zeros
        made["undecided"] = None if self.undecided is None else np.argwhere(self.undecided).tolist()
        return _finite(made)

    def __rich__(self) -> Any:
        from coremerge_ref.analysis.explain.text import described

        return described(self)

    def __str__(self) -> str:
        from coremerge_ref.analysis.explain.text import plain

        return plain(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """The spectra with their cuts as a matplotlib figure, saved to `path` (.png, .svg, …) if given."""
        from coremerge_ref.analysis.explain.picture import drawn

        return drawn([self], path)


@dataclass(frozen=True, eq=False)
class Explanations(Mapping[str, Explanation]):
    """Explanations of several layers by name; the verdict is the worst of theirs."""

    layers: Mapping[str, Explanation] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Explanation:
        return self.layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def worst(self) -> Explanation:
        """The layer with the worst verdict, and among those the largest bound."""
        return self.ranked()[0]

    def ranked(self) -> list[Explanation]:
        """Those that a user should look at first: the worst verdict on arithmetic, then on inputs."""

        def place(e: Explanation) -> tuple[float, ...]:
            verdicts = (VERDICTS.index(b.verdict) for b in (e.bound, e.input_bound))
            return (*verdicts, e.bound.relative, e.input_bound.relative)

        return sorted(self.values(), key=place, reverse=True)

    @property
    def verdict(self) -> str:
        """The worst layer's."""
        return self.worst.verdict

    @property
    def reason(self) -> str:
        """The worst layer's, with its name."""
        return f"layer {self.worst.layer!r}: {self.worst.reason}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        layers = {name: explanation.to_dict() for name, explanation in self.items()}
        return {"verdict": self.verdict, "reason": self.reason, "layers": layers}

    def __rich__(self) -> Any:
        from coremerge_ref.analysis.explain.text import tabulated

        return tabulated(self)

    def __str__(self) -> str:
        from coremerge_ref.analysis.explain.text import plain

        return plain(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """The spectra of the worst layers with their cuts, a row of pictures a layer."""
        from coremerge_ref.analysis.explain.picture import MOST, drawn

        return drawn(self.ranked()[:MOST], path)


def judged(errors: Errors, bound: float, size: float) -> Bound:
    """The verdict on a result of norm `size` with an error of at most `bound`.

    A discontinuity whose outcomes all lie within SENSITIVE_ABOVE decides nothing, and the reason names it; of an
    estimate that is not known.
    """
    if math.isnan(bound):  # no number is no bound
        bound = math.inf
    relative = bound / size if size > 0 else (math.inf if bound > 0 else 0.0)
    level, remedy = errors.level, ""
    at = errors.doubts[0][0] if errors.doubts and relative > 0 else ""
    if errors.doubts and (errors.estimated or not relative <= SENSITIVE_ABOVE):
        verdict, (reason, remedy) = ILL_POSED, errors.doubts[0]
    else:
        verdict = SENSITIVE if not relative <= SENSITIVE_ABOVE else WELL_POSED
        weakest = max(errors.margins, key=lambda margin: margin.amplifies, default=None)
        cause = f"; the weakest point is {weakest}" if weakest is not None and weakest.amplifies > 0 else ""
        how = "may move" if verdict == SENSITIVE else "moves"
        most, unknown = ("at most", "") if not errors.estimated else ("about", "; no bound is known for this method")
        much = (
            f"{most} {relative:.1e} of its size" if relative <= LOOSE else "as much as its size, for all that is known"
        )
        cause = f", some of which hangs on rounding ({at})" if at else cause
        reason = f"rounding to {level.dtype} {how} the result by {much}{cause}{unknown}"
    if verdict != WELL_POSED and level.dtype != "float64":
        wider = (
            "compute in float64"
            if level.name == "compute"
            else f"keep the adapters in a wider dtype than {level.dtype}"
        )
        remedy = f"{wider}, or {remedy}" if remedy else wider
    return Bound(level.dtype, level.eps, level.growth, relative / level.size, relative, verdict, reason, remedy, at)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
