"""LoRAs of an image model, one file each, as kohya-ss writes: merged into one of the same kind, and made smaller."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from safetensors.numpy import load_file, save_file

from coremerge_ref.adapters import load, merge_folders

rng = np.random.default_rng(0)
layers = [f"lora_unet_down_blocks_{i}_attentions_0_proj_in" for i in range(3)]


def style(path, rank, alpha):
    """A file with random numbers in place of a trained style."""
    tensors = {}
    for layer in layers:
        tensors[f"{layer}.lora_down.weight"] = rng.standard_normal((rank, 64)).astype(np.float16)
        tensors[f"{layer}.lora_up.weight"] = rng.standard_normal((32, rank)).astype(np.float16)
        tensors[f"{layer}.alpha"] = np.array(alpha, np.float16)
    save_file(tensors, path, {"ss_base_model_version": "sd_v1", "ss_network_module": "networks.lora"})


with TemporaryDirectory() as place:
    ink, film, out = (str(Path(place, f"{name}.safetensors")) for name in ("ink", "film", "out"))
    style(ink, rank=4, alpha=2.0)
    style(film, rank=8, alpha=8.0)

    merge_folders([ink, film], out, "ta", weights=[0.7, 0.5])  # 0.7 ink + 0.5 film, exactly
    one, two, merged = (load(path)[layers[0]].to_dense() for path in (ink, film, out))
    expected = 0.7 * one.astype(float) + 0.5 * two
    print(np.linalg.norm(merged - expected) < 1e-3 * np.linalg.norm(expected))  # True

    merge_folders([ink, film], out, "tsv", rank=6, force=True)  # the nearest of rank 6
    print(load_file(out)[f"{layers[0]}.lora_down.weight"].shape)  # (6, 64)
