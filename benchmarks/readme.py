"""Writes the README's table of adapters and the table of methods in docs/which.md: python -m benchmarks.readme."""

import re
import sys
from pathlib import Path

import numpy as np

import coremerge_ref as cm
from coremerge_ref.adapters.formats import READERS
from coremerge_ref.adapters.forms import FORMS
from coremerge_ref.core.stages import STAGES, Stage

ROOT = Path(__file__).parents[1]
KINDS = {cm.LowRankUpdate: "factors", cm.DenseUpdate: "dense"}
SPACES = ("full", "knots", "core")
METHODS = f"| method | what it is | commutes with | {' | '.join(SPACES)} |\n|---|---|---|{'---|' * len(SPACES)}\n"
ADAPTERS = "| kind of adapter | merges are written as |\n|---|---|\n"


def table() -> str:
    """One row a method of this package: its file's first line, its claim, and what it returns in each space."""
    ours = sorted(name for name, stage in STAGES.items() if stage.__module__.startswith("coremerge_ref."))
    return METHODS + "".join(row(STAGES[name]) for name in ours)


def row(stage: type[Stage]) -> str:
    """The row of one method."""
    rng = np.random.default_rng(0)
    updates = [(rng.normal(size=(7, 2)), rng.normal(size=(2, 9))) for _ in range(3)]
    returned = [KINDS[type(cm.merge(updates, stage.name, space))] for space in SPACES]
    what = (sys.modules[stage.__module__].__doc__ or "").partition("\n")[0].rstrip(".")
    return f"| {' | '.join([f'`{stage.name}`', what, stage().equivariance, *returned])} |\n"


def adapters() -> str:
    """One row a family of formats: all that is read of it, and what a merge of it is written as."""
    titles = {family: [reader.title for reader in READERS if reader.family == family] for family in FORMS}
    return ADAPTERS + "".join(f"| {'; '.join(titles[family])} | {form.title} |\n" for family, form in FORMS.items())


TABLES = {"README.md": (ADAPTERS, adapters), "docs/which.md": (METHODS, table)}


def main() -> None:
    """Replaces each table in its page, found by its head."""
    for page, (head, write) in TABLES.items():
        text = (ROOT / page).read_text(encoding="utf-8")
        new = re.sub(re.escape(head) + r"(?:\|.*\n)*", lambda _, write=write: write(), text)
        (ROOT / page).write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
