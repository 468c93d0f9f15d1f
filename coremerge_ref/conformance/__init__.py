"""The oracle: ask another implementation the cases, get verdicts, ratios and diagnoses.

    from coremerge_ref import conformance
    report = conformance.run(my_merge)          # my_merge(case) -> (m, n) array
    print(report.summary()); assert report.ok

Files for other languages: ``export(DIR)`` and ``check(DIR, OUTPUTS)``.
For pytest: ``parametrize_with_checks(my_merge)``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .questions import Case, cases

if TYPE_CHECKING:
    from .asking import run
    from .checks import parametrize_with_checks, parametrize_with_properties
    from .claims import question
    from .generated import generate
    from .judging_files import check
    from .junit import to_junit
    from .loading import load
    from .outcomes import PropertyReport
    from .properties import check_properties
    from .report import Report, Result
    from .vectors import export

_WHERE = {
    "run": "asking", "Report": "report", "Result": "report", "parametrize_with_checks": "checks", "export": "vectors",
    "check": "judging_files", "to_junit": "junit", "check_properties": "properties", "PropertyReport": "outcomes",
    "parametrize_with_properties": "checks", "generate": "generated", "question": "claims", "load": "loading",
}  # fmt: skip

__all__ = [
    "Case",
    "PropertyReport",
    "Report",
    "Result",
    "cases",
    "check",
    "check_properties",
    "export",
    "generate",
    "load",
    "parametrize_with_checks",
    "parametrize_with_properties",
    "question",
    "run",
    "to_junit",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_WHERE[name]}", __name__), name)
    globals()[name] = value
    return value
