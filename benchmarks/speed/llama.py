"""A whole Llama-3-8B set of adapters, from PEFT folders to a PEFT folder, by the command line.

    python -m benchmarks.speed.llama [--quick] [--dtype float32] [--tasks 6] [--rank 16] [--folder DIR] [--output FILE]

Makes the folders where they are not there yet, then runs `coremerge merge --method tsv` and benchmarks/speed/floor.py
in turn, each in a process of its own with one thread for arithmetic, and reports processor time, wall time and peak
resident memory. Goals: 1.3 times the floor's processor time, and 2.5 times the size of the input files in memory.
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

from benchmarks.speed.paired import Paired
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
    """Runs the command; wall and processor seconds, peak bytes, bytes read and written."""
    run = ["coremerge_ref", "merge", *map(str, folders), "-o", str(output), "--method", "tsv", "--force", "--json"]
    size = sum((folder / "adapter_model.safetensors").stat().st_size for folder in folders)
    result = timed([*run, *more])
    return result | {"input": size, "output": (output / "adapter_model.safetensors").stat().st_size}


def floor(folders: list[Path], output: Path) -> dict[str, float]:
    """Runs benchmarks/speed/floor.py; wall and processor seconds, peak bytes."""
    return timed(["benchmarks.speed.floor", str(output), *map(str, folders)])


def timed(module: list[str]) -> dict[str, float]:
    """Runs a module, one thread for arithmetic; wall and processor seconds, peak bytes."""
    command = [sys.executable, "-m", *module]
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    one["PYTHONDONTWRITEBYTECODE"] = ""  # or the package is compiled anew each time
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | one)
    assert process.stdout is not None
    with process.stdout:
        printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)  # or Popen thinks that it still runs
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed: {printed.decode()}")
    unit = 1 if sys.platform == "darwin" else 1024
    return {"wall": wall, "seconds": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * unit}


def main() -> None:
    """Makes, merges five times, and reports the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two blocks of a quarter of the width, once")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--tasks", type=int, default=6)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
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
        rounds = range(1 if args.quick else args.rounds)
        runs = [(merged(folders, root / "merged", args.more), floor(folders, root / "floor")) for _ in rounds]
    result = {key: float(np.median([ours[key] for ours, _ in runs])) for key in runs[0][0]}
    times = Paired({"ours": [ours["seconds"] for ours, _ in runs], "floor": [least["seconds"] for _, least in runs]})
    result |= {"floor": times.median("floor"), "ratio": times.ratio("ours", "floor")}
    result |= dict(zip(("low", "high"), times.spread("ours", "floor"), strict=True))
    print(
        f"{blocks * len(LLAMA_8B)} layers, {args.tasks} tasks of rank {args.rank}, {args.dtype}: "
        f"{result['seconds']:.2f} s of processor time, {result['ratio']:.2f} times the floor's {result['floor']:.2f} s "
        f"(goal 1.3), peak "
        f"{result['peak'] / 2**20:.0f} MiB = {result['peak'] / result['input']:.2f} times the input (goal 2.5)"
    )
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        told = {"quick": args.quick, "dtype": args.dtype, "layers": blocks * len(LLAMA_8B), "runs": runs, **result}
        args.output.write_text(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
