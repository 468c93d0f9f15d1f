"""Bounds on what rounding of the inputs moves, beside the largest move that a climb of that very size finds.

    python -m benchmarks.fuzz.climbing [--trials N] [--seed S]    exit 1 where a bound is exceeded

Adapters as an SVD leaves them, in bfloat16, float16 and float32: columns at right angles, or nearly, with lengths over
up to six decades. All columns of B and rows of A move at once by half an eps of their norms, along the gradient of what
the result moved by before (torch), again and again from several starts: no step to first order, but the whole way.
Prints, by method and dtype, which share of the bound was met, and how many merges had no bound.
"""

import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import coremerge_ref as cm
from benchmarks.fuzz.running import asked

METHODS: dict[str, Any] = {
    "iso": "iso", "tsv": "tsv", "tsv, k = 1": cm.Tsv(k=1), "tsv, k = 2": cm.Tsv(k=2), "tsv+iso": "tsv+iso",
    "iso_cts": "iso_cts", "cart, k = 1": cm.Cart(k=1), "cart, k = 2": cm.Cart(k=2), "karcher+iso": "karcher+iso",
}  # fmt: skip
DTYPES = {"bfloat16": 2.0, "float16": 3.0, "float32": 6.0}  # decades of singular values, at most
STARTS, STEPS = 3, 4


@dataclass(frozen=True)
class Case:
    """What a seed draws: B (m, r) and A (r, n) of every task, one after the other."""

    seed: int
    factors: list[Any]
    method: str
    space: str
    dtype: str

    def merged(self, factors: list[Any]) -> Any:
        """ΔW of these factors."""
        return cm.merge(
            list(zip(factors[::2], factors[1::2], strict=True)), METHODS[self.method], self.space
        ).to_dense()


def draw(seed: int) -> Case:
    """One to four tasks of rank 1 to 4, in rows and columns that may hold them all, or just."""
    rng = np.random.default_rng(seed)
    dtype, method, space = (str(rng.choice(list(names))) for names in (DTYPES, METHODS, ("core", "knots", "full")))
    T, r = int(rng.integers(1, 5)), int(rng.integers(1, 5))
    m, n = (int(rng.integers(max(2, T * r), 28)) if rng.random() < 0.8 else max(2, T * r) for _ in range(2))
    decades, share = rng.uniform(0, DTYPES[dtype]), rng.random()
    sizes, spread = 10.0 ** -np.linspace(0, decades, r), rng.random() < 0.3
    factors = []
    for _ in range(T):
        sides = [np.linalg.qr(rng.standard_normal((size, r)))[0] for size in (m, n)]
        near = int(rng.integers(3))  # columns of either side, or of neither, are not at right angles
        if near < 2:
            sides[near] = sides[near] @ (np.eye(r) + 0.5 * rng.standard_normal((r, r)))
        scale = 10.0 ** rng.uniform(-2, 2) if spread else 1.0
        pair = sides[0] * scale * sizes**share, (sides[1] * sizes ** (1 - share)).T
        factors += [torch.tensor(X).to(getattr(torch, dtype)) for X in pair]
    return Case(seed, factors, method, space, dtype)


def climbed(case: Case) -> tuple[float, float, float] | None:
    """How far the result moved at most, the bound, and what the arithmetic of two merges may add; None: no bound."""
    found = cm.explain(list(zip(case.factors[::2], case.factors[1::2], strict=True)), METHODS[case.method], case.space)
    bound = found.input_bound
    if bound.verdict == "ill-posed" or not bound.relative < 2:  # twice its size is no bound
        return None
    exact, most = [X.to(torch.float64) for X in case.factors], 0.0
    base = case.merged(exact)
    for start in range(STARTS):
        y, here = torch.tensor(np.random.default_rng(start).standard_normal(tuple(base.shape))), exact
        for _ in range(STEPS):
            here = moved(case, exact, here, y, bound.eps / 2)
            y = case.merged(here) - base
            most = max(most, float(torch.linalg.norm(y) / torch.linalg.norm(base)))
    return most, bound.relative, 2 * found.bound.relative


def moved(case: Case, exact: list[Any], here: list[Any], y: Any, eps: float) -> list[Any]:
    """Every column of B and row of A off by eps of its norm, along the gradient of ⟨y, ΔW⟩ at `here`."""
    at = [X.clone().requires_grad_() for X in here]
    gradients = torch.autograd.grad((case.merged(at) * y).sum(), at)
    made = []
    for i, (X, G) in enumerate(zip(exact, gradients, strict=True)):
        size, slope = (torch.linalg.vector_norm(Z, dim=i % 2, keepdim=True) for Z in (X, G))
        made.append(X + eps * size * G / torch.where(slope > 0, slope, 1.0))
    return made


def main() -> int:
    """Draws cases, and prints what is met of their bounds; 1 where one is exceeded."""
    torch.set_num_threads(1)
    shares: dict[str, list[float]] = defaultdict(list)
    without: dict[str, int] = defaultdict(int)
    exceeded = 0
    for seed in asked(__doc__):
        case = draw(seed)
        name, found = f"{case.method}, {case.dtype}", climbed(case)
        if found is None:
            without[name] += 1
            continue
        most, bound, noise = found
        shares[name].append(most / bound)
        if most > bound * (1 + 1e-9) + noise:
            exceeded += 1
            print(f"exceeded {most / bound:.6g} times: seed {seed}, {name}, {case.space}", flush=True)
    for name in sorted({*shares, *without}):
        met, none = shares[name] or [np.nan], without[name]
        middle = f"{np.median(met):.1%} in the middle, {min(met):.1%} to {max(met):.1%}"
        print(f"{name}: of {len(shares[name])} bounds {middle}; {none} without")
    print(f"{exceeded} exceeded" if exceeded else "nothing exceeded")
    return int(exceeded > 0)


if __name__ == "__main__":
    sys.exit(main())
