"""coremerge extract on the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

Run = Callable[..., Any]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """base and tuned, which differ in three layers, two of them alike, and in a norm."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    shapes = {"layers.0.q.weight": (8, 6), "layers.1.q.weight": (8, 6), "head.weight": (5, 8), "norm.weight": (8,)}
    for name in ("base", "tuned"):
        Path(name).mkdir()
        tensors = {tensor: rng.standard_normal(shape).astype(np.float32) for tensor, shape in shapes.items()}
        save_file(tensors, f"{name}/model.safetensors")
    save_file({"q.lora_A.weight": np.ones((1, 6)), "q.lora_B.weight": np.ones((8, 1))}, "lora.safetensors")


def test_a_table_and_one_line(run: Run, models: None) -> None:
    result = run("extract", "base", "tuned", "-o", "out", "--rank", 2)
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert [row[0] for row in rows[1:-1]] == ["head", "layers.*.q"]
    assert rows[2][1] == "2"
    assert rows[-1][:5] == ["extracted", "3", "layers", "into", "out:"]
    assert "norm.weight" in result.stderr
    assert run("inspect", "out").exit_code == 0
    assert run("merge", "out", "-o", "merged").exit_code == 0


def test_verify_says_that_it_repeats_merges_alone(run: Run, refused: Callable[..., str], models: None) -> None:
    assert run("extract", "base", "tuned", "-o", "out", "--rank", 2).exit_code == 0
    assert "was extracted: do that again" in refused("verify", "out")


def test_json(run: Run, models: None) -> None:
    told = json.loads(run("extract", "base", "tuned", "-o", "out", "--retain", 0.8, "--json").stdout)
    assert told["layers"].keys() == {"head", "layers.0.q", "layers.1.q"}
    assert all(facts["energy"] >= 0.8 for facts in told["layers"].values())
    assert told["unchanged"] == []


def test_a_picture(run: Run, models: None) -> None:
    pytest.importorskip("matplotlib")
    assert run("extract", "base", "tuned", "-o", "out", "--rank", 2, "--plot", "kept.svg").exit_code == 0
    assert "<svg" in Path("kept.svg").read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["base", "tuned"], "give rank or retain"),
        (["base", "nowhere", "--rank", 1], "nowhere"),
        (["base", "lora.safetensors", "--rank", 1], "expected a base model, got an adapter"),
        (["base", "base", "--rank", 1], "nothing to extract"),
        (["base", "tuned", "--rank", 0], "rank: expected"),
        (["base", "tuned", "--rank", 1, "--svd", "some"], "svd: expected"),
        (["base", "tuned", "--rank", 1, "--include", "("], "regular expression"),
        (["base", "tuned", "--rank", 1, "--plot", "x.doc"], ".png or .svg"),
        (["base/model.safetensors", "tuned", "--rank", 1, "--exclude", "*"], "got none"),
    ],
)
def test_refusals(words: list[Any], told: str, refused: Callable[..., str], models: None) -> None:
    assert told in refused("extract", *words, "-o", "out")


def test_places_that_may_not_be_written(refused: Callable[..., str], models: None) -> None:
    assert "already exists" in refused("extract", "base", "tuned", "-o", "base", "--rank", 1)
    assert "error" in refused("extract", "base", "tuned", "-o", "tuned", "--rank", 1, "--force")
