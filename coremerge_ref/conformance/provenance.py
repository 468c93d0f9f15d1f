"""Who asked whom what: the kit's version, a hash of the cases, the function, the platform, the precision."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .questions import Case
from .text import clean


@dataclass(frozen=True)
class Provenance:
    """``precision`` is the one judged by, ``shown`` the one that the answers show. ``cases``: how many the kit holds
    in that precision, beside those generated; ``case_set``: SHA-256 of all that were asked, expected values and
    tolerances included."""

    function: str = ""
    kit: str = ""
    case_set: str = ""
    cases: int = 0
    precision: str = "float64"
    shown: str = ""
    isolated: bool = False
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    generated: int = 0
    seed: int | None = None
    platform: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, function: str, asked: Sequence[Case], **facts: Any) -> Provenance:
        """What is known of this run."""
        from .questions import cases

        system = {"python": platform.python_version(), "numpy": np.__version__, "system": platform.platform()}
        count = len(cases(precision=facts["precision"]))
        return cls(clean(function), version(), case_set_hash(asked), count, platform=system, **facts)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "only": list(self.only), "skip": list(self.skip)}


def version() -> str:
    """The kit's version, that of the package it comes in."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("coremerge_ref")
    except PackageNotFoundError:
        return "not installed"


def case_set_hash(cases: Iterable[Case]) -> str:
    """SHA-256 of everything that makes these questions and their answers, whatever files they came from."""
    digest = hashlib.sha256()
    for case in cases:
        facts = [case.name, case.method, case.space, case.params, case.precision.name, repr(case.tolerance)]
        digest.update(json.dumps([*facts, list(case.reasons)], sort_keys=True).encode())
        factors = [x for b, a, s in case.updates for x in (b, a, np.float64(s))]
        for x in (*factors, case.masks, case.expected, case.undecided):
            if x is not None:
                digest.update(f"{x.dtype.name}{x.shape}".encode() + x.tobytes())
    return digest.hexdigest()
