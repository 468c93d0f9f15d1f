"""What makes the spaces differ for TSV, CART and Iso-C: null vectors in or out, sizes relative or absolute.

    python -m benchmarks.claims.null_vectors [--output docs/data/claims_null_vectors.csv]

On the demo's adapters, by the dense definitions of benchmarks/dense.py, in three spaces. `distance` is from the same
method without null vectors at the absolute size, in full space, both at norm 1 over all layers, since α absorbs a
factor; `accuracy` is that of the merged model in % of the single adapters', at the α that validation images choose.
"""

import argparse
import csv
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks import dense
from coremerge_ref.demo.alpha import best_alpha
from coremerge_ref.demo.compare import norm, plain_sum
from coremerge_ref.demo.data import TEST, Data
from coremerge_ref.demo.evaluate import accuracies, adapted, normalised
from coremerge_ref.demo.run import single_accuracies

NULL, SIZES, SPACES = ("out", "in"), ("absolute", "relative"), ("full", "knots", "core")
ZERO = 1e-9  # of the largest singular value; float16 factors multiplied in float64 leave null ones near 1e-15
COLUMNS = ("method", "null_vectors", "size", "space", "distance", "accuracy")
Merge = Callable[[np.ndarray, int | None, float | None], np.ndarray]  # stack (T, p, q); a rank; what is zero


def tsv(M: np.ndarray, k: int | None, zero: float | None) -> np.ndarray:
    """TSV-M."""
    return dense.tsv(M, k, zero)


def iso(M: np.ndarray, k: int | None, zero: float | None) -> np.ndarray:
    """Iso-C. Over how many values its mean runs is a factor, which norm 1 takes away."""
    return dense.iso(M, zero)


def tsv_iso(M: np.ndarray, k: int | None, zero: float | None) -> np.ndarray:
    """Isotropized TSV."""
    return dense.iso(dense.tsv(M, k, zero)[None], zero)


def cart(M: np.ndarray, k: int | None, zero: float | None) -> np.ndarray:
    """CART, 4 % of the size by default."""
    return dense.cart(M, k=k, zero=zero)


METHODS: dict[str, Merge] = {"tsv": tsv, "iso": iso, "tsv+iso": tsv_iso, "cart": cart}


def merged(factors: list, method: Merge, space: str, size: str, null: str) -> np.ndarray:
    """ΔW (m, n) of pairs (B, A); "knots" divides the singular values out, as the paper's code does."""
    zero, k = None if null == "in" else ZERO, None if size == "relative" else factors[0][1].shape[0]
    if space == "full":
        return dense.full(factors, lambda M: method(M, k, zero))
    if space == "core":
        left, right = dense.optimized_core(factors, lambda M: method(M, k, zero))
        return left @ right
    U, S, Vh = np.linalg.svd(np.concatenate([B @ A for B, A in factors], axis=1), full_matrices=False)
    live = S > ZERO * S[0]
    blocks = np.stack(np.split(Vh[live], len(factors), axis=1))  # (T, p, n)
    return (U[:, live] * S[live]) @ method(blocks, k, zero)


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/data/claims_null_vectors.csv"))
    args = parser.parse_args()
    data = Data()
    single, unit = single_accuracies(data), norm(plain_sum(data))
    factors = {layer: [u.folded(np.float64) for u in updates] for layer, updates in data.updates.items()}
    rows, known = [], dict[str, list[tuple[dict, float]]]()
    for name, method in METHODS.items():
        first = None
        for null, size, space in product(NULL, SIZES, SPACES):
            W = {layer: merged(pairs, method, space, size, null) for layer, pairs in factors.items()}
            length = norm(W)
            W = {layer: X / length for layer, X in W.items()}
            first = W if first is None else first
            distance = norm({layer: W[layer] - first[layer] for layer in W})
            same = (score for other, score in known.get(name, []) if norm({k: W[k] - other[k] for k in W}) < ZERO)
            score = next(same, None)
            if score is None:
                alpha, _ = best_alpha(data, W, unit)
                score = 100 * normalised(accuracies(data, adapted(data.base, W, alpha), TEST), single)
                known.setdefault(name, []).append((W, score))
            rows.append((name, null, size, space, f"{distance:.2g}", f"{score:.2f}"))
            print(*rows[-1], flush=True)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with args.output.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main()
