"""GGUF adapters made by hand with the gguf package, skipped where it is not installed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest


def draw(seed: int, *shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


ALPHA = 16.0


def gguf_file(path: Path, tensors: dict[str, Any], alpha: float | None = ALPHA, **strings: str) -> Path:
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_string("general.type", strings.pop("general_type", "adapter"))
    writer.add_string("adapter.type", strings.pop("adapter_type", "lora"))
    writer.add_string("general.name", "n")
    for key, value in strings.items():
        writer.add_string(f"general.{key}", value)
    if alpha is not None:
        writer.add_float32("adapter.lora.alpha", alpha)
    for name, array in tensors.items():
        if isinstance(array, tuple):
            data, kind = array
            writer.add_tensor(name, data, raw_dtype=kind)
        else:
            writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def gguf_tensors(seed: int, r: int, dtype: Any = np.float32) -> dict[str, np.ndarray]:
    return {
        "blk.0.attn_q.weight.lora_a": draw(seed, r, 5, dtype=dtype),
        "blk.0.attn_q.weight.lora_b": draw(seed + 1, 4, r, dtype=dtype),
        "token_embd.weight.lora_a": draw(seed + 2, 9, r, dtype=dtype),
        "token_embd.weight.lora_b": draw(seed + 3, 4, r, dtype=dtype),
        "blk.0.ffn_up_exps.weight.lora_a": draw(seed + 4, 3, r, 6, dtype=dtype),
        "blk.0.ffn_up_exps.weight.lora_b": draw(seed + 5, 3, 7, r, dtype=dtype),
    }
