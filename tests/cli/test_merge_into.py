"""coremerge merge --into on the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

Run = Callable[..., Any]


@pytest.fixture
def base(adapters: list[str]) -> Path:
    """A base model for the three adapters, in two files."""
    folder = Path("base")
    folder.mkdir()
    shapes = {"layers.0.q.weight": (6, 5), "layers.1.q.weight": (6, 5), "head.weight": (3, 6), "norm.weight": (6,)}
    tensors = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    files = {name: f"model-0000{1 + (name > 'layers.1')}-of-00002.safetensors" for name in tensors}
    for file in set(files.values()):
        save_file({name: tensor for name, tensor in tensors.items() if files[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    (folder / "config.json").write_text(json.dumps({"model_type": "tiny"}))
    return folder


def test_the_output_is_the_model(run: Run, base: Path) -> None:
    result = run("merge", "a", "b", "--into", "base", "-o", "fused", "-m", "ta", "--weights", "1,-0.5")
    assert result.exit_code == 0, result.output
    assert "2 adapters, 3 layers" in result.stdout
    assert "added to the weights of the base" in result.stdout
    for file in base.glob("*.safetensors"):
        before, after = load_file(file), load_file(Path("fused") / file.name)
        assert before.keys() == after.keys()
        assert all(np.array_equal(after[name], before[name]) == ("norm" in name) for name in before)


def test_dry_run_checks_and_writes_nothing(run: Run, refused: Callable[..., str], base: Path) -> None:
    result = run("merge", "a", "b", "--into", "base", "-o", "fused", "--dry-run")
    assert result.exit_code == 0
    assert not Path("fused").exists()
    (base / "config.json").write_text(json.dumps({"quantization_config": {"bits": 4}}))
    assert "quantised" in refused("merge", "a", "b", "--into", "base", "-o", "fused", "--dry-run")


def test_verify_and_config_repeat_it(run: Run, base: Path) -> None:
    assert run("merge", "a", "b", "--into", "base", "-o", "fused").exit_code == 0
    assert "bit for bit" in run("verify", "fused").stdout
    assert run("merge", "--config", "fused/coremerge.json", "-o", "again").exit_code == 0
    for file in base.glob("*.safetensors"):
        assert (Path("again") / file.name).read_bytes() == (Path("fused") / file.name).read_bytes()


def test_verify_sees_another_base(run: Run, base: Path) -> None:
    assert run("merge", "a", "--into", "base", "-o", "fused").exit_code == 0
    for file in base.glob("*.safetensors"):
        save_file({name: 2 * tensor for name, tensor in load_file(file).items()}, file)
    result = run("verify", "fused")
    assert result.exit_code == 1
    assert "gives another result" in result.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--into", "nowhere"], "nowhere"),
        (["--into", "a"], "expected a base model, got an adapter"),
        (["--into", "base", "--dense"], "dense"),
        (["--into", "base", "--dtype", "float32"], "dtype"),
        (["--into", "base", "--force"], "replaces no folder"),
        (["--into", "base", "--others", "first"], "--into"),
    ],
)
def test_refusals(words: list[str], told: str, refused: Callable[..., str], base: Path) -> None:
    assert told in refused("merge", "a", "b", "-o", "fused", *words)
