"""Adapters to merge on the command line, and a way to run it inside this process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from coremerge_ref.cli import build


def write_adapter(folder: Path, seed: int, **fields: Any) -> Path:
    """A LoRA adapter of three linear layers, two of them alike."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, m, n in (("layers.0.q", 6, 5), ("layers.1.q", 6, 5), ("head", 3, 6)):
        tensors[f"base_model.model.{name}.lora_A.weight"] = rng.standard_normal((2, n)).astype(np.float32)
        tensors[f"base_model.model.{name}.lora_B.weight"] = rng.standard_normal((m, 2)).astype(np.float32)
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": "tiny", **fields}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def write() -> Callable[..., Path]:
    """write(folder, seed, **config fields) → the folder, now an adapter."""
    return write_adapter


@pytest.fixture
def adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three adapters, a, b and c, in the folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    return [str(write_adapter(tmp_path / name, seed).relative_to(tmp_path)) for seed, name in enumerate("abc")]


@pytest.fixture
def run() -> Callable[..., Any]:
    """run("merge", …) → result with exit_code, stdout, stderr."""
    return lambda *words: CliRunner().invoke(build(), [str(word) for word in words])


@pytest.fixture
def refused(run: Callable[..., Any], tmp_path: Path) -> Callable[..., str]:
    """refused("merge", …) → the one line on stderr; checks exit code 2, empty stdout, nothing written."""

    def there() -> list[Path]:
        """All but what Python itself puts beside a module that it imports."""
        return sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts)

    def refused(*words: Any) -> str:
        before = there()
        result = run(*words)
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        assert there() == before
        assert result.stderr.startswith("coremerge: error: ")
        assert result.stderr.count("\n") == 1
        return str(result.stderr)

    return refused
