"""The command that compare ends with makes the merge again."""

import json
import shlex
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from coremerge_ref.testing import THRESHOLD, ratio

Run = Callable[..., Any]


def products(folder: str) -> dict[str, np.ndarray]:
    """ΔW of every layer of a folder that coremerge wrote, in float64."""
    dense = Path(folder) / "delta_weights.safetensors"
    if dense.exists():
        return {name: X.astype(float) for name, X in load_file(dense).items()}
    tensors = load_file(f"{folder}/adapter_model.safetensors")
    config = json.loads(Path(folder, "adapter_config.json").read_text())
    scale = config["lora_alpha"] / config["r"]
    names = [name for name in tensors if "lora_A" in name]
    assert not config.get("rank_pattern")
    assert not config.get("alpha_pattern")
    return {n: scale * tensors[n.replace("lora_A", "lora_B")].astype(float) @ tensors[n].astype(float) for n in names}


@pytest.mark.parametrize(
    "words",
    [
        ("--method", "tsv", "--scale", "0.5"),
        ("--method", "tsv", "--set", "tsv.k=1"),
        ("--method", "ta", "--weights=-1,0.5,2"),
        ("--method", "cart", "--set", "cart.k=1", "--set", "cart.coefficient=2.5", "--scale", "-0.75"),
        ("--method", "ties", "--set", "ties.density=0.5", "--set", "ties.elect=count", "--basis", "tucker"),
        ("--method", "ties", "--set", "ties.density=0.4", "--space", "full", "--dense"),
        ("--method", "ties", "--set", "ties.density=0.4", "--space", "full", "--rank", "2"),
        ("--method", "trim+ta", "--space", "knots", "--set", "knots.transposed=true", "--set", "trim.density=0.3"),
        ("--method", "dare+ties", "--set", "dare.seed=731", "--set", "dare.drop=0.45", "--set", "ties.density=0.5"),
    ],
    ids=" ".join,
)
def test_the_command_makes_it_again(words: tuple[str, ...], run: Run, adapters: list[str]) -> None:
    assert run("merge", *adapters, "-o", "out", *words).exit_code == 0
    method = words[words.index("--method") + 1]
    known = [
        word
        for option, word in pairwise(words)
        if option == "--set" and word.startswith(("dare", "ties.density", "trim"))
    ]
    sets = [word for value in known for word in ("--set", value)]
    result = run("compare", *adapters, "out", "--method", method, *sets, "--json")
    command = json.loads(result.stdout)["command"]
    assert command, result.stdout
    again = run(*shlex.split(command)[1:])
    assert again.exit_code == 0, again.output
    want, got = products("out"), products("again")
    assert want.keys() == got.keys()
    for name, X in want.items():
        assert ratio(got[name], X, float(np.linalg.norm(X)), 2.0**-23) <= THRESHOLD, (command, name)


def test_the_command_ends_what_compare_says(run: Run, adapters: list[str]) -> None:
    run("merge", *adapters, "-o", "out", "--method", "ta", "--scale", "0.5")
    lines = run("compare", *adapters, "out", "--method", "ta").stdout.splitlines()
    assert lines[-2:] == [
        "to make it again:",
        f"  coremerge merge {' '.join(adapters)} -o again --method ta --scale=0.5",
    ]


def test_no_command_for_what_no_merge_is(run: Run, adapters: list[str]) -> None:
    assert "again" not in run("compare", *adapters[:2], adapters[2], "--method", "ta").stdout
    assert json.loads(run("compare", *adapters[:2], adapters[2], "--method", "ta", "--json").stdout)["command"] is None


def test_names_with_spaces_are_quoted(run: Run, adapters: list[str]) -> None:
    Path("a").rename("my adapter")
    run("merge", "my adapter", "b", "-o", "out", "--method", "ta")
    assert "'my adapter' b -o again" in run("compare", "my adapter", "b", "out", "--method", "ta").stdout
