"""python -m benchmarks.accuracy.checkpoints OUT: downloads the adapters that the paper merges and merges them.

They are the KnOTS authors' rank-16 adapters of CLIP, one repository a task on the Hugging Face hub. Needs the network
and huggingface_hub once; with --local DIR it takes folders of the same names from DIR instead.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from coremerge_ref.adapters import MergeReport, merge_folders

OWNER = "hoffman-lab"
TASKS = ("stanford_cars", "dtd", "eurosat", "gtsrb", "mnist", "resisc45", "sun397", "svhn")
MODELS = ("ViT-B-32", "ViT-L-14")
FILES = ["adapter_config.json", "adapter_model.safetensors"]


def repositories(model: str, tasks: Sequence[str] = TASKS) -> list[str]:
    """The repositories' names on the hub, in the paper's order of tasks."""
    return [f"{OWNER}/KnOTS-{model}_lora_R16_{task}" for task in tasks]


def download(names: Sequence[str]) -> list[Path]:
    """Fetches the two files of each adapter into huggingface_hub's cache, unless they are there."""
    from huggingface_hub import snapshot_download

    return [Path(snapshot_download(name, allow_patterns=FILES)) for name in names]


def merge(folders: Sequence[Path], out: Path, method: str, space: str, scale: float) -> MergeReport:
    """Merges the folders into one PEFT adapter; α is 1 unless given, since the paper searches it on validation data."""
    dense = space == "full" and any(stage in method.split("+") for stage in ("ties", "dare", "trim", "drm"))
    return merge_folders(list(folders), out, method, space, scale=scale, dense=dense, force=True)


def main(given: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.checkpoints", description=__doc__)
    parser.add_argument("out", type=Path, help="the folder to write, one adapter folder a method")
    parser.add_argument("--model", choices=MODELS, default=MODELS[0])
    parser.add_argument("--methods", nargs="+", default=["ta", "ties", "dare+ties", "tsv", "cart", "tsv+iso", "iso"])
    parser.add_argument("--space", choices=["full", "knots", "core"], default="core")
    parser.add_argument("--scale", type=float, default=1.0, help="α")
    parser.add_argument("--local", type=Path, help="take the adapters' folders from here instead of the hub")
    options = parser.parse_args(given)
    options = parser.parse_args(given)
    names = repositories(options.model)
    local = options.local
    folders = download(names) if local is None else [local / name.split("/")[1] for name in names]
    options.out.mkdir(parents=True, exist_ok=True)
    for method in options.methods:
        report = merge(folders, options.out / f"{method}-{options.space}", method, options.space, options.scale)
        print(f"{report.output}: {report.layers} layers, {report.adapters} adapters, {report.seconds} s", flush=True)


if __name__ == "__main__":
    main()
