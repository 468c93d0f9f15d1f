"""What no merge of adapter folders can do without: python -m benchmarks.speed.floor OUT FOLDER…

Reads the files, hashes them, casts factors to float64, and for either side of every layer takes the Gram matrix of
the stack and one product of the stack with a triangular matrix; writes those, float32, as one file. Nothing is
merged.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file


def floor(folders: list[Path], output: Path) -> None:
    """The work described above."""
    files = [folder / "adapter_model.safetensors" for folder in folders]
    for path in files:
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")
    opened = [safe_open(path, "np") for path in files]
    written = {}
    for name in opened[0].keys():  # noqa: SIM118, it is no mapping
        factors = [file.get_tensor(name).astype(np.float64) for file in opened]
        tall = name.endswith("lora_B.weight")
        X = np.concatenate(factors, axis=1 if tall else 0)
        gram = X.T @ X if tall else X @ X.T
        L = np.tril(np.ones_like(gram))
        written[name] = (X @ L if tall else L @ X).astype(np.float32)
    output.mkdir(parents=True, exist_ok=True)
    save_file(written, output / "adapter_model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    floor([Path(folder) for folder in sys.argv[2:]], Path(sys.argv[1]))
