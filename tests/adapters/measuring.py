"""python measuring.py FOLDER SIDE: the most memory that a merge of one layer in full space takes, for every method.

Prints {method: [bytes taken, bytes said]}; each merge runs in a fork of this process.
"""

import json
import os
import resource
import sys
from pathlib import Path

import adapter_folders
import numpy as np

from coremerge_ref.adapters import memory, merge_folders
from coremerge_ref.methods import STAGES


def main() -> None:
    """Measures."""
    folder, side = Path(sys.argv[1]), int(sys.argv[2])
    rng = np.random.default_rng(0)
    for t in range(2):
        tensors = {f"base_model.model.q.lora_{x}.weight": rng.standard_normal(s).astype("f4") for x, s in
                   (("A", (2, side)), ("B", (side, 2)))}  # fmt: skip
        adapter_folders.write(folder / f"a{t}", tensors)
    paths = [folder / "a0", folder / "a1"]
    merge_folders(paths, folder / "out", "ties", "full", dense=True, dry_run=True)
    methods = sorted(name for name, stage in STAGES.items() if stage.kind == "merge")
    methods += [f"{name}+ta" for name, stage in STAGES.items() if stage.kind == "transform"]
    print(json.dumps({method: measured(paths, folder, method) for method in [*methods, "dare+ties+iso"]}))


def measured(paths: list[Path], folder: Path, method: str) -> tuple[float, float]:
    """Bytes that a merge takes, and those that memory.py says."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = []
        real = memory._needed
        memory._needed = lambda *arguments: said.append(real(*arguments)) or said[-1]
        merge_folders(paths, folder / "none", method, "full", dense=True, dry_run=True)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        merge_folders(paths, folder / f"of-{method}", method, "full", dense=True)
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(writing, json.dumps([taken * (1 if sys.platform == "darwin" else 1024), said[-1]]).encode())
        os._exit(0)
    os.waitpid(child, 0)
    taken, said = json.loads(os.read(reading, 1000))
    return taken, said


if __name__ == "__main__":
    main()
