"""Adapters that are merged in several ways, and outputs compared byte by byte."""

import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

LAYERS = [f"layers.{i}.{name}" for i in range(6) for name in ("q", "v", "up")]
SHAPES = {"q": (12, 10), "v": (6, 10), "up": (20, 10)}


def write_adapter(folder: Path, seed: int, ranks: dict[str, int] | None = None, rank: int = 3) -> Path:
    """A LoRA of 18 linear layers of three shapes; ranks: of layers whose rank is another."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name in LAYERS:
        m, n = SHAPES[name.rpartition(".")[2]]
        r = (ranks or {}).get(name, rank)
        tensors[f"base_model.model.{name}.lora_A.weight"] = rng.standard_normal((r, n)).astype(np.float32)
        tensors[f"base_model.model.{name}.lora_B.weight"] = rng.standard_normal((m, r)).astype(np.float32)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 4, "base_model_name_or_path": "tiny"}
    config |= {"rank_pattern": dict(ranks or {}), "target_modules": ["q", "v", "up"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def taken(output: Path) -> dict[str, bytes]:
    """All that is in a folder, or a file and its record, which are removed."""
    paths = sorted(output.iterdir()) if output.is_dir() else [output, output.with_name(f"{output.stem}.coremerge.json")]
    content = {path.name: path.read_bytes() for path in paths}
    if output.is_dir():
        shutil.rmtree(output)
    else:
        for path in paths:
            path.unlink()
    return content


def check_same(one: dict[str, bytes], two: dict[str, bytes]) -> None:
    """Fails naming the file that differs."""
    assert list(one) == list(two)
    for name in one:
        assert one[name] == two[name], name
