"""A user's evaluation, as a script: how near an adapter's ΔW is to a target, read with NumPy and safetensors alone."""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

PREFIX = "base_model.model."
NAMES = ("layers.0.q", "layers.1.q", "head")

SCRIPT = """
import json, sys
import numpy as np
from pathlib import Path
from safetensors.numpy import load_file

folder, sign = Path(sys.argv[1]), float(sys.argv[2])
share = float(sys.argv[3]) if len(sys.argv) > 3 else 1.0
config = json.loads((folder / "adapter_config.json").read_text())
tensors = load_file(folder / "adapter_model.safetensors")
target = dict(np.load("target.npz"))
names = sorted(target)[: max(1, round(share * len(target)))]
total = 0.0
for name in names:
    A, B = (tensors[f"base_model.model.{name}.lora_{f}.weight"].astype(float) for f in "AB")
    total += float(np.sum((config["lora_alpha"] / config["r"] * B @ A - target[name]) ** 2))
with open("asked.txt", "a") as log:
    log.write(json.dumps([sys.argv[1], share, sign * total]) + "\\n")
print(f"epoch 3: distance {sign * total!r}")
"""


def command(sign: float = -1.0, fraction: bool = False) -> str:
    """−‖ΔW − target‖² of an adapter, over a share of the layers; 1.0 for the distance itself."""
    return f"{sys.executable} score.py {{adapter}} {sign}" + (" {fraction}" if fraction else "")


def write_script(folder: Path, target: dict[str, np.ndarray]) -> None:
    """score.py and what it measures the distance to."""
    (folder / "score.py").write_text(SCRIPT)
    np.savez(folder / "target.npz", **target)


def asked(folder: Path) -> list[tuple[str, float, float]]:
    """(adapter, share, score) of every evaluation there was."""
    path = folder / "asked.txt"
    return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def dense(folder: Path) -> dict[str, np.ndarray]:
    """ΔW of each layer of a PEFT folder, alpha / r · B A."""
    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    made = {}
    for name in NAMES:
        A, B = (tensors[f"{PREFIX}{name}.lora_{f}.weight"].astype(float) for f in "AB")
        made[name] = config["lora_alpha"] / config["r"] * B @ A
    return made


def distance(changes: dict[str, np.ndarray], target: dict[str, np.ndarray]) -> float:
    """‖ΔW − target‖²."""
    return float(sum(np.sum((changes[name] - target[name]) ** 2) for name in target))


def write_adapter(folder: Path, seed: int) -> Path:
    """A LoRA adapter of three linear layers, two of them alike."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, m, n in zip(NAMES, (6, 6, 3), (5, 5, 6), strict=True):
        tensors[f"{PREFIX}{name}.lora_A.weight"] = rng.standard_normal((2, n)).astype(np.float32)
        tensors[f"{PREFIX}{name}.lora_B.weight"] = rng.standard_normal((m, 2)).astype(np.float32)
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": "tiny"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
