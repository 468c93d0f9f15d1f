"""python measuring_fusion.py FOLDER SIDE SHARDS: memory that fusing a model of so many shards of one weight takes.

Prints [bytes taken, bytes of a shard, bytes of all shards].
"""

import json
import os
import resource
import sys
from pathlib import Path

import adapter_folders
import numpy as np
from safetensors.numpy import save_file

from coremerge_ref.adapters import merge_folders


def main() -> None:
    """Measures; the files are made in a fork, whose memory is not this process's."""
    folder, side, shards = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    maker = os.fork()
    if maker == 0:
        make(folder, side, shards)
        os._exit(0)
    os.waitpid(maker, 0)
    merge_folders([folder / "a"], folder / "out", "ta", into=folder / "base", dry_run=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    merge_folders([folder / "a"], folder / "out", "ta", into=folder / "base")
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    size = 4 * side * side
    print(json.dumps([taken * (1 if sys.platform == "darwin" else 1024), size, size * shards]))


def make(folder: Path, side: int, shards: int) -> None:
    """The base model and an adapter of all its weights."""
    rng = np.random.default_rng(0)
    base, factors, places = folder / "base", {}, {}
    base.mkdir()
    for i in range(shards):
        name, file = f"layers.{i}.q", f"model-{i:05}-of-{shards:05}.safetensors"
        save_file({f"{name}.weight": np.ones((2 * side, side), np.float16) / 8}, base / file)
        places[f"{name}.weight"] = file
        for x, shape in (("A", (2, side)), ("B", (2 * side, 2))):
            factors[f"base_model.model.{name}.lora_{x}.weight"] = rng.standard_normal(shape).astype(np.float32)
    index = {"metadata": {"total_size": 4 * side * side * shards}, "weight_map": places}
    (base / "model.safetensors.index.json").write_text(json.dumps(index))
    adapter_folders.write(folder / "a", factors)


if __name__ == "__main__":
    main()
