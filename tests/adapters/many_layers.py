"""An adapter of ten layers of two shapes in turn, so that merges do not write them in the order of their names."""

import json
import shutil
from pathlib import Path

import adapter_folders
import numpy as np
import pytest

from coremerge_ref.adapters import layer

LAYERS = [f"layers.{i}" for i in range(10)]
SHAPES = ((4, 6), (5, 3))
# layers of equal shapes and ranks go through together
WRITTEN = [*LAYERS[::2], *(name for name in LAYERS[1::2] if name != "layers.3"), "layers.3"]


def write(folder: Path, seed: int, rank: int = 2) -> Path:
    """Ranks are `rank`, but for layers.3, whose is one more."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for i, name in enumerate(LAYERS):
        m, n = SHAPES[i % 2]
        r = rank + (i == 3)
        tensors[f"base_model.model.{name}.lora_A.weight"] = rng.standard_normal((r, n)).astype(np.float32)
        tensors[f"base_model.model.{name}.lora_B.weight"] = rng.standard_normal((m, r)).astype(np.float32)
    return adapter_folders.write(
        folder, tensors, r=rank, rank_pattern={"layers.3": rank + 1}, target_modules=LAYERS, fan_in_fan_out=None
    )


def pair(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Adapters a and b in `folder`, which becomes the current one; every layer is a batch, and so a piece."""
    monkeypatch.setattr(layer, "BATCH_BYTES", 1)
    monkeypatch.chdir(folder)
    for seed, name in enumerate("ab"):
        write(folder / name, seed)


def taken(output: Path) -> dict[str, bytes]:
    """All that is in the folder, which is removed."""
    content = {path.name: path.read_bytes() for path in sorted(output.iterdir())}
    shutil.rmtree(output)
    return content


def order(path: Path) -> list[str]:
    """The tensors of a safetensors file as they lie in it."""
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    header.pop("__metadata__", None)
    return sorted(header, key=lambda name: header[name]["data_offsets"])
