"""Output is data: no text of a stranger draws on the terminal, JSON is JSON, and what cannot be said is no failure."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import adapter_folders
import numpy as np
import pytest
import yaml
from bounded import Outcome
from lies import ESCAPES
from safetensors.numpy import save_file

Ask = Callable[..., Outcome]
NAME = "out" + ESCAPES.replace("/", "") + "[bold red]x[/]"
LARGE, SCORED = "1" + "0" * 400, ("--score", "echo 1 # {adapter}")
# commands with texts of a stranger wherever they take a text
COMMANDS: dict[str, list[str]] = {
    "an output": ["merge", "a", "b", "-o", NAME],
    "an output that is there": ["merge", "a", "b", "-o", "there" + ESCAPES],
    "an output without a parent": ["merge", "a", "b", "-o", f"no{ESCAPES}/{NAME}"],
    "an output not to be written": ["merge", "a", "b", "-o", NAME, "--dry-run"],
    "an output in JSON": ["merge", "a", "b", "-o", NAME, "--json"],
    "an output that is no UTF-8": ["merge", "a", "b", "-o", "out\udcff"],
    "an output of NUL": ["resize", "a", "--rank", "1", "-o", "x\0y"],
    "10^400 workers": ["merge", "a", "b", "-o", "out", "--dry-run", "--workers", LARGE],
    "α of 10^400": ["sweep", "there" + ESCAPES, *SCORED, "--alphas", LARGE],
    "α from 10^400": ["search", "a", "b", *SCORED, "--alphas", f"1:{LARGE}"],
    "a seed of 10^400": ["search", "a", "b", *SCORED, "--trials", "1", "-m", "ta", "--no-baselines", "--seed", LARGE],
    "a study of NUL": ["search", "a", "b", *SCORED, "--study", "x\0y"],
    "an output file of NUL": ["convert", "a", "x\0y.safetensors", "--to", "kohya"],
    "an output folder of NUL": ["convert", "a", "x\0y", "--to", "peft"],
    "an adapter": ["inspect", NAME],
    "an adapter that is there": ["inspect", "there" + ESCAPES],
    "adapters of other bases": ["merge", "there" + ESCAPES, "based", "-o", "out"],
    "a base model's name": ["inspect", "based"],
    "a method": ["merge", "a", "b", "-o", "out", "--method", ESCAPES],
    "a space": ["merge", "a", "b", "-o", "out", "--space", ESCAPES],
    "a dtype": ["merge", "a", "b", "-o", "out", "--dtype", ESCAPES],
    "a device": ["merge", "a", "b", "-o", "out", "--device", ESCAPES],
    "a parameter": ["merge", "a", "b", "-o", "out", "--set", f"ties.{ESCAPES}=1"],
    "a value": ["merge", "a", "b", "-o", "out", "--set", f"tsv.k={ESCAPES}"],
    "weights": ["merge", "a", "b", "-o", "out", "--weights", f"1,{ESCAPES}"],
    "a pattern": ["merge", "a", "b", "-o", "out", "--include", ESCAPES],
    "a renaming": ["merge", "a", "b", "-o", "out", "--rename", f"{ESCAPES}=x"],
    "a rank": ["merge", "a", "b", "-o", "out", "--rank", ESCAPES],
    "an option": ["merge", f"--{ESCAPES}"],
    "a command": [ESCAPES],
    "settings": ["merge", "--config", "there.yaml", "--dry-run"],
    "settings that are not there": ["merge", "--config", NAME],
    "a layer": ["explain", "a", "b", "--layer", ESCAPES],
    "a picture": ["explain", "a", "b", "--plot", NAME],
    "a picture's folder": ["explain", "a", "b", "--plot", f"no{ESCAPES}/x.png"],
    "a merged adapter": ["compare", "a", "b", NAME],
    "a verified folder": ["verify", NAME],
    "cases": ["vectors", "export", f"no{ESCAPES}/{NAME}", "--only", "ta-core-float64-generic-0"],
    "outputs": ["vectors", "check", NAME, NAME],
    "a function": ["conformance", f"{ESCAPES}:{ESCAPES}"],
    "a case": ["conformance", "os:getpid", "--only", ESCAPES],
    "a reason": ["conformance", "os:getpid", "--expected-failure", ESCAPES],
    "a demo": ["demo", "-o", f"no{ESCAPES}/x"],
}
JSON = {
    "inspect": ["inspect", "a", "vera"],
    "merge": ["merge", "a", "b", "-o", "out"],
    "explain": ["explain", "a", "b", "--method", "ties"],
    "explain what is ill-posed": ["explain", "a", "a", "--method", "iso"],
    "compare": ["compare", "a", "b", "--method", "ta"],
    "verify": ["verify", "merged"],
}


@pytest.fixture
def files(folder: Path, coremerge: Ask) -> Path:
    """Adapters with names of a stranger, a merged one, settings."""
    adapter_folders.write(folder / ("there" + ESCAPES))
    adapter_folders.write(folder / "based", base_model_name_or_path=ESCAPES + "[bold]x[/]")
    (folder / "there.yaml").write_text(yaml.safe_dump({"adapters": ["a", "b"], "output": NAME, "method": "ta"}))
    assert coremerge("merge", "a", "b", "-o", "merged").code == 0
    return folder


@pytest.mark.parametrize("what", COMMANDS)
def test_nothing_draws_on_the_terminal(what: str, files: Path, coremerge: Ask) -> None:
    said = coremerge(*COMMANDS[what], seconds=30)  # what a stranger's text costs is test_files.py's
    assert said.stdout + said.stderr


@pytest.mark.parametrize("what", JSON)
def test_json_is_json(what: str, files: Path, coremerge: Ask) -> None:
    def refuse(name: str) -> NoReturn:
        raise AssertionError(name)

    outcome = coremerge(*JSON[what], "--json", seconds=30)
    assert isinstance(json.loads(outcome.stdout, parse_constant=refuse), dict)


def test_numbers_that_are_not_finite_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    from coremerge_ref.cli.reporting import emit

    emit({"a": [float("nan"), {"b": float("-inf")}, (1.5, float("inf"))], "c": True})
    assert json.loads(capsys.readouterr().out) == {"a": [None, {"b": None}, [1.5, None]], "c": True}


@pytest.mark.parametrize("words", [["inspect", "a"], ["merge", "a", "-o", "out"], ["merge", "--methods"], ["--help"]])
def test_a_reader_that_left_is_no_failure(words: list[str], folder: Path, coremerge: Ask) -> None:
    outcome = coremerge(*words, stdout="a pipe that nobody reads")
    assert (outcome.code, outcome.stderr) == (0, "")


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_full_disk_after_a_merge_is_said_as_such(more: list[str], folder: Path, coremerge: Ask) -> None:
    outcome = coremerge("merge", "a", "-o", "out", *more, stdout="/dev/full")
    assert outcome.code == 1
    assert "standard output: No space left on device; all else is done" in outcome.stderr
    assert (folder / "out" / "coremerge.json").exists()


def test_a_plot_overwrites_nothing_that_is_no_picture(folder: Path, coremerge: Ask) -> None:
    places: dict[str, Callable[[Path], Any]] = {
        "thesis.png": lambda path: path.write_text("years of work"),
        "adapter.svg": lambda path: path.symlink_to("a/adapter_config.json"),
        "folder.png": Path.mkdir,
        "pipe.png": os.mkfifo,
    }
    for name, make in places.items():
        make(folder / name)
        assert "picture" in coremerge("explain", "a", "b", "--plot", name, seconds=30).message
    assert (folder / "thesis.png").read_text() == "years of work"
    (folder / "drawn.svg").write_text("<?xml version='1.0'?><svg></svg>")
    for name in ("new.png", "drawn.svg"):
        assert coremerge("explain", "a", "--layer", "conv", "--plot", name, seconds=30).code == 0
        assert (folder / name).stat().st_size > 1000
    assert "picture" in coremerge("explain", "a", "b", "--plot", "no/such/folder.png", seconds=30).message


@pytest.mark.parametrize(
    "array",
    [
        np.float32(1.0),
        np.zeros((0, 5), np.float32),
        np.ones((4, 5), np.int32),
        np.ones((4, 5), np.complex64),
        np.ones((4, 5), bool),
        np.full((4, 5), np.nan, np.float32),
        np.ones(20, np.float32),
    ],
    ids=["0-d", "empty", "integers", "complex", "booleans", "NaN", "1-d"],
)
def test_targets_that_are_no_matrices_are_refused(array: np.ndarray, folder: Path, coremerge: Ask) -> None:
    save_file({"layers.0.q.weight": np.asarray(array)}, folder / "delta.safetensors")
    assert "layers.0.q.weight" in coremerge("compare", "a", "delta.safetensors").message
