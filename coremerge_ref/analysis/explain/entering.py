"""Errors of the tasks' matrices on entering a space, and of the way back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from coremerge_ref.analysis.explain.turning import Turn, turning
from coremerge_ref.core import linalg
from coremerge_ref.core.linalg import thresholds
from coremerge_ref.perturbation.carried import Errors, Level
from coremerge_ref.perturbation.theorems import coupling, mixed, near, norm, safely

ZERO, NU = (x / 2.0**-52 for x in thresholds("float64"))  # in eps: a singular value that is none; ν of norms
ALLOWANCE = 8.0  # eps: scaling, normalizing, the last bits of a QR or an SVD, and storing a value, one each


def level_of(name: str, dtype: str, eps: float, tiny: float, terms: int) -> Level:
    """Level "input": half an eps, as one rounding makes; "compute": what sums of `terms` terms may make of it.

    Each of N − 1 additions and N products is off by half an eps of what is there. Nothing is taken to cancel.
    """
    return Level(name, dtype, eps, 0.5 if name == "input" else terms / 2 + ALLOWANCE, tiny if name == "compute" else 0)


@dataclass(frozen=True, eq=False)
class Frame:
    """One side of one layer's space: coordinates (p, r_t) and column norms (r_t) of each X_t, norms (p) of the rows of
    each M_t, singular values S (p) of the stack, live size, and whether it is an identity or the stack is one of
    updates, not of factors."""

    coordinates: list[np.ndarray]
    norms: list[np.ndarray]
    rows: list[np.ndarray]
    S: np.ndarray | None
    live: int
    identity: bool
    of_updates: bool
    size: int  # m or n
    names: tuple[str, str]  # of the stack of factors, of updates
    distinct: int  # columns of the factors that differ by more than a factor
    # coordinates (p, R) of columns of norm 1, their singular values, and how many are not zero
    units: tuple[np.ndarray, np.ndarray, int] | None = None
    alike: Callable[[Level], Turn] | None = None  # `turn`, where that of many layers is found at once

    def turned(self, errors: Errors, M: np.ndarray) -> tuple[np.ndarray, float]:
        """(bounds on the entries, bound on the norm) of the change of the rows of M (…, p, q) as errors turn the frame
        within its span."""
        if self.S is None:
            return np.zeros(M.shape), 0.0
        turn, change = self.turn(errors), np.zeros(M.shape)
        change[..., : self.live, :] = mixed(turn.inside, turn.widest, M[..., : self.live, :])
        return change, min(norm(change), float(turn.most) * norm(M))

    def turn(self, errors: Errors) -> Turn:
        """What errors make of the singular vectors, S not None."""
        if self.alike is not None:
            return self.alike(errors.level)
        assert self.S is not None
        S = self.S[: self.live]
        key = (id(self), errors.level.name)
        made: Turn = errors.once(key, lambda: turning(S, np.asarray(self.error(errors)), self.own(errors)))
        return made

    def error(self, errors: Errors) -> float:
        """Bound on the norm of the error of the stack, its SVD's own and that of each update's included."""
        if self.of_updates:
            return norm(errors.entering) + 2 * errors.level.decomposed * norm(self.S)
        return max(errors.level.size, errors.level.decomposed) * norm(np.concatenate(self.norms))

    def own(self, errors: Errors) -> np.ndarray:
        """Bounds (live) on ‖E v_i‖, v_i the right singular vectors of the stack and E its error.

        Rounding of inputs stays within each column; a decomposition spreads its own over all.
        """
        if errors.level.name == "compute" or self.S is None:
            return np.full(self.live, self.error(errors))
        size = errors.level.size
        parts = (
            [d * x for d, x in zip(errors.entering, self.rows, strict=True)]
            if self.of_updates
            else [size * (np.abs(C) @ x) for C, x in zip(self.coordinates, self.norms, strict=True)]
        )
        S = self.S[: self.live]
        most = self.error(errors)
        return np.where(S > 0, np.minimum(sum(parts)[: self.live] / np.where(S > 0, S, 1.0), most), most)

    def divided(self, errors: Errors, M: np.ndarray, right: "Frame", seen: bool) -> np.ndarray:
        """Bounds on the change of the entries of M = [M_1 … M_T] (T, p, q), whose singular values are divided out: rows
        v_i of the right singular vectors V of the stack of updates; right: their other side, an identity.

        They turn into each other by at most (σ_i own_j + σ_j own_i) / |σ_i² − σ_j²|, where their basis is not `seen` by
        (own_i + own_j) / (σ_i + σ_j), as rows of the polar factor do, and out of their span by
        (I − V Vᵀ) Eᵀ u_i / σ_i. Of what errors of task s add to Eᵀ u_i, a row x in block s, block t gets
        x (δ_st I − M_sᵀ M_t): a row a_j of A_s moves by at most g ‖a_j‖ there, times that column of the projector
        I − V Vᵀ, of norm √(1 − Σ_i M_t,ic²) at c; a column of B_s adds multiples of a_j. Where there are as many v_i as
        columns in all B_t, those stay within the span.
        """
        n, g, own, change = self.live, errors.level.size, self.own(errors), np.zeros(M.shape)
        if n == 0 or self.S is None:
            return change
        S, N = self.S[:n], M[:, :n]
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # of values that underflow
            if seen:
                share = S / S[0]
                K = (share[:, None] * own + own[:, None] * share) / np.hypot(share[:, None], share)
                K = safely(K, coupling(S[:, None], S))
            else:
                K = (own[:, None] + own) / (S[:, None] + S)
        K = np.minimum(np.nan_to_num(K, nan=2.0), 2.0)
        np.fill_diagonal(K, 0.0)
        rounding = ALLOWANCE * n * errors.unit
        beside = np.sqrt(np.maximum(1 - np.sum(N * N, axis=1), 0.0) + rounding)  # (T, q)
        tasks = list(zip(self.coordinates, self.norms, right.coordinates, right.norms, strict=True))
        inner = [np.abs(C[:n]) @ (np.abs(A).T @ np.abs(X).T) for (C, _, A, _), X in zip(tasks, N, strict=True)]
        whole = n == sum(C.shape[1] for C in self.coordinates)
        for t, X in enumerate(N):
            out = np.outer(np.abs(tasks[t][0][:n]) @ tasks[t][3], beside[t])
            out = out + (sum(inner) - inner[t]) @ np.abs(X)
            for s, (_, b, A, a) in enumerate(tasks if not whole else []):
                rest = A.T * float(s == t) - (A.T @ N[s].T) @ X  # (r_s, q)
                out = out + b @ np.abs(rest) + rounding * float(b @ a)
            with np.errstate(over="ignore", divide="ignore"):
                change[t, :n] = K @ np.abs(X) + safely(g * out, 1 / np.abs(S[:, None]))
        return change

    def scaled(self, errors: Errors) -> np.ndarray:
        """Bounds (p, p) on the change of H = U diag(σ) Uᵀ, W = H Z the stack of updates, in the frame U.

        It is (σ_i F_ji + σ_j F_ij) / (σ_i + σ_j), F = Uᵀ E V, so no gap between values matters; and |F_ij| ≤ own_j.
        """
        H = np.zeros((len(self.S), len(self.S)) if self.S is not None else (0, 0))
        if self.live and self.S is not None:
            S, own = self.S[: self.live] / self.S[0], self.own(errors)
            total = S[:, None] + S
            H[: self.live, : self.live] = np.where(
                total > 0, (S[:, None] * own[:, None] + S * own) / np.where(total > 0, total, 1.0), own
            )
        return H

    def leaving(self, errors: Errors, M: np.ndarray) -> float:
        """Bound on what of the frame times M (p, q) leaves the span that the frame should have."""
        if self.S is None or self.live >= self.size:
            return 0.0
        return norm(self.turn(errors).outside[:, None] * np.abs(M[: self.live]))

    def closest(self) -> tuple[int, float]:
        """i and the relative gap, where the values i and i + 1 (from 1) are the nearest ones."""
        S = self.S[: self.live] if self.S is not None else np.zeros(0)
        i = int(np.argmax(coupling(S[1:], S[:-1]))) if len(S) > 1 else 0
        return i + 1, float((S[i] - S[i + 1]) / S[0]) if len(S) > 1 else 1.0

    @property
    def name(self) -> str:
        """What the stack is written as."""
        return self.names[self.of_updates]


@dataclass(frozen=True, eq=False)
class Terms:
    """What errors of the factors of every M_t (T, p, q) = L_t R_tᵀ are in units of the level.

    within: |L_t| |R_t|ᵀ. sides: for either side what errors of it do, |R_t| b_t and |L_t| a_t, or within where its
    frame is an identity. whole (T): min(2 s, ‖b‖ ‖R‖₂ + ‖L‖₂ ‖a‖), sizes (T) s = Σ_i ‖b_i‖ ‖a_i‖. ranks (T): columns;
    there (T): whether some term is not zero.
    """

    within: np.ndarray
    sides: tuple[np.ndarray, np.ndarray]
    whole: np.ndarray
    sizes: np.ndarray
    ranks: np.ndarray
    there: np.ndarray
    made: dict[Any, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def errors(self, level: Level, identities: tuple[bool, bool], at: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """(delta (T), entry (T, p, q)) of one layer of a batch (T, …), see `entered`; computed for all at once."""
        key = level, identities
        place: Any = (slice(None), *at)
        if key not in self.made:
            self.made[key] = self._errors(*key)
        delta, entry = self.made[key]
        return delta[place].copy(), entry[place].copy()

    def _errors(self, level: Level, identities: tuple[bool, bool]) -> tuple[np.ndarray, np.ndarray]:
        g, formed = level.size, level.name == "compute"
        parts = sum(X * (0.0 if formed and one else g) for one, X in zip(identities, self.sides, strict=True))
        ranks = self.ranks.reshape(-1, *[1] * (self.there.ndim - 1))  # (T, …)
        tiny = level.tiny * (1 + ranks) * self.there
        own = formed * level.eps * (ranks / 2 + 1)
        both = g * g * (self.within if all(identities) else self.sizes[..., None, None])  # errors of either side meet
        parts = parts + both + own[..., None, None] * self.within + tiny[..., None, None]
        size = self.within.shape[-2] * self.within.shape[-1]
        delta = g * self.whole + g * g * self.sizes + tiny * size**0.5
        delta = np.minimum(delta, np.asarray(linalg.norm(parts)))
        return delta, np.minimum(parts, delta[..., None, None])


Factors = tuple[list[np.ndarray], list[np.ndarray]]  # coordinates (…, p, r_t) and norms (…, r_t) of each task


def terms_of(left: Factors, right: Factors, rows: bool, columns: bool) -> Terms:
    """The terms of a batch of layers (T, …); rows, columns: whether the frame on that side is an identity."""
    tasks = list(zip(left[0], right[0], left[1], right[1], strict=True))
    within = np.stack([np.abs(L) @ np.abs(R).mT for L, R, _, _ in tasks])
    of_left = within if rows else np.stack([(np.abs(R) @ b[..., None]).mT for _, R, b, _ in tasks])
    of_right = within if columns else np.stack([np.abs(L) @ a[..., None] for L, _, _, a in tasks])
    whole, sizes = [], [np.sum(b * a, axis=-1) for _, _, b, a in tasks]
    for (L, R, b, a), s in zip(tasks, sizes, strict=True):
        one_side, other = linalg.norm(b[..., None]) * _spectral(R), _spectral(L) * linalg.norm(a[..., None])
        whole.append(np.minimum(2 * s, one_side + other))
    there = np.stack([np.any((b > 0) & (a > 0), axis=-1) for _, _, b, a in tasks])
    ranks = np.asarray([L.shape[-1] for L, _, _, _ in tasks])
    return Terms(within, (of_left, of_right), np.stack(whole), np.stack(sizes), ranks, there)


def entered(
    level: Level, left: Frame, right: Frame, terms: tuple[Terms, tuple[int, ...]], tasks: tuple[int, ...], **rest: Any
) -> Errors:
    """The errors of every M_t (T, p, q) = L_t R_tᵀ, coordinates of B_t and A_tᵀ, before frames turn; terms: those of
    the layer's group, and the layer's place in it.

    A column of B_t and a row of A_t are off by g = eps · growth of their norms, and so are their coordinates; where a
    frame is an identity nothing is computed, and rounded inputs are off entry by entry. With s = Σ_i ‖b_i‖ ‖a_i‖,
    ‖δM_t‖ ≤ 2 g s and ≤ g (‖B_t‖ ‖A_t‖₂ + ‖B_t‖₂ ‖A_t‖).
    """
    delta, entry = terms[0].errors(level, (left.identity, right.identity), terms[1])
    g, rank, factors = level.size, np.minimum(terms[0].ranks, min(entry.shape[1:])), None
    if level.name != "compute":
        pairs = zip(left.coordinates, right.coordinates, left.norms, right.norms, strict=True)
        factors = [(L, R, g * b, g * a) for L, R, b, a in pairs]
    sizes, computed = (left.size, right.size), not (left.identity and right.identity)
    return Errors(level, sizes, delta, entry, rank, tasks, computed, entering=delta, factors=factors, **rest)


def sized(errors: Errors, space: Any, frame: Frame, M: np.ndarray, levels: np.ndarray) -> None:
    """Notes the spectrum that the live size of a side is judged by, and a doubt about that size; rows of M (T, p, q)
    are coordinates in the frame, ν_t the levels.

    Directions that count as zero without being so are lost: what they held is an error too.
    """
    if frame.identity:
        return
    if frame.units is not None:
        X, values, columns = frame.units
        error = errors.level.size * X.shape[1] ** 0.5
    else:
        blocks, slack = [], []
        for t, X in enumerate(M):
            P, s, _ = errors.svd(X)
            there = s > levels[t]
            blocks.append(P[:, there])
            with np.errstate(over="ignore"):
                slack += list(np.minimum(safely(errors.delta[t], 1 / s[there]), 1.0))
        error, X = norm(slack), np.concatenate(blocks, axis=1)
        values, columns = errors.singular_values(X) if X.size else np.zeros(1), int(np.count_nonzero(np.any(X, axis=0)))
    what, live = frame.name, frame.live
    cut = ZERO * errors.unit * values[0]
    errors.spectrum(space, f"{what}, columns of norm 1", values, live, cut)
    dropped = float(values[live]) if live < len(values) else 0.0
    if frame.units is not None and errors.level.formed and 0 < live < min(frame.size, frame.distinct):
        # columns that no factor makes equal: up to the cut, times its norm, each may have beyond the live directions
        beyond = cut / (NU * errors.unit) * np.asarray(levels)
        errors.delta = errors.delta + beyond
        errors.entry = errors.entry + beyond[:, None, None]
    if live:
        gap = (values[min(live, len(values)) - 1] - dropped) / (values[0] or 1.0)
        errors.margin(space, f"gap between kept and dropped singular values of {what}", gap)
    # errors raise the rank to the number of columns that are not zero, and no further
    most = min(frame.size, int(columns))
    possible = np.concatenate([values, np.zeros(max(0, most - len(values)))])[:most]
    clear = most > 0 and possible[-1] > cut + error
    found = np.zeros(0) if clear else np.flatnonzero(near(possible, cut, errors.beside(error, cut)))
    if frame.of_updates and error > cut and 0 < live < min(frame.size, frame.distinct):
        # what the factors' own frame took for zero, relative to their columns, counts more beside small singular values
        found, possible = np.asarray([live]), np.append(values, 0.0)
    if len(found):
        errors.size_doubt = (
            f"singular value {found[0] + 1} of {what} is {possible[found[0]] / values[0]:.1e} of the largest, so the "
            "live size that its setting refers to is not determined"
        )
    if dropped > max(error, cut / 2):
        errors.lost += 1


def _spectral(X: np.ndarray) -> np.ndarray:
    """‖X‖₂ (…) of X (…, p, r), a bit more: from the smaller Gram matrix, the largest eigenvalue of which is as good."""
    if not X.shape[-1]:
        return np.zeros(X.shape[:-2])
    largest = np.max(np.abs(X), axis=(-2, -1), keepdims=True)
    X = X / np.where(largest > 0, largest, 1.0)
    G = X.mT @ X if X.shape[-2] > X.shape[-1] else X @ X.mT
    return largest[..., 0, 0] * np.sqrt(np.maximum(np.linalg.eigvalsh(G)[..., -1], 0.0)) * (1 + 1e-9)
