"""Twenty faults as bent merges: what an implementation gets wrong, planted around ours, for properties to kill."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from every import Factors, Merge, ours

import coremerge_ref as cm
from coremerge_ref.core.pipeline import Pipeline, as_pipeline

Weights = Sequence[float] | None


def on_factors(bend: Callable[[Factors], Factors]) -> Merge:
    """Inputs are misread."""
    return lambda factors, method, space, weights=None: ours(bend(factors), method, space, weights)


def on_result(bend: Callable[[np.ndarray, Any, Factors], np.ndarray]) -> Merge:
    """The result is spoilt; bend is given the space and the factors, too."""
    return lambda factors, method, space, weights=None: bend(ours(factors, method, space, weights), space, factors)


def on_weights(bend: Callable[[list[float]], list[float]]) -> Merge:
    """Weights are misread."""
    return lambda factors, method, space, weights=None: ours(
        factors, method, space, None if weights is None else bend(list(weights))
    )


def on_stage(kind: type, **changes: Callable[[Any], Any]) -> Merge:
    """A stage has other parameters than it was given."""

    def bent(factors: Factors, method: Any, space: Any, weights: Weights = None) -> np.ndarray:
        stages = [
            replace(stage, **{name: change(stage) for name, change in changes.items()})
            if type(stage) is kind
            else stage
            for stage in as_pipeline(method).stages
        ]
        return ours(factors, Pipeline(stages), space, weights)

    return bent


def without_last_direction(W: np.ndarray, space: Any, factors: Factors) -> np.ndarray:
    P, S, Qh = np.linalg.svd(W, full_matrices=False)
    live = int(np.sum(S > 1e-9 * S[0])) if S[0] else 0
    return (P[:, : live - 1] * S[: live - 1]) @ Qh[: live - 1] if live else W


def transposed_block(factors: Factors) -> Factors:
    B, A, s = factors[0]
    return [(A.T, B.T, s), *factors[1:]] if B.shape[0] == A.shape[1] else factors


def offsets_of_equal_ranks(factors: Factors) -> Factors:
    """Blocks of the stack cut at multiples of the first rank."""
    stack, r = np.concatenate([B for B, _, _ in factors], axis=1), factors[0][0].shape[1]
    made = []
    for t, (B, A, s) in enumerate(factors):
        block = np.zeros(B.shape)
        own = stack[:, t * r : t * r + B.shape[1]]
        block[:, : own.shape[1]] = own
        made.append((block, A, s))
    return made


def factor_of_another_task(factors: Factors) -> Factors:
    (_, A, _), (B, C, s) = factors[0], factors[-1]
    return [*factors[:-1], (B, A[: C.shape[0]], s)] if A.shape[0] >= C.shape[0] else factors


def left_frame_for_V(W: np.ndarray, space: Any, factors: Factors) -> np.ndarray:
    """In square transposed KnOTS the frame of the columns stands where that of the rows belongs."""
    if not getattr(space, "transposed", False) or W.shape[0] != W.shape[1]:
        return W
    U = np.linalg.qr(np.concatenate([B for B, _, _ in factors], axis=1))[0]
    return W @ U @ U.T


def residual_on_the_right(factors: Factors, method: Any, space: Any, weights: Weights = None) -> np.ndarray:
    if not isinstance(method, cm.IsoCts) and method != "iso_cts":
        return ours(factors, method, space, weights)
    return ours([(A.T, B.T, s) for B, A, s in factors], method, space, weights).T


def mean_over_tasks(factors: Factors, method: Any, space: Any, weights: Weights = None) -> np.ndarray:
    W = ours(factors, method, space, weights)
    return W * sum(weights) / len(factors) if method == "mean" and weights else W


def iso_over_the_size(W: np.ndarray, space: Any, factors: Factors) -> np.ndarray:
    S = np.linalg.svd(W, compute_uv=False)
    equal = S[0] > 0 and np.ptp(S[S > 1e-9 * S[0]]) <= 1e-9 * S[0] and np.sum(S > 1e-9 * S[0]) > 1
    return W * np.sum(S > 1e-9 * S[0]) / len(S) if equal else W


def null_vectors(W: np.ndarray, space: Any, factors: Factors) -> np.ndarray:
    """A direction of a zero singular value with the smallest of the others."""
    P, S, Qh = np.linalg.svd(W, full_matrices=False)
    live = int(np.sum(S > 1e-9 * S[0])) if len(S) and S[0] else 0
    return W + S[live - 1] * np.outer(P[:, live], Qh[live]) if 0 < live < len(S) else W


def single_precision(factors: Factors, method: Any, space: Any, weights: Weights = None) -> np.ndarray:
    updates = [cm.LowRankUpdate(*f) for f in factors]
    merged = cm.merge(updates, method, space, weights=weights, compute_dtype="float32", out_dtype="float64")
    return np.asarray(merged.to_dense())


FAULTS: dict[str, Merge] = {
    "the last direction is dropped": on_result(without_last_direction),
    "a block is transposed": on_factors(transposed_block),
    "offsets of equal ranks": on_factors(offsets_of_equal_ranks),
    "one rank too many in TSV": on_stage(cm.Tsv, k=lambda s: s.k and s.k + 1),
    "one rank too few in TSV": on_stage(cm.Tsv, k=lambda s: s.k and max(1, s.k - 1)),
    "one rank too many in CART": on_stage(cm.Cart, k=lambda s: s.k and s.k + 1),
    "the factor of another task": on_factors(factor_of_another_task),
    "the sign of a weight is lost": on_weights(lambda w: [abs(x) for x in w]),
    "weights of two tasks swapped": on_weights(lambda w: [*w[1:2], *w[:1], *w[2:]]),
    "one entry too many in TIES and trimming": on_stage(cm.Trim, density=lambda s: min(1.0, s.density + 1 / 6)),
    "K in place of K + 1": on_stage(cm.Trim, keep=lambda s: "exact"),
    "one common direction too many": on_stage(cm.IsoCts, common_fraction=lambda s: min(1.0, s.common_fraction + 0.6)),
    "the residual is projected on the right": residual_on_the_right,
    "the left frame stands for V": on_result(left_frame_for_V),
    "the mean is over the number of tasks": mean_over_tasks,
    "TIES sums": on_stage(cm.Ties, aggregate=lambda s: "sum"),
    "TIES elects by number": on_stage(cm.Ties, elect=lambda s: "count"),
    "TIES elects by mass": on_stage(cm.Ties, elect=lambda s: "mass"),
    "DARE does not rescale": on_stage(cm.Dare, rescale=lambda s: "none"),
    "isotropization over the size": on_result(iso_over_the_size),
    "the coefficient of CART is lost": on_stage(cm.Cart, coefficient=lambda s: 1.0),
    "the scaling is applied twice": on_factors(lambda f: [(B, A, s * s) for B, A, s in f]),
    "the scaling is ignored": on_factors(lambda f: [(B, A, 1.0) for B, A, _ in f]),
    "the last task is left out": on_factors(lambda f: [*f[:-1], (0 * f[-1][0], *f[-1][1:])]),
    "null vectors take part": on_result(null_vectors),
    "single precision": single_precision,
}
