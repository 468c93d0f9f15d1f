"""What a merge says of its layers: ranks raised from 0, and how much of the tasks a lossy space keeps."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from coremerge_ref.adapters import load

Run = Callable[..., Any]


def test_more_adapters_than_live_directions(run: Run, adapters: list[str], write: Callable[..., Path]) -> None:
    """Four tasks on a head of three outputs: ⌊3 / 4⌋ = 0, so each task is cut to rank 1, and the merge says so."""
    write(Path("d"), 3)
    result = run("merge", *adapters, "d", "-o", "out")
    assert result.exit_code == 0, result.output
    note = (
        "tsv: there are more tasks than live directions, so that each was cut to rank 1, not 0, in 1 of 3 layers: head"
    )
    assert note in " ".join(result.stderr.split())
    assert load_file("out/adapter_model.safetensors")["base_model.model.head.lora_B.weight"].any()
    assert "rank 1" not in run("merge", *adapters, "-o", "three").stderr


def test_compressed_space_on_the_command_line(run: Run, adapters: list[str], refused: Callable[..., str]) -> None:
    """Any method gives a LoRA of the rank asked, and what each task lost is said."""
    result = run(
        "merge", *adapters, "-o", "out", "--method", "ties", "--space", "compressed", "--set", "compressed.rank=2"
    )
    assert result.exit_code == 0, result.output
    assert all(update.rank == 2 for update in load("out").values())
    kept = json.loads(Path("out/coremerge.json").read_text())["layers"]["head"]["kept"]
    assert len(kept) == 3
    assert 0 < min(kept) < 1
    assert "of the norm of each task's update, least of" in " ".join(result.stderr.split())
    assert "compressed.rank: expected an integer" in refused("merge", *adapters, "-o", "no", "--space", "compressed")


def test_compressed_loses_less_at_a_larger_rank(run: Run, adapters: list[str]) -> None:
    def merged(out: str, *words: str) -> dict[str, np.ndarray]:
        assert run("merge", *adapters, "-o", out, "--method", "ta", *words).exit_code == 0
        return {name: update.to_dense() for name, update in load(out).items()}

    whole = merged("whole")
    parts = [merged(f"out{k}", "--space", "compressed", "--set", f"compressed.rank={k}") for k in (1, 2, 3)]
    for name, update in whole.items():
        lost = [np.linalg.norm(part[name] - update) for part in parts]
        assert lost[0] > lost[1] > lost[2]
