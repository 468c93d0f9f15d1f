"""The paper's "the core is dense: truncating any component reduces accuracy", on the demo's tasks.

    python -m benchmarks.claims.truncation [--output docs/data/claims_truncation.csv]

The merged update of every layer is cut to its k leading components, and the model's test accuracy measured, at the α
that validation images choose for the whole update. A cut by components is one curve in every isometric space, which all
hold one matrix; what differs between spaces is the size that k is a share of. Columns: kept components, accuracy in %
of the single adapters', what the cut update keeps of its norm, and k as a share of the core's size and of the full
one.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from coremerge_ref import merge_adapters
from coremerge_ref.demo.alpha import best_alpha
from coremerge_ref.demo.compare import norm, plain_sum
from coremerge_ref.demo.data import TEST, Data
from coremerge_ref.demo.evaluate import accuracies, adapted, normalised
from coremerge_ref.demo.run import single_accuracies

METHODS = ("ta", "tsv", "iso", "tsv+iso")
KEPT = (1, 2, 4, 8, 12, 16, 20, 24, 28, 31, 32)
COLUMNS = ("method", "kept", "accuracy", "norm_kept", "share_of_core", "share_of_full")


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/data/claims_truncation.csv"))
    args = parser.parse_args()
    data = Data()
    single = single_accuracies(data)
    core = max(sum(update.rank for update in updates) for updates in data.updates.values())
    full = min(min(updates[0].shape) for updates in data.updates.values())
    rows = []
    for method in METHODS:
        merged = merge_adapters(data.updates, method, out_dtype="float64")
        whole = {layer: update.to_dense() for layer, update in merged.items()}
        alpha, _ = best_alpha(data, whole, norm(plain_sum(data)) / norm(whole))
        for k in KEPT:
            cut = {layer: np.asarray(update.truncate(k).to_dense()) for layer, update in merged.items()}
            score = 100 * normalised(accuracies(data, adapted(data.base, cut, alpha), TEST), single)
            rows.append((method, k, f"{score:.2f}", f"{norm(cut) / norm(whole):.4f}", k / core, f"{k / full:.4f}"))
            print(*rows[-1], flush=True)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with args.output.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main()
