"""Runs the conformance kit on the packages that are installed and writes the report: `python -m benchmarks.peers`."""

import argparse
import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

PEERS = {  # package → module here, its functions, its dialect
    "coremerge_ref": ("ours_peer", ("on_numpy", "on_torch", "on_array_api_strict", "on_jax"), "paper"),
    "peft": ("peft_peer", ("on_updates", "on_factors", "cat"), "peft"),
    "mergekit": ("mergekit_peer", ("on_updates",), "mergekit"),
    "fusion-bench": ("fusionbench_peer", ("on_updates", "in_knots"), "fusionbench"),
}


def main() -> None:
    """Writes docs/peers.md, or the file given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parents[2] / "docs" / "peers.md")
    parser.add_argument("--only", help="cases whose name contains this")
    parser.add_argument("--skip", action="append", default=[], help="a function that is not run, such as on_jax")
    options = parser.parse_args()
    options.output.write_text(text(options.only, options.skip))
    print(f"wrote {options.output}")


def text(only: str | None = None, skip: Sequence[str] = ()) -> str:
    """The whole report."""
    from importlib import import_module

    import torch

    from benchmarks.peers.report import HEAD, Recorded, scoreboard, section
    from coremerge_ref.conformance import run

    torch.set_num_threads(1)
    versions = {package: _version(package) for package in (*PEERS, "torch", "numpy")}
    lines, scores = [], []
    for package, (module, functions, dialect) in PEERS.items():
        if versions[package] == "not installed":
            continue
        for function in [name for name in functions if name not in skip]:
            fn = getattr(import_module(f"benchmarks.peers.{module}"), function)
            what = " ".join((fn.__doc__ or "").split())
            recorded = Recorded(fn)
            title = f"{package} {versions[package]}: {function.replace('_', ' ')}"
            report = run(recorded, only=only)
            scores.append((title, report))
            lines.append(section(title, what, report, recorded.answers, dialect))
            print(package, function, report.summary().splitlines()[1], flush=True)
    seen = (Path(__file__).parent / "seen.md").read_text()
    told = "Versions: " + ", ".join(f"{package} {v}" for package, v in versions.items()) + "."
    told += f" Left out: {', '.join(skip)}." if skip else ""
    return "\n".join([HEAD, told, "", scoreboard(scores), seen, *lines]).rstrip() + "\n"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
