"""Runs the conformance kit on the packages that are installed and writes the report: `python -m benchmarks.peers`."""

import argparse
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

PEERS = {  # package → module here, its functions, its dialect
    "peft": ("peft_peer", ("on_updates", "on_factors", "cat"), "peft"),
    "mergekit": ("mergekit_peer", ("on_updates",), "mergekit"),
    "fusion-bench": ("fusionbench_peer", ("on_updates", "in_knots"), "fusionbench"),
}


def main() -> None:
    """Writes docs/peers.md, or the file given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parents[2] / "docs" / "peers.md")
    parser.add_argument("--only", help="cases whose name contains this")
    options = parser.parse_args()
    options.output.write_text(text(options.only))
    print(f"wrote {options.output}")


def text(only: str | None = None) -> str:
    """The whole report."""
    from importlib import import_module

    import torch

    from benchmarks.peers.report import HEAD, Recorded, section
    from coremerge_ref.conformance import run

    torch.set_num_threads(1)
    versions = {package: _version(package) for package in (*PEERS, "torch", "numpy")}
    lines = [HEAD, "Versions: " + ", ".join(f"{package} {v}" for package, v in versions.items()) + ".\n"]
    for package, (module, functions, dialect) in PEERS.items():
        if versions[package] == "not installed":
            continue
        for function in functions:
            fn = getattr(import_module(f"benchmarks.peers.{module}"), function)
            what = " ".join((fn.__doc__ or "").split())
            recorded = Recorded(fn)
            title = f"{package} {versions[package]}: {function.replace('_', ' ')}"
            lines.append(section(title, what, run(recorded, only=only), recorded.answers, dialect))
            print(package, function, "done", flush=True)
    return "\n".join(lines).rstrip() + "\n"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
