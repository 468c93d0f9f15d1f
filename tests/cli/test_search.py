"""coremerge search: a table, the best written with its recipe, a picture; one line for what is wrong."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna")

Run = Callable[..., Any]

# minus the squared distance of the mean of all entries of ΔW to 0.1, after a line that says how many there were
SCORE = """
import json, sys
import numpy as np
from safetensors.numpy import load_file
tensors = load_file(sys.argv[1] + "/adapter_model.safetensors")
config = json.loads(open(sys.argv[1] + "/adapter_config.json").read())
B, A = (tensors["base_model.model.head.lora_%s.weight" % f].astype(float) for f in "BA")
change = config["lora_alpha"] / config["r"] * B @ A
with open("asked.txt", "a") as file:
    file.write(sys.argv[1] + "\\n")
print("entries", change.size, "score", -(change.mean() - 0.1) ** 2)
"""
COMMAND = f"{sys.executable} score.py {{adapter}}"


@pytest.fixture
def two(adapters: list[str]) -> list[str]:
    Path("score.py").write_text(SCORE)
    return adapters[:2]


def test_the_best_is_reported_written_verified_and_drawn(run: Run, two: list[str]) -> None:
    pytest.importorskip("matplotlib")
    words = ["search", *two, "--score", COMMAND, "-m", "ties", "-m", "tsv", "--trials", "6", "-o", "best"]
    result = run(*words, "--plot", "tried.svg", "--rank", "3")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["trial", "score", "α", "method", "settings"]
    scores = [float(line.split()[1]) for line in lines[1:10]]  # the base model and two adapters among them
    assert scores == sorted(scores, reverse=True)
    assert lines[10].startswith("best of 6 trials: ")
    assert lines[-2:] == ["wrote best", "drew tried.svg"]
    assert [line.startswith("note: trial ") for line in result.stderr.splitlines()] == [True, *[False] * 3, *[True] * 5]
    assert Path("tried.svg").read_text().startswith("<?xml")
    record = json.loads(Path("best/coremerge.json").read_text())
    assert (record["rank"], record["search"]["trials"], record["search"]["study"]) == (3, 6, "coremerge-search.db")
    assert run("verify", "best").exit_code == 0
    again = run("merge", "--config", "best/coremerge.json", "-o", "again")
    assert again.exit_code == 0, again.stderr
    outputs = [json.loads(Path(f"{name}/coremerge.json").read_text())["outputs"] for name in ("best", "again")]
    assert outputs[0] == outputs[1]


def test_json_and_going_on(run: Run, two: list[str]) -> None:
    words = ["search", *two, "--score", COMMAND, "-m", "iso", "--study", "s.db", "--json"]
    first = run(*words, "--trials", "2")
    assert (first.exit_code, first.stderr) == (0, "")
    second = run(*words, "--trials", "3")
    a, b = (json.loads(result.stdout)["trials"] for result in (first, second))
    assert b[:2] == a
    assert len(b) == 3
    assert len(Path("asked.txt").read_text().splitlines()) == 3 + 3  # the base model and the adapters once


def test_what_is_searched_can_be_said(run: Run, two: list[str]) -> None:
    result = run(
        "search", *two, "--score", COMMAND, "-m", "dare+ties", "--set", "ties.density=0.5", "--try",
        "dare.drop=0.2:0.3", "--try", "ties.elect=mass,count", "--alphas", "0.5:0.6", "--weights", "1,0.5", "--trials",
        "5", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    for trial in json.loads(result.stdout)["trials"]:
        assert trial["parameters"]["ties"]["density"] == 0.5
        assert 0.2 <= trial["parameters"]["dare"]["drop"] <= 0.3
        assert trial["parameters"]["ties"]["elect"] in ("mass", "count")
        assert 0.5 <= trial["alpha"] <= 0.6
        assert trial["weights"] == [1.0, 0.5]


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (["--score", "test {adapter} && echo so sad && exit 3"], ["α = 1", "tsv", "exit code 3", "so sad"]),
        (["--score", "test {adapter} && sleep 60", "--timeout", "0.5"], ["0.5 s"]),
        (["--score", "echo 1"], ["{adapter}"]),
        (["--score", COMMAND, "-m", "tvs"], ["'tvs'"]),
        (["--score", COMMAND, "--space", "moon"], ["moon"]),
        (["--score", COMMAND, "--try", "ties.density=1"], ["--try", "ties.density"]),
        (["--score", COMMAND, "--try", "ties.density=a:b"], ["ties.density", "'a'"]),
        (["--score", COMMAND, "--try", "ties.densty=0:1"], ["densty"]),
        (["--score", COMMAND, "--set", "cart.k=0", "-m", "cart"], ["cart.k"]),
        (["--score", COMMAND, "--alphas", "2"], ["alphas"]),
        (["--score", COMMAND, "--weights", "1,x"], ["--weights", "'x'"]),
        (["--score", COMMAND, "--weights", "1,2,3"], ["weights", "2"]),
        (["--score", COMMAND, "--fractions", "0.5,1"], ["{fraction}"]),
        (["--score", COMMAND, "-o", "a"], ["--force"]),
        (["--score", COMMAND, "--plot", "gone/x.svg"], ["gone/x.svg"]),
        (["--score", COMMAND, "--study", "gone/s.db"], ["study"]),
    ],
)  # fmt: skip
def test_refusals(words: list[str], texts: list[str], two: list[str], run: Run) -> None:
    result = run("search", *two, *words, *([] if "--study" in words else ["--study", "s.db"]))
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("note: trial")]
    assert line.startswith("coremerge: error: ")
    assert all(text in line for text in texts), line
    assert not Path("best").exists()


def test_ctrl_c_loses_nothing_that_was_scored(two: list[str], tmp_path: Path) -> None:
    script = Path("score.py").read_text()
    slow = 'import os, time\nif os.path.exists("slow"):\n    open("begun", "w").close(); time.sleep(600)\n'
    Path("score.py").write_text(slow + script)
    words = [sys.executable, "-c", "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
             "from coremerge_ref.cli import main; main()"]  # fmt: skip
    words += ["search", *two, "--score", COMMAND, "-m", "iso", "-o", "best", "--json", "--trials"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([*words, "2"], check=True, env=environment, capture_output=True)
    shutil.rmtree("best")
    Path("slow").touch()
    with subprocess.Popen([*words, "4"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        while not Path("begun").exists():
            assert child.poll() is None
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=60)
    assert (child.returncode, errors) == (130, b"coremerge: interrupted\n")
    assert not Path("best").exists()
    Path("slow").unlink()
    done = subprocess.run([*words, "4"], check=True, env=environment, capture_output=True)
    states = [trial["state"] for trial in json.loads(done.stdout)["trials"]]
    assert states == ["complete", "complete", "failed", "complete", "complete"]
    assert len(Path("asked.txt").read_text().splitlines()) == 4 + 3  # the base model and the adapters once


def test_help_names_the_extra_and_what_is_searched(run: Run) -> None:
    told = " ".join(run("search", "--help").stdout.split())
    assert re.search(r"Optuna \(extra: search\)", told)
    assert "{fraction}" in told


def test_a_merge_that_no_adapter_needs_is_called_so(run: Run, two: list[str]) -> None:
    target = (
        Path("score.py")
        .read_text()
        .replace(
            "(change.mean() - 0.1) ** 2",
            "((change - np.load('a.npy')) ** 2).sum()",
        )
    )
    Path("score.py").write_text(target.replace("print(", "sys.argv[1] == 'a' and np.save('a.npy', change)\nprint(", 1))
    subprocess.run([sys.executable, "score.py", "a"], check=True, capture_output=True)
    words = ["search", *two, "--score", COMMAND, "-m", "tsv", "--trials", "2"]
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[1].split() == ["–", "0", "–", "a", "alone"]
    (said,) = (line for line in lines if "no merge" in line)
    assert "a alone (0)" in said
    assert "the best merge has -" in said
    assert "--weights search" in next(line for line in lines if "may help" in line)
    assert "alone" not in run(*words, "--no-baselines").stdout


def test_an_end_of_the_range_is_said(run: Run, two: list[str]) -> None:
    result = run("search", *two, "--score", COMMAND, "-m", "tsv", "--trials", "1", "--alphas", "1:3")
    assert "α = 1 is at an end" in result.stdout
    assert "--alphas LOW:HIGH" in result.stdout
