"""What is known of the errors of residuals, of what tasks hold beside the common directions of Iso-CTS."""

from functools import reduce
from operator import add
from typing import Any

import numpy as np

from coremerge_ref.methods._graded import (
    Met,
    Triplets,
    bounded,
    joined,
    met_by_columns,
    met_by_entries_through,
    met_through,
    turned_into,
)
from coremerge_ref.methods._multiplied import Factors, shares
from coremerge_ref.methods._orthonormal import met_by_rows
from coremerge_ref.methods._subspaces import Leading
from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.perturbation.theorems import lengths, safely


class Residuals:
    """What triplets of the residuals R_t = (I − U Uᵀ) M_t meet of errors E_s of all M_s, their sum G of which
    ΣM = U S Vᵀ + … meets `met`; factors and entries of the E_s, weights of the tasks.

    R_t changes by (I − U Uᵀ) E_t − K Uᵀ M_t and, out of its span, by U Kᵀ, K the turn of U. K is (I − U Uᵀ) G V S⁻¹ but
    for its part on other vectors u_i of ΣM, which is σ_i / σ_j of the turn into them. Where M_t is most of ΣM the two
    cancel: (I − U Uᵀ) (E_t − G V Cᵀ), C = M_tᵀ U S⁻¹, is E_t (I − V Cᵀ) and little of the others.
    """

    def __init__(
        self, errors: Errors, sums: Triplets, common: Leading, met: Met, factors: list[Factors], entries: np.ndarray,
        weights: Any,
    ) -> None:  # fmt: skip
        self.errors, self.common, self.factors, self.entries, k = errors, common, factors, entries, len(common.S)
        self.rest, self.weights = np.eye(len(common.P)) - common.P @ common.P.T, np.asarray(weights)
        if k:
            self.into = lengths(safely(turned_into(met, sums[1], k)[0], sums[1][k:] / common.S[:, None]), axis=1)

    def met(self, t: int, M: np.ndarray, residual: np.ndarray) -> Met:
        """Of task t."""
        (P, S), triplets = (self.common.P, self.common.S), self.errors.svd(residual)
        if not len(S):
            return bounded(self.errors, self._of(triplets, t, M.T @ P))
        followed = met_by_columns(triplets, (P, M.T @ P, self.into, np.zeros(len(S))))
        return bounded(self.errors, self._of(triplets, t, M.T @ P / S) + followed)

    def _of(self, triplets: Triplets, t: int, C: np.ndarray) -> Met:
        """Of (I − U Uᵀ) (E_t − Σ_s E_s V Cᵀ); C (q, 0): nothing is taken from it."""
        errors, V, tasks = self.errors, self.common.Q[:, : C.shape[1]], range(len(self.entries))
        others, made = [s for s in tasks if s != t and C.size], []
        for some, c in (([t], 1.0), (others, 0.0)):
            if some:
                part = met_by_entries_through(triplets, errors, self.entries[some].sum(axis=0), self.rest, (c, V, C))
                if self.factors:
                    columns = joined([self.factors[s] for s in some])
                    part = part & met_through(triplets, columns, self.rest, (c, V, C))
                made.append(part)
        found = reduce(add, made)
        if errors.orthonormal:
            each = [(float(w) * (s == t), float(w) * V, C) for s, w in zip(tasks, self.weights, strict=True)]
            found = found & met_by_rows(errors, triplets, each, self.rest)
        return found


def residuals_moved(
    errors: Errors, common: Leading, beyond: float, sizes: np.ndarray, factors: list[Factors]
) -> np.ndarray:
    """Bounds (T,) on how far the R_t, of norms `sizes`, move where errors multiply ΣM, and so all M_t, by the same
    I + X and I + Y; beyond: the first singular value of ΣM that is cut, and what it may be off by.

    As M_t moves by G M_t + M_t Kᵀ and U by Ω, R_t moves by ((I − U Uᵀ) G − U Ωᵀ) R_t + R_t Kᵀ and D Uᵀ M_t, D_ji =
    −(σ_j² (G_ji + G_ij) + σ_i σ_j (K_ij + K_ji)) / (σ_i² − σ_j²): what G turns U by cancels, and beside small values of
    ΣM little is left. ‖S⁻¹ Uᵀ M_t‖ ≤ ‖ΣM⁺ M_t‖. All that may grow on the way, as in Gronwall's lemma.
    """
    span, pairing, relative = common.multiplied
    if errors.level.formed or not np.isfinite(span):  # arithmetic does not multiply all tasks by the same
        return np.full(len(sizes), np.inf)
    length = pairing / 2**0.5
    with np.errstate(over="ignore"):
        growth = np.exp(3 * length + span) * (1 + relative)
    taken = beyond * (2**0.5 * span + pairing) / 2 * shares(errors, factors)
    return np.asarray(growth * ((length + span) * sizes + taken))
