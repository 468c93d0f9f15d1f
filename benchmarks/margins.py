"""The margins of the two numbers that say what is zero (coremerge_ref.core.linalg.thresholds), measured again.

    python -m benchmarks.margins [--sizes 512 2048 8192]

For each size, rank and dtype: the largest null singular value of a rank-deficient stack with columns of norm 1, in eps
of the largest (64 are allowed), and the largest error of an entry of M_t in float32 beside float64 in core space, KnOTS
and full space, in eps Σ_k x_k y_k (8 are allowed): x_k is |b_ik| where the rows of M_t are those of the update, ‖b_k‖
where they are not, and y_k the like.
"""

import argparse
from collections.abc import Iterator

import numpy as np
import scipy.linalg

import coremerge_ref as cm


def null_margin(size: int, R: int, dtype: str, seed: int = 0) -> float:
    """σ_null / σ_1 in eps, of a stack (size, R) whose last quarter of columns are others again, in another order."""
    rng = np.random.default_rng(seed)
    free = rng.standard_normal((size, R - R // 4))
    free = (free / np.linalg.norm(free, axis=0)).astype(dtype)
    X = np.concatenate([free, free[:, rng.permutation(free.shape[1])[: R // 4]]], axis=1)[:, rng.permutation(R)]
    S = scipy.linalg.svdvals(scipy.linalg.qr(X, mode="r")[0][: X.shape[1]])  # NumPy's own work in float64 throughout
    return float(S[free.shape[1]] / S[0] / np.finfo(dtype).eps)


def entry_margin(size: int, r: int, space: str = "core", seed: int = 0) -> float:
    """|M_t − M_t'| in eps(float32) Σ_k x_k y_k, M_t in float32 and M_t' in float64, in the same frames."""
    rng = np.random.default_rng(seed)
    G = rng.standard_normal((r, r))
    pairs = []
    for _ in range(3):
        B, A = rng.standard_normal((size, r)) @ G, np.linalg.inv(G) @ rng.standard_normal((r, size))
        pairs.append((B.astype(np.float32), A.astype(np.float32)))
    frames = cm.reference_bases(pairs, space, compute_dtype="float32")
    M = cm.project(pairs, frames, compute_dtype="float32")
    worst = 0.0
    for t, pair in enumerate(pairs):
        B, A = (X.astype(np.float64) for X in pair)
        left = B if frames.U is None else frames.U.astype(np.float64).T @ B
        right = A if frames.V is None else A @ frames.V.astype(np.float64)
        x = np.abs(B) if frames.U is None else np.linalg.norm(B, axis=0, keepdims=True)
        y = np.abs(A) if frames.V is None else np.linalg.norm(A, axis=1, keepdims=True)
        worst = max(worst, float(np.max(np.abs(M[t] - left @ right) / (x @ y)) / np.finfo(np.float32).eps))
    return worst


def rows(sizes: list[int]) -> Iterator[tuple[float, ...]]:
    """Size, R, null margins in float64 and float32, entry margins in core space, KnOTS and full space."""
    for size in sizes:
        for R in (16, 64, 256):
            if size >= 2 * R:
                nulls = [null_margin(size, R, dtype) for dtype in ("float64", "float32")]
                yield size, R, *nulls, *(entry_margin(size, min(R, 32), space) for space in ("core", "knots", "full"))


def main() -> None:
    """Prints one line for each size and R."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 2048, 8192])
    heads = ("null, float64", "null, float32", "core", "KnOTS", "full")
    print(f"{'size':>6} {'R':>4}", *(f"{head:>14}" for head in heads), "  (allowed: 64, 64, 8, 8, 8)", flush=True)
    for size, R, *found in rows(parser.parse_args().sizes):
        print(f"{size:6.0f} {R:4.0f}", *(f"{margin:14.2f}" for margin in found), flush=True)


if __name__ == "__main__":
    main()
