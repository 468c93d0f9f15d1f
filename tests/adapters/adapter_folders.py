"""Adapter folders made by hand with NumPy: the bases that refusal and damage tests start from."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

PREFIX = "base_model.model."
CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "r": 2,
    "lora_alpha": 4,
    "use_rslora": False,
    "fan_in_fan_out": False,
    "bias": "none",
    "rank_pattern": {},
    "alpha_pattern": {},
    "target_modules": ["q", "conv", "emb"],
    "base_model_name_or_path": "base",
}


def lora_tensors(seed: int = 0) -> dict[str, np.ndarray]:
    """A linear layer, a convolution and an embedding of rank 2, in float32."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    return {
        f"{PREFIX}layers.0.q.lora_A.weight": draw(2, 5),
        f"{PREFIX}layers.0.q.lora_B.weight": draw(4, 2),
        f"{PREFIX}conv.lora_A.weight": draw(2, 3, 3, 3),
        f"{PREFIX}conv.lora_B.weight": draw(4, 2, 1, 1),
        f"{PREFIX}emb.lora_embedding_A": draw(2, 7),
        f"{PREFIX}emb.lora_embedding_B": draw(3, 2),
    }


def vera_tensors(seed: int = 0) -> dict[str, np.ndarray]:
    """Two linear layers of one size, of rank 2."""
    rng = np.random.default_rng(seed)
    tensors = {"base_model.vera_A": rng.standard_normal((2, 5)), "base_model.vera_B": rng.standard_normal((4, 2))}
    for name in ("q", "k"):
        tensors[f"{PREFIX}{name}.vera_lambda_b"] = rng.standard_normal(4)
        tensors[f"{PREFIX}{name}.vera_lambda_d"] = rng.standard_normal(2)
    return {name: array.astype(np.float32) for name, array in tensors.items()}


def write(folder: Path, tensors: dict[str, np.ndarray] | None = None, **fields: Any) -> Path:
    """An adapter folder with those tensors and config fields; a field of None is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {n: np.ascontiguousarray(t) for n, t in (lora_tensors() if tensors is None else tensors).items()},
        folder / "adapter_model.safetensors",
    )
    config = {key: value for key, value in {**CONFIG, **fields}.items() if value is not None}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
