"""The README says what is so: its Python runs, and every cell of its table is tried."""

import re
from pathlib import Path

import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.methods import STAGES

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \|[^|]*\| ([\w-]+) \| (\w+) \| (\w+) \| (\w+) \|$", README, re.MULTILINE)
KIND = {cm.LowRankUpdate: "factors", cm.DenseUpdate: "dense"}


def test_python_blocks_run(capsys):
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out.split() == ["(64,", "48)", "8", "True"]


def test_table_names_every_method():
    assert sorted(row[0] for row in ROWS) == sorted(STAGES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_table_says_what_each_method_gives(row):
    method, equivariance, *kinds = row
    rng = np.random.default_rng(0)
    updates = [(rng.normal(size=(7, 2)), rng.normal(size=(2, 9))) for _ in range(3)]
    assert cm.Pipeline.parse(method).equivariance == equivariance
    assert [KIND[type(cm.merge(updates, method, space))] for space in ("full", "knots", "core")] == kinds
