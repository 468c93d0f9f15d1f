"""One side of one layer's space, and what errors make of it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from coremerge_ref.analysis.explain.terms import cancelled
from coremerge_ref.perturbation.carried import Errors, Level
from coremerge_ref.perturbation.theorems import LIMIT, coupling, lengths, norm, safely
from coremerge_ref.perturbation.turning import Turn, mixed, owned, turning

ALLOWANCE = 8.0  # eps: scaling, normalizing, the last bits of a QR or an SVD, and storing a value, one each


@dataclass(frozen=True, eq=False)
class Frame:
    """One side of one layer's space: coordinates L_t (p, r_t) and column norms (r_t) of each X_t, singular values S (p)
    of the stack, live size, and whether it is an identity or the stack is one of updates, not of factors. Then M (T, p,
    q) = L_t R_tᵀ, and R_t (q, r_t) and column norms (r_t) of the other side."""

    coordinates: list[np.ndarray]
    norms: list[np.ndarray]
    M: np.ndarray
    facing: tuple[list[np.ndarray], list[np.ndarray]]
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

    @property
    def columns(self) -> int:
        """How many columns X_t have that are not zero in ΔW_t."""
        return int(np.count_nonzero(np.minimum(np.concatenate(self.norms), np.concatenate(self.facing[1]))))

    def unit_columns(self) -> list[np.ndarray]:
        """Coordinates of the columns of each X_t that are not zero in ΔW_t, over their norms."""
        tasks = zip(self.coordinates, self.norms, self.facing[1], strict=True)
        return [X[:, (x > 0) & (y > 0)] / x[(x > 0) & (y > 0)] for X, x, y in tasks]

    def spread(self, errors: Errors) -> tuple[int, float]:
        """`columns`, and a bound on how far errors of inputs turn the span of all, by those of norm 1 (Wedin 1972)."""
        if self.units is not None:
            values = self.units[1]
        else:
            X = np.concatenate(self.unit_columns(), axis=1)
            values = errors.singular_values(X) if X.size else np.zeros(0)
        least = float(values[self.columns - 1]) if 0 < self.columns <= len(values) else 0.0
        return self.columns, errors.level.size * self.columns**0.5 / least if least > 0 else np.inf

    def turned(self, errors: Errors, M: np.ndarray) -> tuple[np.ndarray, float]:
        """(bounds on the entries, bound on the norm) of the change of the rows of M (…, p, q) as errors turn the frame
        within its span."""
        if self.S is None:
            return np.zeros(M.shape), 0.0
        turn, change = self.turn(errors), np.zeros(M.shape)
        change[..., : self.live, :] = mixed(turn, M[..., : self.live, :])
        return change, min(norm(change), float(turn.most) * norm(M))

    def turn(self, errors: Errors) -> Turn:
        """What errors make of the singular vectors, S not None."""

        def make() -> Turn:
            if self.alike is not None:
                return self.alike(errors.level)
            assert self.S is not None
            return turning(self.S[: self.live], np.asarray(self.error(errors)), *self.met(errors))

        made: Turn = errors.once((id(self), errors.level.name), make)
        return made

    def error(self, errors: Errors) -> float:
        """Bound on the norm of the error of the stack, its SVD's own and that of each update's included."""
        if self.of_updates:
            return norm(errors.entering) + 2 * errors.level.decomposed * norm(self.S)
        return errors.level.stacked * norm(np.concatenate(self.norms))

    def own(self, errors: Errors) -> np.ndarray:
        """Bounds (live) on ‖E v_i‖, v_i the right singular vectors of the stack and E its error, see owned.

        Rounding of inputs stays within each column; a decomposition spreads its own over all.
        """
        made: np.ndarray = errors.once((id(self), errors.level.name, "own"), lambda: self._own(errors))
        return made

    def _own(self, errors: Errors) -> np.ndarray:
        if errors.level.name == "compute" or self.S is None:
            return np.full(self.live, self.error(errors))
        S, n, most = self.S[: self.live], self.live, self.error(errors)
        if not self.of_updates:
            return owned(errors.level.size, self.coordinates, self.norms, S, np.asarray(most))
        # divided first: products of two norms of one factor may leave float64, or be nothing
        whole = np.where(S > 0, S, 1.0)
        own = sum(d * (lengths(X, axis=-1)[:n] / whole) for d, X in zip(errors.entering, self.M, strict=True))
        return np.where(S > 0, np.minimum(own + self._left_out(errors), most), most)

    def _left_out(self, errors: Errors) -> np.ndarray:
        """What `owned` says of directions left out, of a stack of updates: nothing, where V spans all rows of 𝐀."""
        assert self.S is not None
        error = self.error(errors)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            return safely(error, error / self.S[: self.live]) if self.live < self.columns else np.zeros(self.live)

    @property
    def inner(self) -> list[np.ndarray]:
        """(𝐀 v_i)_t (live, r_t) of the stack W = 𝐁 𝐀, 𝐁 = [X_1 … X_T], 𝐀 of blocks R_tᵀ, I for a stack of factors."""
        assert self.S is not None
        S, of_updates = self.S[: self.live, None], zip(self.M, self.facing[0], strict=True)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            if self.of_updates:
                return [(X[: self.live] / S) @ R for X, R in of_updates]
            return [X[: self.live] / S for X in self.coordinates]

    def met(self, errors: Errors) -> tuple[np.ndarray, np.ndarray]:
        """Bounds (live) on ‖E_B 𝐀 v_i‖ and on ‖u_iᵀ 𝐁 E_A‖, of the error E = E_B 𝐀 + 𝐁 E_A of the stack W = 𝐁 𝐀."""
        g, own = errors.level.size, self.own(errors)
        if errors.level.formed or not self.of_updates:
            return own, np.zeros(self.live)
        both = g * g * sum(float(b @ a) for b, a in zip(self.norms, self.facing[1], strict=True))  # E_B E_A
        beta = g * sum(np.abs(X) @ b for X, b in zip(self.inner, self.norms, strict=True)) + both
        # of columns that cancel what the frame does not hold: 𝐁 E_A leaves its span
        lost = g * sum(
            float(cancelled(C, b, errors.unit) @ a)
            for C, b, a in zip(self.coordinates, self.norms, self.facing[1], strict=True)
        )
        beta = beta + self._left_out(errors) + lost
        pairs = zip(self.coordinates, self.facing[1], strict=True)
        return np.fmin(beta, own), g * sum(np.abs(L[: self.live]) @ a for L, a in pairs)

    def between(self, errors: Errors) -> np.ndarray:
        """Bounds (live, live) on |u_iᵀ E v_j|."""
        beta, alpha = self.met(errors)
        with np.errstate(over="ignore"):
            return np.minimum(beta + alpha[:, None], self.own(errors))

    def graded(self, errors: Errors) -> tuple[np.ndarray, list[np.ndarray]]:
        """K (p, p) and rests (1, r_t): as the frame turns along, S not None, row i of each L_t changes by at most
        Σ_k K_ik |L_k| and the rest, those of small singular values by little.

        Row i of U turns by Σ_k u_k (σ_i E_ki + σ_k E_ik) / (σ_i² − σ_k²), E as in `met`. Row i of Uᵀ E_B itself is
        Σ_k (E_B 𝐀)_ik L_k / σ_k and the rest, row i of Uᵀ E_B (I − C), C = 𝐀 W⁺ 𝐁, which is I where W has as many
        singular values as 𝐁 columns. With |(E_B 𝐀)_ik| ≤ β_k and |(𝐁 E_A)_ik| ≤ α_i both together make K_ii =
        β_i / σ_i and K_ik = (σ_i (σ_i β_k / σ_k + β_i) + σ_k α_i + σ_i α_k) / |σ_i² − σ_k²|.
        """
        assert self.S is not None
        n, g, unit = self.live, errors.level.size, float(self.S[0])
        s, K = self.S[:n] / unit, np.zeros((len(self.S), len(self.S)))
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            beta, alpha = (x / unit for x in self.met(errors))
            gaps = np.abs(s[:, None] - s) * (s[:, None] + s)
            np.fill_diagonal(gaps, np.inf)
            own = s[:, None] * (s[:, None] * (beta / s) + beta[:, None]) + s * alpha[:, None] + s[:, None] * alpha
            turn = self.turn(errors)
            far = np.maximum(turn.inside.max(axis=1, initial=0.0), turn.outside)
            second = np.where(far > LIMIT, np.inf, 1 / (1 - 2 * np.minimum(far, LIMIT)))  # see theorems.beyond
            own = (own / gaps + np.diag(beta / s)) * second[:, None]
        K[:n, :n] = np.where(np.isnan(own), np.inf, own)
        # a stack of factors has columns too that are zero in ΔW_t
        if n == (self.columns if self.of_updates else np.count_nonzero(np.concatenate(self.norms))):
            return K, [np.zeros((1, x.size)) for x in self.norms]
        rests, inner = [], self.inner
        for t, X in enumerate(self.coordinates):
            with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
                C = [Y.T @ (X[:n] / self.S[:n, None]) for Y in inner]
            C[t] = C[t] - np.eye(X.shape[1])
            rests.append(g * sum(b @ np.abs(c) for b, c in zip(self.norms, C, strict=True))[None])
        return K, rests

    def divided(self, errors: Errors, M: np.ndarray, right: "Frame", seen: bool) -> np.ndarray:
        """Bounds on the change of the entries of M = [M_1 … M_T] (T, p, q), whose singular values are divided out: rows
        v_i of the right singular vectors V of the stack of updates; right: their other side, an identity.

        With F_ij = |u_iᵀ E v_j| they turn into each other by at most (σ_i F_ij + σ_j F_ji) / |σ_i² − σ_j²|, not at all
        to first order where their basis is not `seen` and any of the span will do, and out of it by
        (I − V Vᵀ) Eᵀ u_i / σ_i. Of what errors of task s add to Eᵀ u_i, a row x in block s, block t gets
        x (δ_st I − M_sᵀ M_t): a row a_j of A_s moves by at most g ‖a_j‖ there, times that column of the projector
        I − V Vᵀ, of norm √(1 − Σ_i M_t,ic²) at c; a column of B_s adds multiples of a_j. Where there are as many v_i as
        columns in all B_t, those stay within the span.
        """
        n, g, F, change = self.live, errors.level.size, self.between(errors), np.zeros(M.shape)
        if n == 0 or self.S is None:
            return change
        S, N, away = self.S[:n], M[:, :n], self.out(errors)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # of values that underflow
            if seen:
                share = S / S[0]
                K = (share[:, None] * F + F.T * share) / np.hypot(share[:, None], share)
                K = safely(K, coupling(S[:, None], S))
            else:
                K = np.outer(away, away) / 2
        K = np.minimum(np.nan_to_num(K, nan=2.0), 2.0)
        if seen:
            np.fill_diagonal(K, 0.0)
        rounding = ALLOWANCE * n * errors.unit
        beside = np.sqrt(np.maximum(1 - np.sum(N * N, axis=1), 0.0) + rounding)  # (T, q)
        tasks = list(zip(self.coordinates, self.norms, right.coordinates, right.norms, strict=True))
        inner = [np.abs(C[:n]) @ (np.abs(A).T @ np.abs(X).T) for (C, _, A, _), X in zip(tasks, N, strict=True)]
        for t, X in enumerate(N):
            out = np.outer(np.abs(tasks[t][0][:n]) @ tasks[t][3], beside[t])
            out = out + (sum(inner) - inner[t]) @ np.abs(X)
            for s, (_, b, A, a) in enumerate(tasks if n < self.columns else []):
                rest = A.T * float(s == t) - (A.T @ N[s].T) @ X  # (r_s, q)
                out = out + b @ np.abs(rest) + rounding * float(b @ a)
            with np.errstate(over="ignore", divide="ignore"):
                first = safely(g * out, 1 / np.abs(S[:, None]))
                change[t, :n] = K @ np.abs(X) + first + safely(away[:, None], first.sum(axis=0))
        return change

    def scaled(self, errors: Errors) -> np.ndarray:
        """Bounds (p, p) on what errors make of Uᵀ W V, W the stack of updates, V turned as little as its span lets it.

        To first order that is Uᵀ E V: no gap between singular values matters. V then changes by x_i = (I − V Vᵀ) Eᵀ
        u_i / σ_i and by half of V xᵀ x.
        """
        F = np.zeros((len(self.S), len(self.S)) if self.S is not None else (0, 0))
        if self.live and self.S is not None:
            F[: self.live, : self.live] = self.between(errors) + 1.5 * np.outer(self.away(errors), self.out(errors))
        return F

    def out(self, errors: Errors) -> np.ndarray:
        """Bounds (live) on how far each right singular vector leaves the span of all, ‖(I − V Vᵀ) Eᵀ u_i‖ / σ_i, at
        most 2."""
        assert self.S is not None
        with np.errstate(over="ignore", divide="ignore"):
            return np.minimum(safely(self.away(errors), 1 / np.abs(self.S[: self.live])), 2.0)

    def away(self, errors: Errors) -> np.ndarray:
        """Bounds (live) on ‖(I − V Vᵀ) Eᵀ u_i‖, E as in `met`: of E_B 𝐀 nothing, where V spans all rows of 𝐀, and all
        that there may be where columns of B_t depend on each other, which may be moved in any direction."""
        if errors.level.formed or self.live < self.columns:
            return np.full(self.live, self.error(errors))
        return self.met(errors)[1]

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
