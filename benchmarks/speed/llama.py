"""A whole Llama-3-8B set of adapters, from PEFT folders to a PEFT folder, by the command line.

    python -m benchmarks.speed.llama [--quick] [--dtype float32] [--tasks 6] [--rank 16] [--folder DIR] [--output FILE]

Makes the folders where they are not there yet, then runs `coremerge merge --method tsv` in a process of its own and
reports wall time and peak resident memory against the size of the input files. Goals: 6 s on two cores, 2.5 times.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from benchmarks.speed.shapes import LLAMA_8B, LLAMA_8B_BLOCKS, factors

DTYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


def make(folder: Path, task: int, blocks: int, rank: int, dtype: str, shrink: int = 1) -> None:
    """One adapter folder as PEFT saves it; shrink divides all widths."""
    folder.mkdir(parents=True)
    tensors = {}
    for block in range(blocks):
        for name, (m, n) in LLAMA_8B.items():
            ((B, A),) = factors(m // shrink, n // shrink, (rank,), seed=zlib.crc32(f"{task} {block} {name}".encode()))
            module = f"base_model.model.model.layers.{block}.self_attn.{name}"
            tensors[f"{module}.lora_A.weight"] = A.astype(DTYPES[dtype])
            tensors[f"{module}.lora_B.weight"] = B.astype(DTYPES[dtype])
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA", "base_model_name_or_path": "meta-llama/Meta-Llama-3-8B", "task_type": "CAUSAL_LM",
        "r": rank, "lora_alpha": 2 * rank, "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": False,
        "target_modules": sorted(LLAMA_8B), "inference_mode": True,
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2))


def adapters(root: Path, tasks: int, blocks: int, rank: int, dtype: str, shrink: int) -> Iterator[Path]:
    """The folders, made one at a time; one that is there is kept."""
    for task in range(tasks):
        folder = root / f"task{task}"
        if not (folder / "adapter_config.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder, task, blocks, rank, dtype, shrink)
        yield folder


def merged(folders: list[Path], output: Path, more: list[str]) -> dict[str, float]:
    """Runs the command and returns wall seconds, peak bytes, bytes read and written."""
    command = [sys.executable, "-m", "coremerge_ref", "merge", *map(str, folders), "-o", str(output), "--method", "tsv"]
    started = time.perf_counter()
    process = subprocess.Popen([*command, "--force", "--json", *more], stdout=subprocess.PIPE)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{' '.join(command)} failed: {printed.decode()}")
    unit = 1 if sys.platform == "darwin" else 1024
    size = sum((folder / "adapter_model.safetensors").stat().st_size for folder in folders)
    written = (output / "adapter_model.safetensors").stat().st_size
    return {"seconds": wall, "peak": usage.ru_maxrss * unit, "input": size, "output": written}


def main() -> None:
    """Makes, merges three times, and reports the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two blocks of a quarter of the width, once")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--tasks", type=int, default=6)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--folder", type=Path, help="keep the adapters here; a temporary folder by default")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("more", nargs="*", help="further options of coremerge merge, after --")
    args = parser.parse_args()
    blocks, shrink = (2, 4) if args.quick else (LLAMA_8B_BLOCKS, 1)
    with tempfile.TemporaryDirectory(prefix="coremerge-llama-") as temporary:
        root = args.folder or Path(temporary)
        folders = list(adapters(root / args.dtype, args.tasks, blocks, args.rank, args.dtype, shrink))
        for folder in folders:  # into the page cache, so that the disk is not what is timed
            (folder / "adapter_model.safetensors").read_bytes()
        runs = [merged(folders, root / "merged", args.more) for _ in range(1 if args.quick else 3)]
    result = {key: float(np.median([run[key] for run in runs])) for key in runs[0]}
    peak, size, written = (result[key] / 2**20 for key in ("peak", "input", "output"))
    print(
        f"{blocks * len(LLAMA_8B)} layers, {args.tasks} tasks of rank {args.rank}, {args.dtype}: "
        f"{result['seconds']:.2f} s (goal 6), peak {peak:.0f} MiB = {peak / size:.2f} times the {size:.0f} MiB "
        f"of input (goal 2.5), {written:.0f} MiB written"
    )
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps({"quick": args.quick, "dtype": args.dtype, "runs": runs, **result}) + "\n")


if __name__ == "__main__":
    main()
