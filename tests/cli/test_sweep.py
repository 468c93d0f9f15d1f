"""coremerge sweep: a table, the best written with its recipe, and errors in one line that name α."""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

SCORE = """
import json, sys
config = json.loads(open(sys.argv[1] + "/adapter_config.json").read())
alpha = config["lora_alpha"] / config["r"]
print("score", -(alpha - 0.4) ** 2)
"""


@pytest.fixture
def merged(run: Run, adapters: list[str]) -> str:
    """A merge of scaling 1, and score.py, a parabola with its top at 0.4."""
    assert run("merge", "a", "b", "-o", "merged").exit_code == 0
    Path("score.py").write_text(SCORE)
    return "merged"


def _rank() -> int:
    return int(json.loads(Path("merged/adapter_config.json").read_text())["r"])


COMMAND = f"{sys.executable} score.py {{adapter}}"


def test_the_best_is_reported_and_written(run: Run, merged: str) -> None:
    result = run("sweep", merged, "--score", COMMAND, "--alphas", "0.1,0.3,0.45,1", "-o", "best")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-2:] == ["best: α = 0.45, score -0.0025", "wrote best"]
    assert "* " in next(line for line in result.stdout.splitlines() if "0.45" in line)
    assert [line.startswith("note: α = ") for line in result.stderr.splitlines()] == [True] * 4
    assert json.loads(Path("best/adapter_config.json").read_text())["lora_alpha"] == 0.45 * _rank()
    verified = run("verify", "best")
    assert verified.exit_code == 0, verified.output
    assert run("merge", "--config", "best/coremerge.json", "-o", "again").exit_code == 0
    assert run("compare", "a", "b", "best", "--json").exit_code == 0


def test_json_is_one_object_and_nothing_else(run: Run, merged: str) -> None:
    result = run("sweep", merged, "--score", COMMAND, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert found["best"]["alpha"] == 0.5 / math.sqrt(2)
    assert len(found["trials"]) == 8


def test_an_end_of_the_range_is_said(run: Run, merged: str) -> None:
    result = run("sweep", merged, "--score", COMMAND, "--alphas", "1,2")
    assert "--alphas 1,0.5,0.25,0.125" in result.stdout


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (["--score", f"{sys.executable} -c 'import sys; sys.exit(9)' {{adapter}}"], ["α = 0.125", "exit code 9"]),
        (["--score", "echo hm {adapter}", "--alphas", "2"], ["α = 2", "no number", "hm"]),
        (["--score", "echo {adapter}; sleep 60", "--timeout", "0.5"], ["α = 0.125", "0.5 s"]),
        (["--score", "echo 1"], ["{adapter}"]),
        (["--score", COMMAND, "--alphas", "1,x"], ["--alphas", "'1,x'"]),
        (["--score", COMMAND, "--alphas", "1,-2"], ["alphas", "above 0"]),
        (["--score", COMMAND, "-o", "merged"], ["--force"]),
        (["--score", COMMAND, "-o", "nowhere/best"], ["parent"]),
    ],
)
def test_refusals(words: list[str], texts: list[str], merged: str, refused: Callable[..., str]) -> None:
    line = refused("sweep", merged, *words)
    assert all(text in line for text in texts), line


def test_a_score_is_needed(run: Run, merged: str) -> None:
    result = run("sweep", merged)
    assert result.exit_code == 2
    assert "--score" in result.stderr
