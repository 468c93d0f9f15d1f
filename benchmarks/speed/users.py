"""What people merge LoRA adapters with today, beside ours: one layer, in one process, in turn.

    python -m benchmarks.speed.users [--quick] [--output FILE]

PEFT's add_weighted_adapter and ours of the same signature run on one live PEFT model of one linear layer, from its
adapters to a new adapter of it; mergekit's and FusionBench's own functions, where those packages are installed, run
on the dense ΔW_t that they ask for, whose forming is timed. Processor time of one thread.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

import coremerge_ref as cm
from benchmarks.speed.paired import paired
from benchmarks.speed.shapes import factors

WHAT = {
    "ours ta": "Σ ΔW_t, exactly, at rank rT",
    "ours ta, rank r": "Σ ΔW_t, its best approximation of rank r",
    "ours ties": "TIES in core space, at rank rT",
    "ours tsv": "TSV in core space, at rank rT",
    "PEFT svd": "Σ ΔW_t dense, float32; SVD to rank r",
    "PEFT ties_svd": "TIES on dense ΔW_t, float32; SVD to rank r",
    "mergekit ties": "TIES on dense ΔW_t, float32; dense",
    "FusionBench ties": "TIES on dense ΔW_t, float32; dense",
    "FusionBench tsv": "TSV on dense ΔW_t, float32, with null vectors; dense",
    "FusionBench iso": "Iso-C on dense ΔW_t, float32, with null vectors; dense",
    "ours iso": "Iso-C in core space, at rank rT",
}

BESIDE = {  # who is compared with whom
    "PEFT svd": "ours ta, rank r", "PEFT ties_svd": "ours ties", "mergekit ties": "ours ties",
    "FusionBench ties": "ours ties", "FusionBench tsv": "ours tsv", "FusionBench iso": "ours iso",
}  # fmt: skip


def functions(width: int, T: int, r: int) -> dict[str, Callable[[], Any]]:
    """The merges by name, of those in WHAT whose packages are installed."""
    given = [(torch.from_numpy(B), torch.from_numpy(A)) for B, A in factors(width, width, (r,) * T)]
    model, names = _model(given), [f"task{t}" for t in range(T)]
    numbers = count()

    def peft(kind: str) -> Callable[[], Any]:
        def run() -> None:
            name = f"merged{next(numbers)}"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.add_weighted_adapter(
                    names, [1.0] * T, name, combination_type=kind, svd_rank=r, density=0.2 if "ties" in kind else None
                )
            model.delete_adapter(name)

        return run

    def ours(method: str, rank: int | None = None) -> Callable[[], Any]:
        def run() -> None:
            name = f"merged{next(numbers)}"
            cm.add_merged_adapter(model, names, name, method, rank=rank, backend="torch")
            model.delete_adapter(name)

        return run

    made = {"ours ta": ours("ta"), "ours ta, rank r": ours("ta", r), "PEFT svd": peft("svd")}
    made |= {
        "ours ties": ours("ties"),
        "PEFT ties_svd": peft("ties_svd"),
        "ours tsv": ours("tsv"),
        "ours iso": ours("iso"),
    }
    return made | _mergekit(given) | _fusion_bench(given)


def _model(given: list) -> Any:
    import peft

    width, T, r = given[0][0].shape[0], len(given), given[0][1].shape[0]
    config = peft.LoraConfig(r=r, lora_alpha=r, target_modules=["0"])
    model = peft.get_peft_model(torch.nn.Sequential(torch.nn.Linear(width, width, bias=False)), config, "task0")
    for t in range(1, T):
        model.add_adapter(f"task{t}", config)
    layer = model.base_model.model[0]
    with torch.no_grad():
        for t, (B, A) in enumerate(given):
            layer.lora_A[f"task{t}"].weight.copy_(A)
            layer.lora_B[f"task{t}"].weight.copy_(B)
    return model


def _mergekit(given: list) -> dict[str, Callable[[], Any]]:
    try:
        from mergekit.merge_methods import generalized_task_arithmetic as gta
        from mergekit.sparsify import SparsificationMethod
    except ImportError:
        return {}
    method = gta.GeneralizedTaskArithmeticMerge(
        consensus_method=gta.ConsensusMethod.sum, sparsification_method=SparsificationMethod.magnitude,
        default_normalize=True, default_rescale=False, method_name="ties", method_pretty_name=None,
        method_reference_url=None,
    )  # fmt: skip

    def run() -> Any:
        entries = [SimpleNamespace(tensor=B @ A, id=t) for t, (B, A) in enumerate(given)]
        group = SimpleNamespace(base=SimpleNamespace(tensor=torch.zeros_like(entries[0].tensor)), non_base=entries)
        ones, density = [1.0] * len(given), [0.2] * len(given)
        options = {"weight": ones, "density": density, "normalize": True, "rescale": False, "int8_mask": False}
        return method.merge_group(group, **options, **{"lambda": 1.0})

    return {"mergekit ties": run}


def _fusion_bench(given: list) -> dict[str, Callable[[], Any]]:
    try:
        from fusion_bench.method.isotropic_merging.iso_utils import iso_c
        from fusion_bench.method.task_singular_vector.utils.TSVM_utils import compute_and_sum_svd_mem_reduction
        from fusion_bench.method.ties_merging.ties_merging_utils import ties_merging
    except ImportError:
        return {}

    def ties() -> Any:
        return ties_merging(torch.stack([(B @ A).reshape(-1) for B, A in given]), reset_thresh=20, merge_func="mean")

    def named() -> list[dict[str, Any]]:
        return [{"w": B @ A} for B, A in given]

    return {
        "FusionBench ties": ties,
        "FusionBench tsv": lambda: compute_and_sum_svd_mem_reduction(named(), accelerator="cpu"),
        "FusionBench iso": lambda: iso_c(named(), accelerator="cpu"),
    }


def main() -> None:
    """Measures, prints and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller layer")
    parser.add_argument("--rounds", type=int, help="3 by default")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    width, T, r = (256, 3, 8) if args.quick else (2048, 6, 16)
    made = functions(width, T, r)
    times = paired(made, args.rounds or 3, clock=time.process_time)
    record = {"width": width, "T": T, "r": r, "versions": versions(), "seconds": times.seconds}
    for name in made:
        print(f"{name:20} {1e3 * times.median(name):9.1f} ms  {WHAT[name]}")
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(record, indent=1) + "\n")


def versions() -> dict[str, str]:
    """Of the packages that are installed."""
    found = {}
    for package in ("torch", "peft", "mergekit", "fusion-bench"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main()
