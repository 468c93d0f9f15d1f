"""A merge killed before any call to the file system leaves the old output or the new one, and the rest alone."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adapter_folders
import numpy as np
import pytest
from bounded import MORE, Outcome
from safetensors.numpy import load_file, save_file

from coremerge_ref.adapters import merge_folders

OTHERS = ("tokenizer.json", "latest")
STEP = max(1, 5 // MORE)  # every call with `make hostile`, every fifth in CI
SCENARIOS = {"nothing there": (False, True), "exchanged": (True, True), "renamed twice": (True, False)}


def state(folder: Path) -> dict[str, object]:
    """What tells two outputs apart; fails unless the folder is whole."""
    json.loads((folder / "adapter_config.json").read_text())
    json.loads((folder / "coremerge.json").read_text())
    return {name: tensor.tobytes() for name, tensor in load_file(folder / "adapter_model.safetensors").items()}


def hidden(folder: Path) -> list[Path]:
    """Hidden folders with anything in them: one that was killed before it had its mark is empty, and stays."""
    return [path for path in folder.iterdir() if path.name.startswith(".out.coremerge-") and os.listdir(path)]


def remove_unmarked(folder: Path) -> None:
    """Removes those that are empty: a sweep opens each, and for one call more the next kill would come no later."""
    for path in folder.iterdir():
        if path.name.startswith(".out.") and not os.listdir(path):
            path.rmdir()


def with_others(output: Path) -> None:
    (output / "tokenizer.json").write_text("by hand")
    (output / "latest").symlink_to("nowhere")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_kills(scenario: str, folder: Path, coremerge: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # as in bounded_server.kill_before
    there, exchanging = SCENARIOS[scenario]
    merge = ["merge", "b", "-o", "out", "--method", "ta", *(["--force"] if there else [])]
    coremerge("merge", "a", "-o", "before", "--method", "ta")
    with_others(folder / "before")
    coremerge("merge", "b", "-o", "after", "--method", "ta")
    old, new = state(folder / "before"), state(folder / "after")
    assert old != new
    kills = 0
    for number in range(1 + list(SCENARIOS).index(scenario), 100_000, STEP):
        shutil.rmtree(folder / "out", ignore_errors=True)
        if there:
            shutil.copytree(folder / "before", folder / "out", symlinks=True)
        outcome = coremerge(*merge, kill=number, exchange=exchanging)
        if outcome.code == 0:
            break
        assert outcome.code == -signal.SIGKILL, outcome
        kills += 1
        check_after_kill(folder, there, exchanging, old, new)
        for path in hidden(folder) if not (folder / "out").exists() else []:
            shutil.rmtree(path)  # between two renames: the old output is in there, and stays
        remove_unmarked(folder)
    assert kills > 50 // STEP
    assert state(folder / "out") == new
    assert hidden(folder) == []


@pytest.mark.parametrize("there", [False, True])
def test_kills_of_an_output_that_is_a_file(
    there: bool, folder: Path, coremerge: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is the old one or the new one, its record, if it has one, is its own, and the next merge tidies."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    place, output, record = folder / "one", "one/out.safetensors", folder / "one" / "out.coremerge.json"
    for seed, name in enumerate(("x", "y")):
        rng = np.random.default_rng(seed)
        down, up = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 5), (6, 2)))
        alpha = np.asarray(2.0, np.float32)
        save_file(
            {"k.lora_down.weight": down, "k.lora_up.weight": up, "k.alpha": alpha}, folder / f"{name}.safetensors"
        )

    def merge(name: str, **more: Any) -> Outcome:
        return coremerge("merge", f"{name}.safetensors", "-o", output, "--method", "ta", "--force", **more)

    files = {}
    for name in ("x", "y"):
        place.mkdir(exist_ok=True)
        merge(name)
        files[name] = (folder / output).read_bytes()
    old = record.read_bytes(), files["y"]
    kills = 0
    for number in range(1 + there, 100_000, STEP):
        shutil.rmtree(place)
        place.mkdir()
        if there:
            record.write_bytes(old[0])
            (folder / output).write_bytes(old[1])
        outcome = merge("x", kill=number, exchange=True)
        if outcome.code == 0:
            break
        assert outcome.code == -signal.SIGKILL, outcome
        kills += 1
        if (folder / output).exists():
            assert (folder / output).read_bytes() in ((files["x"], files["y"]) if there else (files["x"],))
            assert coremerge("merge", output, "-o", "again.safetensors", "--force", "--dry-run").code == 0
        else:
            assert not there
        merge_folders([folder / "y.safetensors"], folder / output, "ta", force=True)
        assert (folder / output).read_bytes() == files["y"]
        remove_unmarked(place)
        assert {path.name for path in place.iterdir()} == {"out.safetensors", record.name}
    assert kills > 25 // STEP
    assert (folder / output).read_bytes() == files["x"]
    assert "out.safetensors" in json.loads(record.read_text())["outputs"]


def check_after_kill(folder: Path, there: bool, exchanging: bool, old: object, new: object) -> None:
    """What is there is whole and has the files of others; merging again works, and tidies."""
    output = folder / "out"
    if output.exists():
        assert state(output) in ((old, new) if there else (new,))
        places = [output]
    else:
        assert not there or not exchanging
        places = [path for left in hidden(folder) for path in left.iterdir() if path.is_dir()] if there else []
        assert not there or old in [state(path) for path in places]
    for place in places:
        assert not there or (place / "tokenizer.json").read_text() == "by hand"
        assert not there or os.readlink(place / "latest") == "nowhere"
    adapter_folders.write(folder / "c", adapter_folders.lora_tensors(2))
    if output.exists() or not there:
        merge_folders([folder / "c"], output, "ta", force=True)
        assert hidden(folder) == []
        assert not there or (output / "tokenizer.json").read_text() == "by hand"
