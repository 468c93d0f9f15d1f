"""The whole Llama-3-8B set batched on a GPU: CuPy and torch CUDA beside the paper's algorithm and the dense ones.

    python -m benchmarks.gpu [--quick] [--methods tsv,iso] [--rounds N] [--no-dense] [--output FILE]

For each library that finds a GPU: parity with NumPy in units of eps, seconds of all 128 layers (T = 6, r = 16, factors
out), and the ratio to the paper's algorithm, and to full-space TSV and Iso-C and to KnOTS, on the same card. The dense
algorithms are timed on one layer of each shape and multiplied. Each number is printed and written as soon as it is
known, so that a run that is stopped leaves what it has. Without a GPU it says so and ends well.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import coremerge_ref as cm
from benchmarks import dense
from benchmarks.speed.paired import paired
from benchmarks.speed.shapes import LLAMA_8B, LLAMA_8B_BLOCKS, factors
from coremerge_ref.core import batches

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
    for names in batches.equal_shapes(layers):
        updates = batches.stacked(layers, names)
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


DENSE: dict[str, Callable[[Any], Any]] = {
    "full tsv": lambda updates: dense.full(updates, dense.tsv),
    "full iso": lambda updates: dense.full(updates, dense.iso),
    "knots tsv": lambda updates: dense.merged(updates, "tsv", "knots"),
}


def dense_seconds(layers: Model, card: Card, name: str) -> float:
    """Seconds of a dense algorithm for the whole set, from one layer of each shape."""
    total = 0.0
    for names in batches.equal_shapes(layers):
        updates = [update.folded("float64") for update in layers[names[0]]]
        total += len(names) * paired({name: lambda updates=updates: DENSE[name](updates)}, 1, card.done).median(name)
    return total


@dataclass(frozen=True)
class Plan:
    """What to measure. quick: two blocks of an eighth of the width. save: called after each number."""

    quick: bool = False
    methods: tuple[str, ...] = METHODS
    rounds: int = 5
    dense: bool = True
    save: Callable[[], Any] = lambda: None


def measure(card: Card, found: dict[str, Any], plan: Plan) -> None:
    """Fills `found` with everything measured on one card, printed and saved as it comes."""
    blocks, shrink, T, r = (2, 8, 6, 16) if plan.quick else (LLAMA_8B_BLOCKS, 1, 6, 16)
    layers = model(blocks, T, r, shrink, card.send)
    host = model(1, T, r, shrink, lambda X: X)
    found |= {"library": card.library, "card": card.name, "quick": plan.quick, "methods": {}, "dense": {}}
    print(f"{card.library} on {card.name}: {len(layers)} layers, T = {T}, r = {r}", flush=True)
    for method in plan.methods:
        units, times = parity(layers, host, card, method), seconds(layers, card, method, plan.rounds)
        ratios = ", ".join(f"{times[name] / times['ours']:.1f}× {name}" for name in ("paper", "paper, batched"))
        print(f"  {method}: {times['ours']:.3f} s, {ratios}; {units:.0f} eps from NumPy", flush=True)
        found["methods"][method] = {"parity": units, **times}
        plan.save()
    for name in DENSE if plan.dense else ():
        if name.split()[1] in found["methods"]:
            found["dense"][name] = spent = dense_seconds(layers, card, name)
            ours = found["methods"][name.split()[1]]["ours"]
            print(f"  {name}: {spent:.1f} s, {spent / ours:.0f} times ours", flush=True)
            plan.save()


def main(arguments: Sequence[str] | None = None) -> None:
    """Reports on every library that finds a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two blocks of an eighth of the width")
    parser.add_argument("--methods", default=",".join(METHODS), help=f"some of {', '.join(METHODS)}")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed; the median counts")
    parser.add_argument("--no-dense", action="store_true", help="without full space and KnOTS, which take longest")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    args = parser.parse_args(arguments)
    methods = tuple(args.methods.split(","))
    if unknown := set(methods) - set(METHODS):
        parser.error(f"--methods: expected some of {', '.join(METHODS)}, got {', '.join(sorted(unknown))}")
    if args.rounds < 1:
        parser.error(f"--rounds: expected at least 1, got {args.rounds}")
    found: list[dict[str, Any]] = []

    def save() -> None:
        if args.output:
            args.output.parent.mkdir(parents=True, exist_ok=True)
            part = args.output.with_suffix(".part")
            part.write_text(json.dumps(found, indent=1) + "\n")
            part.replace(args.output)

    save()
    for card in cards():
        found.append({})
        plan = Plan(args.quick, methods, args.rounds, not args.no_dense, save)
        try:
            measure(card, found[-1], plan)
        except KeyboardInterrupt:
            raise SystemExit("stopped; what was measured is kept") from None
    if not found:
        print("no GPU here: nothing measured")


if __name__ == "__main__":
    main()
