"""What errors do to singular triplets where more is known of them than their norm: columns, or entries."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from coremerge_ref.methods._multiplied import Factors
from coremerge_ref.methods._subspaces import Leading
from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.perturbation.theorems import lengths, norm, safely, spectral

Triplets = tuple[np.ndarray, np.ndarray, np.ndarray]  # P (p, s), S (s), Qh (s, q)


@dataclass(frozen=True, eq=False)
class Met:
    """What singular vectors meet of an error E: bounds on |p_iᵀ E q_j| (s, s), on ‖E q_j‖ beyond the span of all p_i
    (s,), and on ‖Eᵀ p_i‖ beyond that of all q_j (s,)."""

    within: np.ndarray
    left: np.ndarray
    right: np.ndarray

    def __add__(self, other: "Met") -> "Met":
        """Of the sum of two errors."""
        return Met(self.within + other.within, self.left + other.left, self.right + other.right)

    def __and__(self, other: "Met") -> "Met":
        """Of one error, of which both are known."""
        pairs = ((self.within, other.within), (self.left, other.left), (self.right, other.right))
        return Met(*(np.minimum(*pair) for pair in pairs))


def unknown(s: int) -> Met:
    """Of an error of which nothing is known."""
    return Met(*(np.full(shape, np.inf) for shape in ((s, s), s, s)))


def met_by_columns(triplets: Triplets, factors: Factors) -> Met:
    """Of E = E_L Rᵀ + L E_Rᵀ + E_L E_Rᵀ, columns of E_L (p, c) up to b and of E_R (q, c) up to a.

    |p_iᵀ E q_j| is at most e_i + f_j + bᵀ a, f_j = bᵀ |Rᵀ q_j| and e_i = aᵀ |Lᵀ p_i|: small values that come from small
    columns have small ones.
    """
    (L, R, b, a), (P, S, Qh) = factors, triplets
    if not (np.isfinite(b).all() and np.isfinite(a).all()):
        return unknown(len(S))
    f, e = b @ np.abs(Qh @ R).T, a @ np.abs(L.T @ P)  # (s,)
    of_left, of_right = (float(x @ lengths(outside(X, Y))) for x, X, Y in ((a, L, P), (b, R, Qh.T)))
    both = float(b @ a)
    return Met(e[:, None] + f + both, f + of_left + both, e + of_right + both)


def met_by_entries(triplets: Triplets, errors: Errors, entry: np.ndarray) -> Met:
    """Of |E| ≤ entry (p, q) in the frames, which turn along where errors are `closed`; else E has parts beyond them."""
    return met_by_entries_through(triplets, errors, entry, None, times(1.0, entry.shape[1]))


Through = tuple[float, np.ndarray, np.ndarray]  # c, X (q, k), Y (q, k): what is multiplied by c I − X Yᵀ


def times(c: float, q: int) -> Through:
    """By c I alone."""
    return c, np.zeros((q, 0)), np.zeros((q, 0))


def met_by_entries_through(
    triplets: Triplets, errors: Errors, entry: np.ndarray, G: np.ndarray | None, through: Through
) -> Met:
    """Of G E (c I − X Yᵀ) where |E| ≤ entry; G (p, p), None for I."""
    (P, _, Qh), (c, X, Y), s = triplets, through, len(triplets[1])
    if not np.isfinite(entry).all():
        return unknown(s)
    met = P if G is None else G.T @ P
    right, left = entry @ np.abs(c * Qh.T - X @ (Y.T @ Qh.T)), np.abs(met).T @ entry  # (p, s), (s, q)
    beyond = [np.full(s, np.inf)] * 2
    if errors.closed:
        beyond = [_beyond(P, right, errors.unit), abs(c) * _beyond(Qh.T, left.T, errors.unit)]
        if G is not None:
            beyond[0] = lengths(np.abs(outside(G, P)) @ right)
        if Y.shape[1]:
            beyond[1] = beyond[1] + norm(outside(Y, Qh.T)) * lengths(left @ np.abs(X), axis=1)
    return Met(np.abs(met).T @ right, *beyond)


def _beyond(X: np.ndarray, moved: np.ndarray, unit: float) -> np.ndarray:
    """Bounds (s,) on what of columns, |column| ≤ moved (p, s), lies beyond the span of X (p, s)."""
    if X.shape[0] == X.shape[1]:
        return np.zeros(len(X))
    rest = np.sqrt(np.maximum(1 - np.sum(X * X, axis=1), 0.0))  # ‖(I − X Xᵀ) e_i‖
    return np.asarray(np.minimum(lengths(moved), (rest + 8 * len(rest) * unit) @ moved))


def outside(X: np.ndarray, Q: np.ndarray) -> np.ndarray:
    """What of X (p, c) lies beyond the span of the orthonormal Q (p, s): nothing where Q is square."""
    return X - Q @ (Q.T @ X) if Q.shape[1] < Q.shape[0] else np.zeros(X.shape)


def met_through(triplets: Triplets, factors: Factors, G: np.ndarray, through: Through) -> Met:
    """Of G E (c I − X Yᵀ), E as in met_by_columns; G (p, p)."""
    (L, R, b, a), (P, _, Qh), (c, X, Y) = factors, triplets, through
    if not (np.isfinite(b).all() and np.isfinite(a).all()):
        return unknown(Qh.shape[0])
    met, L, R = G.T @ P, G @ L, c * R - Y @ (X.T @ R)
    f, e = b @ np.abs(Qh @ R).T, a @ np.abs(L.T @ P)  # (s,)
    g, h = lengths(met), lengths(c * Qh.T - X @ (Y.T @ Qh.T))
    away = abs(c) + spectral(X) * norm(outside(Y, Qh.T)) if len(Qh) < Qh.shape[1] else 0.0
    of_left, of_right = (float(x @ lengths(outside(Z, V))) for x, Z, V in ((a, L, P), (b, R, Qh.T)))
    both = float(b @ a)
    return Met(
        np.outer(g, f + both * h) + np.outer(e, h),
        (spectral(G) if P.shape[1] < len(P) else 0.0) * (f + both * h) + of_left * h,
        of_right * g + (e + both * g) * away,
    )


def known(
    errors: Errors,
    triplets: Triplets,
    factors: Factors | None,
    entry: np.ndarray,
    beside: Factors | None = None,
) -> Met:
    """Of an error of which `factors` and `entry` are known, and another `beside` it; not of the SVD's own rounding.

    Where as many vectors are there as rows of ΔW, nothing lies beyond the span of the left ones, and so on the right.
    """
    met = met_by_entries(triplets, errors, entry)
    if factors is not None and not errors.divided:
        met = met & met_by_columns(triplets, factors)
    return bounded(errors, met if beside is None else met + met_by_columns(triplets, beside))


def bounded(errors: Errors, met: Met) -> Met:
    """The same, where as many vectors are there as rows, or columns, of ΔW."""
    left, right = (size > len(met.left) for size in errors.shape)
    return Met(met.within, *(x if some else np.zeros_like(x) for x, some in ((met.left, left), (met.right, right))))


@dataclass(frozen=True, eq=False)
class Turns:
    """Of the first k triplets of a matrix: how far left and right vectors (k,) turn out of their span, how much more
    the left ones turn within it than the right ones, and how far the sum of the values moves; how far the norm of the
    error lets vectors turn (k,)."""

    left: np.ndarray
    right: np.ndarray
    pairing: float
    values: float
    shared: np.ndarray


def known_turns(
    errors: Errors, M: np.ndarray, part: Leading, delta: float, finer: Met | None, slack: Any = 0.0, aside: float = 0.0
) -> Turns:
    """Those of the leading `part` of M, known up to delta, or better by what is `finer` known, to first order; None of
    arithmetic, whose SVDs round.

    Second-order terms are bounded by four times the square of what delta alone makes of the first; slack (k,) adds to
    them. aside: turn of left vectors into what M is orthogonal to, which delta has and `finer` does not. Where errors
    multiply M, spans and pairing turn no further than that makes them, see Leading.
    """
    S, x = part.S, safely(delta, part.turns)
    if not len(S):
        return Turns(x, x, 0.0, 0.0, x)
    shared = np.minimum(x, part.multiplied[0])
    # condition number of the polar factor of diag(S) (Higham 2008, theorem 8.9); 0 for one value, a sign
    crude = delta * float(2 / (S[-1] + S[-2])) if len(S) > 1 else 0.0
    pairing = min(crude, part.multiplied[1])
    values = len(S) ** 0.5 * delta
    if finer is None or not np.isfinite(x).all():
        return Turns(shared, shared, pairing, values, shared)
    first, most = first_order(finer, errors.svd(M), len(S)), 4 * x**2 + slack
    return Turns(
        np.minimum(shared, np.hypot(first.left, aside) + most),
        np.minimum(shared, first.right + most),
        min(pairing, first.pairing + 4 * crude**2 + norm(most)),
        min(values, first.values + 4 * delta * (crude + float(x.max())) + norm(slack) * float(S[0])),
        shared,
    )


def first_order(error: Met, triplets: Triplets, k: int) -> Turns:
    """Those of M with the thin SVD `triplets`.

    Vectors turn into those left by (σ_i E_ji + σ_j E_ij) / (σ_i² − σ_j²) and, beyond all s, by E q_i / σ_i and
    Eᵀ p_i / σ_i (Stewart and Sun 1990, V.2); within, left and right differ by (E_ji − E_ij) / (σ_i + σ_j).
    """
    S, F = triplets[1][:k] / triplets[1][0], error.within[:k, :k] / triplets[1][0]
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        left, right = (
            np.hypot(lengths(turned, axis=1), safely(beyond[:k] / triplets[1][0], 1 / S))
            for turned, beyond in zip(turned_into(error, triplets[1], k), (error.left, error.right), strict=True)
        )
        within = safely(F + F.T, 1 / (S[:, None] + S))
    np.fill_diagonal(within, 0.0)
    return Turns(left, right, norm(within), float(triplets[1][0] * np.trace(F)), np.full(k, np.inf))


def polar_moved(error: Met, S: np.ndarray) -> float:
    """Bound on the change of the polar factor of M with singular values S (s,), none of them cut; inf: not known.

    With F = Pᵀ E Q and G = F S⁻¹ it leaves the span of P by B S⁻¹ (I + G)⁻¹, B = (I − P Pᵀ) E Q, and so on the right,
    and turns within by K, K_ij = (F_ij − F_ji) / (σ_i + σ_j) and second-order terms with H_ij = (σ_i F_ij + σ_j F_ji) /
    (σ_i + σ_j) (Higham 2008, 8). Rows of F that are large beside small values come into second order alone.
    """
    s, F = S / S[0], error.within / S[0]
    if not s[-1] > 0 or not all(np.isfinite(x).all() for x in (F, error.left, error.right)):
        return np.inf
    total = s[:, None] + s
    K, H = (F + F.T) / total, (s[:, None] * F + s * F.T) / total
    np.fill_diagonal(K, 0.0)
    more = (K @ H + H @ K) / total + K @ K / 2
    parts = [_summed(K, more, (more @ H + H @ more) / total + K @ more)]
    for beyond, G in ((error.left, F / s), (error.right, F.T / s)):
        own = beyond / S
        parts.append(_summed(own, own @ G, own @ G @ G))
    return norm(parts)


def _summed(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> float:
    """Bound on the norm of a series of which these are the first terms; inf where it is not seen to converge."""
    return norm(first + 2 * second) if norm(third) <= norm(second) / 2 else np.inf


def turned_into(error: Met, S: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (k, s − k) on how far the first k left, and right, vectors turn into each of the others."""
    s, F = S / S[0], error.within / S[0]
    here, there, taken = F[:k, k:], F.T[:k, k:], s[:k, None]  # bounds on E_ij and E_ji
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        apart = 1 / ((taken - s[k:]) * (taken + s[k:]))
        left, right = (safely(taken * x + safely(s[k:], y), apart) for x, y in ((there, here), (here, there)))
    return left, right


def retold(P: np.ndarray, S: np.ndarray, Q: np.ndarray, left: Any, right: Any, within: np.ndarray) -> Factors:
    """Those of P diag(S) Qᵀ, whose columns of P turn by at most `left` (k,) and of Q by `right` (k,), while diag(S)
    changes by at most `within` (k, k)."""
    return P * S, Q, S * left + lengths(within), np.broadcast_to(right, S.shape)


def scaled(factors: list[Factors], weights: Any) -> list[Factors]:
    """Those of w_t M_t from those of all M_t."""
    return [(w * L, R, w * b, a) for w, (L, R, b, a) in zip(np.abs(weights), factors, strict=True)]


def joined(factors: list[Factors]) -> Factors:
    """Those of the sum."""
    L, R, b, a = zip(*factors, strict=True)
    return np.concatenate(L, axis=1), np.concatenate(R, axis=1), np.concatenate(b), np.concatenate(a)
