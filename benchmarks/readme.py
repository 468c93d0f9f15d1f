"""Writes the README's table of methods from the table of stages: python -m benchmarks.readme."""

import re
import sys
from pathlib import Path

import numpy as np

import coremerge_ref as cm
from coremerge_ref.core.stages import STAGES, Stage

README = Path(__file__).parents[1] / "README.md"
KINDS = {cm.LowRankUpdate: "factors", cm.DenseUpdate: "dense"}
SPACES = ("full", "knots", "core")
HEAD = f"| method | what it is | commutes with | {' | '.join(SPACES)} |\n|---|---|---|{'---|' * len(SPACES)}\n"
TABLE = re.compile(re.escape(HEAD) + r"(?:\|.*\n)+")


def table() -> str:
    """One row a method of this package: its file's first line, its claim, and what it returns in each space."""
    ours = sorted(name for name, stage in STAGES.items() if stage.__module__.startswith("coremerge_ref."))
    return HEAD + "".join(row(STAGES[name]) for name in ours)


def row(stage: type[Stage]) -> str:
    """The row of one method."""
    rng = np.random.default_rng(0)
    updates = [(rng.normal(size=(7, 2)), rng.normal(size=(2, 9))) for _ in range(3)]
    returned = [KINDS[type(cm.merge(updates, stage.name, space))] for space in SPACES]
    what = (sys.modules[stage.__module__].__doc__ or "").partition("\n")[0].rstrip(".")
    return f"| {' | '.join([f'`{stage.name}`', what, stage().equivariance, *returned])} |\n"


def main() -> None:
    """Replaces the table in the README."""
    README.write_text(TABLE.sub(lambda _: table(), README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
