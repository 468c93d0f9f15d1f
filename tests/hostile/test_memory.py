"""Files that are small on disk and say that they hold terabytes: refused before memory is taken."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import adapter_folders
import numpy as np
import pytest
from bounded import Outcome

SIZE = 1_000_000
NAME = "layers.0.q"
COMMANDS = {
    "compare": ["compare", "wide", "base/model.safetensors", "--method", "ta"],
    "merge --into": ["merge", "wide", "--into", "base", "-o", "out"],
    "merge --dense": ["merge", "wide", "-o", "out", "--dense"],
    "extract": ["extract", "base", "tuned", "-o", "out", "--rank", "2"],
    "explain": ["explain", "wide", "wide", "--space", "full", "--method", "ties"],
}


def sparse(path: Path) -> None:
    """A matrix of four terabytes of zeros, which take no space on disk."""
    path.parent.mkdir()
    entry = {"dtype": "F32", "shape": [SIZE, SIZE], "data_offsets": [0, 4 * SIZE * SIZE]}
    head = json.dumps({f"{NAME}.weight": entry}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head)
    try:
        os.truncate(path, 8 + len(head) + 4 * SIZE * SIZE)
    except OSError as error:
        pytest.skip(f"cannot be made here: {error}")


@pytest.mark.parametrize("what", COMMANDS)
def test_matrices_of_terabytes_are_refused(what: str, folder: Path, coremerge: Callable[..., Outcome]) -> None:
    for name in ("base", "tuned"):
        sparse(folder / name / "model.safetensors")
    prefix = f"{adapter_folders.PREFIX}{NAME}"
    factors = {"lora_A": np.ones((1, SIZE), np.float32), "lora_B": np.ones((SIZE, 1), np.float32)}
    adapter_folders.write(folder / "wide", {f"{prefix}.{end}.weight": array for end, array in factors.items()}, r=1)
    said = coremerge(*COMMANDS[what], seconds=10).message
    assert "GB of memory, and" in said or "GB are free" in said
    assert not (folder / "out").exists()


def test_a_record_that_is_a_pipe_is_not_waited_for(folder: Path, coremerge: Callable[..., Outcome]) -> None:
    os.mkfifo(folder / "a" / "coremerge.json")
    assert coremerge("compare", "b", "a", "--method", "dare+ta", seconds=10).code == 0
