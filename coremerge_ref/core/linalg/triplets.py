"""Leading singular triplets above the level of zero, with the derivative of their spans, as `polar_factors` has it."""

from dataclasses import dataclass

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.linalg.zero import first, masked


@dataclass(frozen=True, eq=False)
class Triplets:
    """P (…, m, s), S (…, s), Q (…, n, s) of a matrix M: leading singular triplets, columns not taken being zero.

    error (…): how far rounding may turn the span of what was taken. core (…, s, s) is Pᵀ M Q, diag(S) to the eye, with
    the derivative of M in it where one may be asked for, as P and Q have it; None otherwise.
    """

    P: Array
    S: Array
    Q: Array
    error: Array
    core: Array | None = None

    def product(self) -> Array:
        """P S Qᵀ (…, m, n), the low-rank part of M."""
        xp = array_namespace(self.P)
        inner = self.P * self.S[..., None, :] if self.core is None else self.P @ self.core
        return inner @ xp.matrix_transpose(self.Q)


def leading(M: Array, triplets: tuple[Array, Array, Array], k: Array, level: Array) -> Triplets:
    """The first k (…) singular triplets of M (…, m, n) with σ above `level` (…), from its SVD P, S, Qh.

    The spans of P and Q are functions of M wherever the last σ taken and the first one left differ, whatever the gaps
    among those taken: dP = P_j (σ_i E_ji + σ_j E_ij) / (σ_i² − σ_j²) for taken i and left j, and dM Q / σ beyond.
    """
    xp = array_namespace(M)
    P, S, Qh = triplets
    live = S > level[..., None]
    taken = live & first(k, S.shape[-1])
    last = xp.min(xp.where(taken, S, float("inf")), axis=-1)
    dropped = xp.max(xp.where(live & ~taken, S, 0.0), axis=-1)
    error = xp.where(last > dropped, level / xp.where(last > dropped, last - dropped, 1.0), 1.0)
    most = arrays.one_size(k)
    s = S.shape[-1] if most is None else max(1, min(most, S.shape[-1]))
    cut, Q = taken[..., :s], xp.matrix_transpose(Qh)
    Ps, Ss = masked(P[..., :s], cut), xp.where(cut, S[..., :s], 0.0)
    Qs = xp.matrix_transpose(xp.where(cut[..., None], Qh[..., :s, :], 0.0))  # rows contiguous, as `product` takes them
    if not arrays.may_differentiate(M):
        return Triplets(Ps, Ss, Qs, error)
    dM = M - arrays.detached(M)
    right, left = xp.matrix_transpose(dM) @ Ps, dM @ Qs  # (…, n, s), (…, m, s)
    inside, across = xp.matrix_transpose(P) @ left, Qh @ right  # E_ji and E_ij: (…, k, s)
    turned = cut[..., None, :] & ~taken[..., :, None]
    gap = xp.where(turned, Ss[..., None, :] ** 2 - S[..., :, None] ** 2, 1.0)
    a, b = Ss[..., None, :] * inside, S[..., :, None] * across
    c, d = Ss[..., None, :] * across, S[..., :, None] * inside
    inverse = xp.where(cut, 1 / xp.where(cut, Ss, 1.0), 0.0)[..., None, :]
    dP = P @ xp.where(turned, (a + b) / gap, 0.0) + (left - P @ inside) * inverse
    dQ = Q @ xp.where(turned, (c + d) / gap, 0.0) + (right - Q @ across) * inverse
    core = Ss[..., None, :] * arrays.identity(dM[..., :1, :1], s) + xp.matrix_transpose(Ps) @ left
    return Triplets(Ps + dP, Ss, Qs + dQ, error, core)
