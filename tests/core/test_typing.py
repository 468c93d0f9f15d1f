"""What a type checker says of merges: misspelt methods, factors of results that may be dense, and right programs."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import coremerge_ref
from coremerge_ref.core.method_names import MethodName
from coremerge_ref.demo.compare import METHODS
from coremerge_ref.methods import STAGES

RIGHT = """
import numpy as np
import coremerge_ref as cm
from coremerge_ref import LowRankUpdate
B, A = np.ones((3, 2)), np.ones((2, 4))
u = [cm.LowRankUpdate(B, A), cm.LowRankUpdate(B, A, scale=0.5)]
m: LowRankUpdate = cm.merge(u, "tsv")
cm.merge([(B, A), None], "dare+ties+iso", "knots", scale=0.5, weights=[1, 2]).B
cm.merge(u, cm.Tsv(k=2), space=cm.Core(basis="tucker")).A
cm.merge(u, ["dare", cm.Ties()], out_dtype="float32").truncate(1).rank
cm.merge(u, lambda M: M.max(axis=0), "full").to_dense()
cm.merge(u, cm.Pipeline.parse("trim+mean+iso"))
cm.merge_adapters({"q": u}, "ties")["q"].B
n: LowRankUpdate = 0.5 * (m + m)[0].to(dtype="float32")
pair = [B, A]
cm.merge([pair, (B, A)])
from coremerge_ref.core import linalg
from coremerge_ref.core.arrays import array_namespace
array_namespace(B).matrix_transpose(B + B).shape
linalg.norm(B) + linalg.svd(B)[1][..., :1]
"""
# of other packages mypy reads those alone whose types the program meets: torch's and JAX's take it a minute
CONFIG = """
[mypy]
ignore_missing_imports = true
follow_imports = skip
[mypy-coremerge_ref.*,numpy.*,array_api_compat.*,array_api_extra.*]
follow_imports = silent
"""
WRONG = {
    "a misspelt method": ('cm.merge(u, "tvs")', '"str"'),
    "a misspelt pipeline": ('cm.merge(u, "dare+tise")', '"str"'),
    "a misspelt method of a model": ('cm.merge_adapters({"q": u}, "tsvv")', '"str"'),
    "factors of what may be dense": ('cm.merge(u, "ties", "full").B', '"DenseUpdate"'),
    "factors of a model that may be dense": (
        'cm.merge_adapters({"q": u}, "ties", space="full")["q"].A',
        '"DenseUpdate"',
    ),
    "an argument that is none": ("cm.merge(u, rank=8)", "int"),
    "one update": ("cm.merge(m)", "LowRankUpdate"),
    "what is no array": ('cm.merge([("B", "A")])', "tuple[str, str]"),
    "a function beyond the standard": ("array_namespace(B).clip(B)", '"clip"'),
    "an attribute that not every library has": ("linalg.norm(B).T", '"T"'),
    "what a function of the core takes for an array": ("linalg.norm(m)", "LowRankUpdate"),
}


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """{line: what mypy says of it} of the right program followed by each wrong line."""
    pytest.importorskip("mypy")
    place = tmp_path_factory.mktemp("typing")
    (place / "program.py").write_text(RIGHT + "\n".join(code for code, _ in WRONG.values()) + "\n")
    (place / "mypy.ini").write_text(CONFIG)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "program.py"],
        cwd=place, capture_output=True, text=True, check=False,
        env={"MYPYPATH": str(Path(coremerge_ref.__file__).parents[1]), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    said: dict[int, str] = {}
    for line in done.stdout.splitlines():
        if line.startswith("program.py:"):
            number = int(line.split(":")[1])
            said[number] = said.get(number, "") + line
    return said


@pytest.mark.slow
def test_right_programs_are_right(complaints: dict[int, str]) -> None:
    lines = len(RIGHT.splitlines())
    assert {number: text for number, text in complaints.items() if number <= lines} == {}


@pytest.mark.slow
@pytest.mark.parametrize("what", WRONG)
def test_wrong_lines_are_seen(what: str, complaints: dict[int, str]) -> None:
    number = len(RIGHT.splitlines()) + 1 + list(WRONG).index(what)
    assert "error" in complaints.get(number, ""), complaints
    assert WRONG[what][1] in complaints[number]


def test_the_names_are_those_of_the_tables() -> None:
    own = {name for name, cls in STAGES.items() if cls.__module__.startswith("coremerge_ref.")}
    searched = {search.method for name in own for search in STAGES[name].searches}
    assert {*get_args(MethodName)} == own | searched | {*METHODS, "dare+ties+iso"}
