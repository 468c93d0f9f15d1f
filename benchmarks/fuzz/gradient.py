"""python -m benchmarks.fuzz.gradient [--size N] [--rank R] [--space S] [--differences] [METHOD ...]: bounds of explain
beside the largest change that gradients find.

Where a search over all entries is out of reach, a climb is not: given the direction y that the result moves in, every
entry moves by its size, up or down, as the gradient of ⟨y, result⟩ has it, and the result gives the next y. Methods
that look at entries have gradients in full space; a step that carries an entry across a threshold finds a jump. With
--differences of every entry, in place of gradients, small merges of every method in every space.
"""

import argparse

import numpy as np

import coremerge_ref as cm
from benchmarks.fuzz import judging
from benchmarks.fuzz.trials import SPACES, Trial
from coremerge_ref.core.spaces import as_space

METHODS = ("ta", "tsv", "iso", "tsv+iso", "cart", "iso_cts")  # differentiable in the factors, in every space
CLIMBS, STEP = 4, 1e-7
Pairs = list[tuple[np.ndarray, np.ndarray]]


def inputs(kind: str, n: int, rank: int, seed: int = 0) -> Pairs:
    """Three tasks of n × n: "gaussian" factors, or orthonormal ones with a spectrum "decaying" over two decades."""
    rng, S = np.random.default_rng(seed), 10.0 ** -np.linspace(0, 2, rank)
    pairs = []
    for _ in range(3):
        B, A = rng.standard_normal((n, rank)), rng.standard_normal((rank, n))
        pairs.append((B, A) if kind == "gaussian" else (np.linalg.qr(B)[0] * S, np.linalg.qr(A.T)[0].T))
    return pairs


def largest_change(pairs: Pairs, method: str, climbs: int = CLIMBS, space: str = "core") -> float:
    """The largest relative change of the result per relative change of every entry that the climb finds."""
    import torch

    size = float(np.linalg.norm(merged(pairs, method, space)))
    y, best = np.random.default_rng(1).standard_normal((pairs[0][0].shape[0], pairs[0][1].shape[1])), 0.0
    for _ in range(climbs):
        flat = [torch.tensor(X, requires_grad=True) for pair in pairs for X in pair]
        result = cm.merge(list(zip(flat[::2], flat[1::2], strict=True)), method, space).to_dense()
        gradients = torch.autograd.grad((result * torch.tensor(y)).sum(), flat)
        E = [np.sign(g.numpy()) * np.abs(X.detach().numpy()) for g, X in zip(gradients, flat, strict=True)]
        moved = [
            [(B + h * b, A + h * a) for (B, A), b, a in zip(pairs, E[::2], E[1::2], strict=True)] for h in (STEP, -STEP)
        ]
        y = (merged(moved[0], method, space) - merged(moved[1], method, space)) / (2 * STEP)
        best = max(best, float(np.linalg.norm(y)) / size)
    return best


def largest_by_differences(pairs: Pairs, method: str, space: str) -> float:
    """The same by differences of every entry."""
    name = next(name for name, (one, _) in SPACES.items() if one == as_space(space))
    trial = Trial(0, [(B, A, 1.0) for B, A in pairs], method, {}, name, [1.0] * len(pairs), "float64")
    result = merged(pairs, method, space)
    return 2 * judging.largest_change(trial, result)[0] / float(np.linalg.norm(result))


def merged(pairs: Pairs, method: str, space: str) -> np.ndarray:
    """ΔW."""
    return np.asarray(cm.merge(pairs, method, space).to_dense())


def main() -> None:
    """Prints a row a method and kind of input."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz.gradient", description=__doc__)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--space", default="core")
    parser.add_argument("--differences", action="store_true", help="of every entry; --size 32 --rank 4 takes seconds")
    parser.add_argument("methods", nargs="*", metavar="METHOD", default=METHODS)
    options = parser.parse_args()
    for kind in ("gaussian", "decaying"):
        for method in options.methods:
            pairs = inputs(kind, options.size, options.rank)
            bound = cm.explain(pairs, method, options.space).input_bound
            search = largest_by_differences if options.differences else largest_change
            change = search(pairs, method, space=options.space)
            condition = 2 * bound.relative / bound.eps  # an input is off by half an eps
            print(f"{kind:10} {method:14} bound {condition:9.3g} found {change:9.3g} ratio {condition / change:7.3g}")


if __name__ == "__main__":
    main()
