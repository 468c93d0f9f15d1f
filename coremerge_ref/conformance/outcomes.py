"""What became of the properties: outcomes, a report, and code that reproduces a failure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .claims import Claim
from .provenance import version
from .questions import Case
from .text import clean

FORMAT = "coremerge-conformance-properties-1"


@dataclass(frozen=True)
class Outcome:
    """``verdict``: pass, fail or unsupported. ``tested``, ``failed``: (method, space) pairs. ``why``, ``code``: of the
    smallest failing example of the first pair that failed."""

    name: str
    sentence: str
    verdict: str
    examples: int = 0
    tested: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    why: str = ""
    code: str = ""

    def places(self) -> str:
        """The methods and spaces that failed."""
        return ", ".join(f"{method} in {space}" for method, space in self.failed)


@dataclass(frozen=True)
class PropertyReport:
    """All outcomes; the same ``seed`` draws the same examples again."""

    outcomes: list[Outcome]
    function: str
    seed: int
    precision: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Nothing failed, and something was tested."""
        verdicts = {o.verdict for o in self.outcomes}
        return "fail" not in verdicts and "pass" in verdicts

    def summary(self) -> str:
        """A line for each property, then the code of each failure."""
        lines = [f"{clean(self.function)}: properties, kit {version()}, {self.precision}, --seed {self.seed}"]
        for o in self.outcomes:
            said = f"{o.examples} examples of {len(o.tested)} method-space pairs" if o.examples else "nothing to ask"
            lines.append(f"{o.verdict:12}{o.name:15}{o.sentence} ({said})")
        for o in self.outcomes:
            if o.verdict == "fail":
                lines += ["", f"{o.name} fails for {o.places()}: {clean(o.why)}", o.code]
        if not any(o.verdict != "unsupported" for o in self.outcomes):
            lines.append("nothing was answered: an implementation that supports nothing is not conformant")
        return "\n".join([*lines, f"{self.seconds:.1f} s"])

    def table(self, every: bool = False) -> str:
        """The summary; there is no longer form."""
        return self.summary()

    def to_json(self) -> str:
        """The report as JSON text."""
        whole: dict[str, Any] = {
            "format": FORMAT, "ok": self.ok, "function": clean(self.function), "kit": version(), "seed": self.seed,
            "precision": self.precision, "seconds": round(self.seconds, 3),
            "properties": [{**asdict(o), "why": clean(o.why)} for o in self.outcomes],
        }  # fmt: skip
        return json.dumps(whole, indent=1, allow_nan=False)


def reproduction(claim: Claim, name: str, why: str) -> str:
    """Ten lines of Python that ask the function again and print the two sides."""
    lines = [
        "import numpy as np",
        "from coremerge_ref.conformance import load, question",
        f"merge = load({name!r})",
        f"left = merge({_asked(claim.first)})",
    ]
    if claim.second is None:
        lines.append(f"right = {_array(claim.known)}")
    else:
        lines.append(f"right = merge({_asked(claim.second)})" + (".T" if claim.transposed else ""))
    if claim.left is not None and claim.right is not None:
        lines.append(f"right = {_array(claim.left)} @ right @ {_array(claim.right)}")
    if claim.factor != 1:
        lines.append(f"right = {claim.factor!r} * right")
    return "\n".join([*lines, f"print(left - right)  # rounding is expected; {clean(why)}"])


def _asked(case: Case) -> str:
    updates = ", ".join(f"({_array(B)}, {_array(A)}, {s!r})" for B, A, s in case.updates)
    return f"question([{updates}], {case.method!r}, {case.space!r}, {case.params!r})"


def _array(x: np.ndarray | None) -> str:
    assert x is not None
    if x.size == 0:
        return f"np.zeros({x.shape})"
    return f"np.array({x.tolist()!r})"
