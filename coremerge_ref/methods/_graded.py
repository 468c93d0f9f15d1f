"""What errors do to singular triplets where each column of the factors is known to its own size, see Errors.factors."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from coremerge_ref.methods._subspaces import Leading
from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.perturbation.theorems import norm, safely

Factors = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # L, R, b, a


@dataclass(frozen=True, eq=False)
class Turns:
    """Of the first k triplets of a matrix: how far left and right vectors (k,) turn out of their span, how much more
    the left ones turn within it than the right ones, and how far the sum of the values moves."""

    left: np.ndarray
    right: np.ndarray
    pairing: float
    values: float


def known_turns(
    errors: Errors,
    M: np.ndarray,
    part: Leading,
    delta: float,
    factors: Factors | None,
    slack: Any = 0.0,
    aside: float = 0.0,
) -> Turns:
    """Those of the leading `part` of M, known up to delta, or better by its `factors` to first order.

    Second-order terms are bounded by four times the square of what delta alone makes of the first; slack (k,) adds to
    them. aside: turn of left vectors into what M is orthogonal to, which delta has and `factors` do not.
    """
    S, x = part.S, safely(delta, part.turns)
    if not len(S):
        return Turns(x, x, 0.0, 0.0)
    # condition number of the polar factor of diag(S) (Higham 2008, theorem 8.9); 0 for one value, a sign
    pairing = delta * float(2 / (S[-1] + S[-2])) if len(S) > 1 else 0.0
    values = len(S) ** 0.5 * delta
    if factors is None or not np.isfinite(x).all():
        return Turns(x, x, pairing, values)
    finer, most = first_order(factors, errors.svd(M), len(S)), 4 * x**2 + slack
    return Turns(
        np.minimum(x, np.hypot(finer.left, aside) + most),
        np.minimum(x, finer.right + most),
        min(pairing, finer.pairing + 4 * pairing**2 + norm(most)),
        min(values, finer.values + 4 * delta * (pairing + float(x.max())) + norm(slack) * float(S[0])),
    )


def first_order(factors: Factors, triplets: tuple[np.ndarray, np.ndarray, np.ndarray], k: int) -> Turns:
    """Those of M with thin SVD P (p, s), S (s), Qh (s, q), and errors E = E_L Rᵀ + L E_Rᵀ, columns of E_L (p, c) up to
    b and of E_R (q, c) up to a.

    E_ij = p_iᵀ E q_j is at most e_i + f_j, f_j = bᵀ |Rᵀ q_j| and e_i = aᵀ |Lᵀ p_i|: small values that come from small
    columns have small ones. With it vectors turn into those left by (σ_i E_ji + σ_j E_ij) / (σ_i² − σ_j²) and, beyond
    all s, by E q_i / σ_i and Eᵀ p_i / σ_i (Stewart and Sun 1990, V.2); within, left and right differ by
    (E_ji − E_ij) / (σ_i + σ_j).
    """
    (L, R, b, a), (P, S, Qh) = factors, triplets
    unit, Q = float(S[0]), Qh.T
    s = S / unit
    f, e = b @ np.abs(R.T @ Q) / unit, a @ np.abs(L.T @ P) / unit  # (s,)
    beyond_f, beyond_e = (
        float(x @ np.sqrt(np.sum((X - Y @ (Y.T @ X)) ** 2, axis=0))) / unit for x, X, Y in ((b, R, Q), (a, L, P))
    )
    one, both, taken = f[:k, None] + e, e[:k, None] + f, s[:k, None]  # bounds on E_ji and E_ij
    with np.errstate(divide="ignore", over="ignore"):
        apart = 1 / ((taken - s[k:]) * (taken + s[k:]))
        left, right = (
            np.hypot(
                np.sqrt(np.sum(safely(taken * x[:, k:] + s[k:] * y[:, k:], apart) ** 2, axis=1)),
                safely(own[:k] + beyond if len(X) > len(s) else 0.0, 1 / s[:k]),
            )
            for X, x, y, own, beyond in ((P, one, both, f, beyond_e), (Q, both, one, e, beyond_f))
        )
        within = safely((one + both)[:, :k], 1 / (taken + s[:k]))
    np.fill_diagonal(within, 0.0)
    return Turns(left, right, norm(within), unit * float((f + e)[:k].sum()))


def scaled(factors: list[Factors], weights: Any) -> list[Factors]:
    """Those of w_t M_t from those of all M_t."""
    return [(w * L, R, w * b, a) for w, (L, R, b, a) in zip(np.abs(weights), factors, strict=True)]


def joined(factors: list[Factors]) -> Factors:
    """Those of the sum."""
    L, R, b, a = zip(*factors, strict=True)
    return np.concatenate(L, axis=1), np.concatenate(R, axis=1), np.concatenate(b), np.concatenate(a)
