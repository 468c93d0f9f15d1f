"""The base model as an adapter times nothing, in formats whose loaders take an alpha of 0 for a missing one."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import coremerge_ref as cm
from coremerge_ref.adapters import merge_folders


def write_kohya(path: Path, seed: int) -> Path:
    """One layer, as kohya-ss writes it in float16."""
    rng = np.random.default_rng(seed)
    name = "lora_unet_down_blocks_0_attentions_0_proj_in"
    save_file(
        {
            f"{name}.lora_down.weight": rng.normal(size=(4, 8)).astype(np.float16),
            f"{name}.lora_up.weight": rng.normal(size=(6, 4)).astype(np.float16),
            f"{name}.alpha": np.asarray(2.0, np.float16),
        },
        path,
    )
    return path


def as_kohya_loads(path: Path) -> np.ndarray:
    """ΔW by kohya-ss's own rule: an alpha that is None or 0 is the rank."""
    tensors = load_file(path)
    (up,) = (value for name, value in tensors.items() if name.endswith("lora_up.weight"))
    (down,) = (value for name, value in tensors.items() if name.endswith("lora_down.weight"))
    (alpha,) = (float(value) for name, value in tensors.items() if name.endswith("alpha"))
    rank = down.shape[0]
    return (alpha or rank) / rank * up.astype(float) @ down.astype(float)


@pytest.mark.parametrize("output", ["merged.safetensors", "merged"])
def test_the_base_model_is_nothing_to_a_loader_that_takes_alpha_0_for_none(output: str, tmp_path: Path) -> None:
    inputs = [write_kohya(tmp_path / f"{seed}.safetensors", seed) for seed in range(2)]
    merge_folders(inputs, tmp_path / output, "ta")
    seen: list[Path] = []

    def size(path: Path) -> float:
        seen.append(path)
        file = path if path.is_file() else next(path.glob("*.safetensors"))
        return float(np.linalg.norm(as_kohya_loads(file)))

    found = cm.sweep(tmp_path / output, size, [1.0])
    nothing, *alone = found.baselines
    assert nothing.score is not None
    assert nothing.score < 2.0**-24 * found.score
    assert [b.score for b in alone] == [float(np.linalg.norm(as_kohya_loads(path))) for path in inputs]
    kind = Path(output).suffix
    assert {path.suffix for path in seen} == {kind}  # all of the kind that the merge is of
