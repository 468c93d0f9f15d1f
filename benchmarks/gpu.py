"""The whole Llama-3-8B set batched on a GPU: CuPy and torch CUDA beside the paper's algorithm and the dense ones.

    python -m benchmarks.gpu [--quick] [--output FILE]

For each library that finds a GPU: parity with NumPy in units of eps, seconds of all 128 layers (T = 6, r = 16, factors
out), and the ratio to the paper's algorithm, and to full-space TSV and Iso-C and to KnOTS, on the same card. The dense
algorithms are timed on one layer of each shape and multiplied. Without a GPU it says so and ends well.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import coremerge_ref as cm
from benchmarks import dense
from benchmarks.speed.paired import paired
from benchmarks.speed.shapes import LLAMA_8B, LLAMA_8B_BLOCKS, factors
from coremerge_ref.core import models

METHODS = ("tsv", "iso", "ta", "ties")
EPS = 2.0**-52


@dataclass(frozen=True)
class Card:
    """One library on its GPU: arrays there and back, and waiting until all is done."""

    library: str
    name: str
    send: Callable[[np.ndarray], Any]
    fetch: Callable[[Any], np.ndarray]
    done: Callable[[], Any]


def cards() -> Iterator[Card]:
    """The libraries that find a GPU; why not, for the others, is printed."""
    try:
        import torch
    except ImportError:
        print("torch is not installed")
    else:
        if torch.cuda.is_available():
            yield Card(
                "torch", torch.cuda.get_device_name(), lambda X: torch.from_numpy(X).cuda(),
                lambda X: X.cpu().numpy(), torch.cuda.synchronize,
            )  # fmt: skip
        else:
            print(f"torch {torch.__version__} finds no CUDA device")
    try:
        import cupy

        found = cupy.cuda.runtime.getDeviceCount()
    except ImportError:
        print("cupy is not installed")
        return
    except Exception as error:  # cupy's own error class lives where there is no CUDA to import it
        print(f"cupy finds no CUDA device: {error}")
        return
    if found:
        name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
        yield Card("cupy", name, cupy.asarray, cupy.asnumpy, cupy.cuda.Device().synchronize)


Model = dict[str, list[cm.LowRankUpdate]]


def model(blocks: int, T: int, r: int, shrink: int, send: Callable[[np.ndarray], Any]) -> Model:
    """Updates of every layer, float32, on the device."""
    layers = {}
    for block in range(blocks):
        for i, (name, (m, n)) in enumerate(LLAMA_8B.items()):
            pairs = factors(m // shrink, n // shrink, (r,) * T, seed=10 * block + i)
            layers[f"{block}.{name}"] = [cm.LowRankUpdate(send(B), send(A)) for B, A in pairs]
    return layers


def batched(layers: Model) -> list[list[tuple[Any, Any]]]:
    """The layers as one batch of float64 factors for each shape."""
    made = []
    for names in models.equal_shapes(layers):
        updates = models.stacked(layers, names)
        made.append([update.folded("float64") for update in updates if update is not None])
    return made


def parity(layers: Model, host: Model, card: Card, method: str) -> float:
    """The largest ‖device − NumPy‖ / ‖NumPy‖ (Frobenius) over the first layers, in units of eps."""
    names = list(host)
    ours = cm.merge_adapters({name: layers[name] for name in names}, method, out_dtype="float64")
    right = cm.merge_adapters(host, method, out_dtype="float64")
    worst = 0.0
    for name in names:
        a, b = card.fetch(ours[name].to_dense()), right[name].to_dense()
        worst = max(worst, float(np.linalg.norm(a - b) / np.linalg.norm(b)))
    return worst / EPS


def seconds(layers: Model, card: Card, method: str, rounds: int) -> dict[str, float]:
    """Median seconds of the whole set: ours batched, the paper's algorithm batched and layer by layer."""
    groups, merge = batched(layers), dense.MERGES[method]
    one_by_one = [[u.folded("float64") for u in updates] for updates in layers.values()]
    times = paired(
        {
            "ours": lambda: cm.merge_adapters(layers, method, out_dtype="float64"),
            "paper": lambda: [dense.paper_core(updates, merge) for updates in one_by_one],
            "paper, batched": lambda: [dense.paper_core(updates, merge) for updates in groups],
        },
        rounds,
        card.done,
    )
    return {name: times.median(name) for name in times.seconds}


def dense_seconds(layers: Model, card: Card, rounds: int) -> dict[str, float]:
    """Seconds of the dense algorithms for the whole set, from one layer of each shape."""
    merges: dict[str, Callable[[Any], Any]] = {
        "full tsv": lambda updates: dense.full(updates, dense.tsv),
        "full iso": lambda updates: dense.full(updates, dense.iso),
        "knots tsv": lambda updates: dense.merged(updates, "tsv", "knots"),
    }
    total = dict.fromkeys(merges, 0.0)
    for names in models.equal_shapes(layers):
        updates = [update.folded("float64") for update in layers[names[0]]]
        for name, run in merges.items():
            times = paired({name: lambda run=run, updates=updates: run(updates)}, rounds, card.done)
            total[name] += len(names) * times.median(name)
    return total


def report(card: Card, quick: bool) -> dict[str, Any]:
    """Everything measured on one card, printed as it comes."""
    blocks, shrink, rounds = (2, 8, 2) if quick else (LLAMA_8B_BLOCKS, 1, 5)
    T, r = 6, 16
    layers = model(blocks, T, r, shrink, card.send)
    host = model(1, T, r, shrink, lambda X: X)
    print(f"{card.library} on {card.name}: {len(layers)} layers, T = {T}, r = {r}")
    found: dict[str, Any] = {"library": card.library, "card": card.name, "quick": quick, "methods": {}}
    for method in METHODS:
        units, times = parity(layers, host, card, method), seconds(layers, card, method, rounds)
        ratios = ", ".join(f"{times[name] / times['ours']:.1f}× {name}" for name in ("paper", "paper, batched"))
        print(f"  {method}: {times['ours']:.3f} s, {ratios}; {units:.0f} eps from NumPy")
        found["methods"][method] = {"parity": units, **times}
    found["dense"] = dense_seconds(layers, card, 1)
    for name, spent in found["dense"].items():
        ours = found["methods"][name.split()[1]]["ours"]
        print(f"  {name}: {spent:.1f} s, {spent / ours:.0f} times ours")
    return found


def main() -> None:
    """Reports on every library that finds a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two blocks of an eighth of the width")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    args = parser.parse_args()
    found = [report(card, args.quick) for card in cards()]
    if not found:
        print("no GPU here: nothing measured")
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
