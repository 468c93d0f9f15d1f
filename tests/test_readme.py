"""The README says what is so: its Python runs, and every cell of its table is tried."""

import re
from pathlib import Path

from benchmarks import readme

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_python_blocks_run(capsys):
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out.split() == ["(64,", "48)", "8", "True"]


def test_the_table_of_methods_is_what_the_methods_are():
    assert readme.table() in README, "run: python -m benchmarks.readme"
