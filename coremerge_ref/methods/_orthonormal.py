"""What errors do to matrices whose rows, side by side, stay orthonormal: those of KnOTS without singular values."""

from itertools import chain

import numpy as np

from coremerge_ref.methods._graded import Factors, Met, Triplets, unknown
from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.perturbation.theorems import lengths

HUGE = 1e100  # of which products are finite


def met_by_rows(errors: Errors, triplets: Triplets, c: np.ndarray) -> Met:
    """Of the error of X = Σ_t c_t N_t, N as in Errors.orthonormal, c (T,); triplets: of X, or of part of it.

    Rows of N = [N_1 … N_T] turn by D (I − Nᵀ N), D = diag(σ)⁻¹ [E_1 … E_T] with errors E_s of the factors L_s R_sᵀ =
    diag(σ) N_s, and to second order by as much as the square of it; so X by Σ_s diag(σ)⁻¹ E_s (c_s I − N_sᵀ X), little
    of it where X is nearly all of N.
    """
    assert errors.orthonormal is not None
    (N, inverse, out), S, factors = errors.orthonormal, triplets[1], errors.factors
    if factors is None or not all(np.max(np.abs(x), initial=0.0) < HUGE for x in (inverse, *chain(*factors))):
        return unknown(len(S))
    known = max(1.0, 8 * len(inverse) * errors.unit / errors.level.size)  # N itself turns by so many times its errors
    second = 2 * float(out @ out) * float(np.sum(np.abs(c))) * known
    found, X = Met(*(np.full(shape, second) for shape in ((len(S), len(S)), len(S), len(S)))), np.tensordot(c, N, 1)
    for Y, share, one in zip(N, c, factors, strict=True):
        found = found + _met(triplets, one, inverse, share * np.eye(X.shape[1]) - Y.T @ X)
    return found


def _met(triplets: Triplets, factors: Factors, inverse: np.ndarray, H: np.ndarray) -> Met:
    """Of diag(inverse) (E_L Rᵀ + L E_Rᵀ) H, columns of E_L up to b and of E_R up to a."""
    (L, R, b, a), (P, _, Qh) = factors, triplets
    G, L, HQ, R = inverse[:, None] * P, inverse[:, None] * L, H @ Qh.T, H.T @ R
    f, e = b @ np.abs(Qh @ R).T, a @ np.abs(L.T @ P)  # (s,)
    g, h = lengths(G), lengths(HQ)
    both = float(b @ a)
    rest, beside = (X - Y @ (Y.T @ X) for X, Y in ((L, P), (R, Qh.T)))
    out = np.diag(inverse) - P @ G.T  # (I − P Pᵀ) diag(inverse)
    away = H - (H @ Qh.T) @ Qh
    return Met(
        np.outer(g, f) + np.outer(e, h) + both * np.outer(g, h),
        float(np.linalg.norm(out, 2)) * (f + both * h) + float(a @ lengths(rest)) * h,
        float(b @ lengths(beside)) * g + (e + both * g) * float(np.linalg.norm(away, 2)),
    )
