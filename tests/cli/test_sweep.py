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
    lines = result.stdout.splitlines()
    assert "best: α = 0.45, score -0.0025" in lines
    assert lines[-1] == "wrote best"
    assert "best" in next(line for line in lines if line.split()[0] == "0.45")
    assert [line.startswith("note: α = ") for line in result.stderr.splitlines()] == [True] * 4 + [False] * 3
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


def lines_of(run: Run, *words: str) -> list[str]:
    result = run("sweep", "merged", "--score", COMMAND, "--alphas", "1", *words)
    assert result.exit_code == 0, result.stderr
    return list(result.stdout.splitlines())


def test_an_adapter_alone_that_no_alpha_beats_is_named_with_what_to_try(run: Run, merged: str) -> None:
    config = json.loads(Path("a/adapter_config.json").read_text())  # of scaling 2: score -2.56
    assert config["lora_alpha"] / config["r"] == 2
    lines = lines_of(run)
    cells = [line.split() for line in lines[1:5]]
    assert [row[0] for row in cells] == ["0", "1", "–", "–"]
    assert [float(row[1]) for row in cells] == pytest.approx([-0.16, -0.36, -2.56, -2.56])
    assert [row[2:] for row in cells] == [["base", "model"], ["<-", "best", "α"], ["a", "alone"], ["b", "alone"]]
    assert "no merge tried scores higher than base model (-0.16): the best merge has -0.36" in lines
    assert lines[-1].split()[:4] == ["coremerge", "search", "a", "b"]
    assert "{adapter}" in lines[-1]


def test_what_no_adapter_reaches_is_said(run: Run, merged: str) -> None:
    result = run("sweep", merged, "--score", COMMAND, "--alphas", "0.4,1")
    (said,) = (line for line in result.stdout.splitlines() if line.startswith("the best merge scores higher"))
    assert all(text in said for text in ("base model (-0.16)", "a alone (-2.56)", "b alone (-2.56)"))
    assert "coremerge search" not in result.stdout


def test_baselines_can_be_left_out_or_named(run: Run, merged: str) -> None:
    assert len(lines_of(run, "--no-baselines")) == 3
    rows = [line.split() for line in lines_of(run, "--alone", "c")]
    assert [row[2:] for row in rows if row[0] == "–"] == [["c", "alone"]]


def test_an_adapter_that_is_gone_or_was_changed_is_a_note(run: Run, merged: str) -> None:
    Path("a").rename("moved")
    config = json.loads(Path("b/adapter_config.json").read_text())
    Path("b/adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 3}))
    result = run("sweep", merged, "--score", COMMAND, "--alphas", "1")
    assert result.exit_code == 0
    notes = [line for line in result.stderr.splitlines() if "cannot be scored" in line]
    assert [note.split()[1] for note in notes] == ["a", "b"]
    assert "nothing is there" in notes[0]
    assert "changed since" in notes[1]
    assert [line for line in result.stdout.splitlines() if line.endswith(" alone")] == []
