"""A report as text for a terminal: the first screen, and the table of cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .configs import EVERY_SPACE
from .invalid import told
from .pages import pages
from .report import UNKNOWN, Report, Result
from .text import clean

GROUPS = 12  # groups of failures shown
WIDTH = 100
RIGHT, WRONG = ("pass",), ("fail", "error")


def summary(report: Report) -> str:
    """Counts, precision, the grid of methods and spaces, failures by their causes."""
    parts = [_head(report), _grid(report), *_failures(report), *told(report.invalid), *_notes(report)]
    return "\n".join(part for part in parts if part)


def _head(report: Report) -> str:
    about = report.provenance
    lines = []
    if about.function:
        shown = f", computes in {about.shown}" if about.shown not in ("", about.precision) else ""
        lines.append(f"{about.function}: kit {about.kit}, cases {about.case_set[:12]}, {about.precision}{shown}")
    counts = " · ".join(
        f"{report.counts[v]} {v}" for v in ("pass", "ambiguous", "fail", "error", "unsupported") if v in report.counts
    )
    lines.append(f"{counts or 'no case was asked'} · {report.seconds:.1f} s")
    return "\n".join(lines)


def _grid(report: Report) -> str:
    """A line for each method: right/wrong/ambiguous in each space, – where nothing was answered."""
    rows = []
    for method, row in report.grid().items():
        cells = []
        for space in EVERY_SPACE:
            cell = row.get(space, {})
            right, wrong = (sum(cell.get(v, 0) for v in verdicts) for verdicts in (RIGHT, WRONG))
            ambiguous = cell.get("ambiguous", 0)
            cells.append(f"{right}/{wrong}/{ambiguous}" if right + wrong + ambiguous else "–")
        if any(cell != "–" for cell in cells):
            rows.append([clean(method), *cells])
    return columns([["pass/fail/ambiguous", *EVERY_SPACE], *rows]) if rows else ""


def _failures(report: Report) -> list[str]:
    groups = list(report.groups().items())
    lines = ["", "failures by cause:"] if groups else []
    for cause, results in groups[:GROUPS]:
        worst = results[0]
        error = (
            f"relative error up to {worst.relative:.2g}" if worst.relative < float("inf") else "no comparable answer"
        )
        expected = sum(bool(r.expected_failure) for r in results)
        why = sorted({r.expected_failure for r in results if r.expected_failure})
        note = f", {expected} expected ({clean(', '.join(why))})" if expected else ""
        lines.append(f"{len(results):5d} × {clean(cause)}")
        lines.append(f"        {error}, such as {clean(worst.case.name)}{note}")
        lines.append(f"        → {what_to_do(worst)}")
    if len(groups) > GROUPS:
        lines.append(f"    … and {len(groups) - GROUPS} causes more: --all lists every case")
    return lines


def what_to_do(result: Result) -> str:
    """One sentence of advice on a failure."""
    if result.verdict == "error":
        last = [line for line in result.traceback.strip().splitlines() if line.lstrip().startswith("File ")]
        where = f"raised at {clean(last[-1].strip())}; " if last else ""
        return f"{where}for what the function does not do, raise NotImplementedError"
    if result.mistakes:
        ids = result.cause.split("+") if result.cause in result.mistakes else result.mistakes[0].split("+")
        return f"{' '.join(pages()[part]['mend'] for part in ids)} (--explain {ids[0]})"
    if result.group == UNKNOWN:
        return "no known mistake gives these answers: follow the example through coremerge_ref.conformance.definition"
    return "what is said of the answer tells where to look"


def _notes(report: Report) -> list[str]:
    """What is not to be overlooked: what was left out, what is stale."""
    about, lines = report.provenance, []
    unsupported: dict[str, int] = {}
    for r in report.results:
        if r.verdict == "unsupported":
            unsupported[r.case.method] = unsupported.get(r.case.method, 0) + 1
    if unsupported:
        names = ", ".join(f"{clean(m)} ({n})" for m, n in unsupported.items())
        lines += ["", f"not answered, so not tested: {names}"]
    asked = len(report.results) - about.generated
    if about.cases and asked < about.cases:
        lines.append(f"{asked} of the kit's {about.cases} cases were asked")
    if about.generated:
        lines.append(f"{about.generated} cases were drawn with --seed {about.seed}")
    if report.missing:
        lines.append(f"{len(report.missing)} of the kit's cases have no output, such as {clean(report.missing[0])}")
    lines += [f"expected to fail, but passes: {clean(s)}; take the entry away" for s in report.stale]
    if not any(r.verdict != "unsupported" for r in report.results):
        lines.append("no case was answered: an implementation that supports nothing is not conformant")
    return lines


def table(results: Iterable[Result]) -> str:
    """A line for each result: case, verdict, error in units of the tolerance and relative, diagnosis.

    Errors that say the same, as where a function raises whatever it is asked, are one line with their number.
    """
    alike: dict[tuple[str, ...], list[Result]] = {}
    for r in results:
        own = () if r.verdict == "error" else (r.case.name,)
        alike.setdefault((r.verdict, r.diagnosis, r.expected_failure, *own), []).append(r)
    rows = [["case", "verdict", "ratio", "relative", "diagnosis"]]
    for first, *others in alike.values():
        note = f" (expected: {first.expected_failure})" if first.expected_failure else ""
        name = clean(first.case.name) + (f" and {len(others)} more" if others else "")
        rows.append([name, first.verdict, f"{first.ratio:.3g}", f"{first.relative:.2g}", clean(first.diagnosis + note)])
    return columns(rows)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Text columns, each as wide as its widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)
