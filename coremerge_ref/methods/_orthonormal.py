"""What errors do to matrices whose rows, side by side, stay orthonormal: those of KnOTS without singular values."""

from itertools import chain

import numpy as np

from coremerge_ref.methods._graded import Met, Through, Triplets, met_through, unknown
from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.perturbation.theorems import norm

HUGE = 1e100  # of which products are finite


def met_by_rows(errors: Errors, triplets: Triplets, through: list[Through], G: np.ndarray | None = None) -> Met:
    """Of G Σ_t E_t H_t, E_t the error of N_t, N as in Errors.orthonormal; through: of each H_t (q, q). G (p, p).

    Rows of N = [N_1 … N_T] turn by D (I − Nᵀ N), D = diag(σ)⁻¹ [E_1 … E_T] with errors E_s of the factors L_s R_sᵀ =
    diag(σ) N_s, and to second order by as much as the square of it; so Σ_t N_t H_t by Σ_s diag(σ)⁻¹ E_s (H_s − N_sᵀ Z),
    Z = Σ_t N_t H_t, little of it where Z is nearly all of N.
    """
    assert errors.orthonormal is not None
    (N, inverse, out), S, factors = errors.orthonormal, triplets[1], errors.factors
    if factors is None or not all(np.max(np.abs(x), initial=0.0) < HUGE for x in (inverse, *chain(*factors))):
        return unknown(len(S))
    known = max(1.0, 8 * len(inverse) * errors.unit / errors.level.size)  # N itself turns by so many times its errors
    size = sum(abs(c) + norm(X) * norm(Y) for c, X, Y in through)
    second = 2 * float(out @ out) * size * known
    found = Met(*(np.full(shape, second) for shape in ((len(S), len(S)), len(S), len(S))))
    Z = sum(c * M - (M @ X) @ Y.T for M, (c, X, Y) in zip(N, through, strict=True))
    D = np.diag(inverse) if G is None else G * inverse
    for M, one, (c, X, Y) in zip(N, factors, through, strict=True):
        both = np.concatenate([X, M.T], axis=1), np.concatenate([Y, Z.T], axis=1)
        found = found + met_through(triplets, one, D, (c, *both))
    return found
