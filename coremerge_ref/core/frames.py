"""Frames: a pair (U, V) of orthonormal frames; encode is M = Uᵀ ΔW V, decode is U M Vᵀ (paper, section 4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import AnyArray, Array, array_namespace
from coremerge_ref.core.sides import Side
from coremerge_ref.core.updates import DenseUpdate, LowRankUpdate, Update

Factors = Sequence[tuple[Array, Array]]  # (B_t, A_t), (…, m, r_t) and (…, r_t, n)


@dataclass(frozen=True, eq=False)
class Frames:
    """A pair of orthonormal frames U (…, m, p) and V (…, n, q), None being the identity, with masked columns last.

    left, right: sides, or plain frames, arrays or None, which know no updates.
    rows, cols (…): live sizes. sigma (…, p), KnOTS as the paper's code has it only: encode divides row i by sigma_i,
    decode multiplies it back. kept (…, T), of lossy frames only: ‖Uᵀ ΔW_t V‖ / ‖ΔW_t‖;
    rescaling (T, …): what they take each ΔW_t times.

    >>> frames = cm.reference_bases([(np.eye(6, 2), np.eye(2, 5))])
    >>> frames.U.shape, frames.V.shape
    ((6, 2), (5, 2))
    """

    left: Any
    right: Any
    rows: Any = None
    cols: Any = None
    sigma: Array | None = None
    kept: Array | None = None
    rescaling: Array | None = None

    def __post_init__(self) -> None:
        for name, size in (("left", "rows"), ("right", "cols")):
            side = getattr(self, name)
            if not isinstance(side, Side):
                side = Side(side, live=None if side is None else arrays.sizes(side.shape[-1], side))
                object.__setattr__(self, name, side)
            if getattr(self, size) is None:
                object.__setattr__(self, size, side.live)

    @property
    def U(self) -> AnyArray:
        """The left frame (…, m, p), None for the identity."""
        return self.left.frame

    @property
    def V(self) -> AnyArray:
        """The right frame (…, n, q), None for the identity."""
        return self.right.frame

    def products(self) -> list[tuple[Array, Array]]:
        """Every M_t = Uᵀ ΔW_t V as a product (…, p, r_t), (…, r_t, q): coordinates, which the sides have."""
        xp = array_namespace(self.left.coordinates[0])
        pairs = zip(self.left.coordinates, self.right.coordinates, strict=True)
        return [(self._divided(L), xp.matrix_transpose(R)) for L, R in pairs]

    def rounding_levels(self) -> Array:
        """ν_t (T, …); 8 eps r_t where the singular values are divided out: blocks of orthonormal rows."""
        xp = array_namespace(self.left.coordinates[0])
        dtype = self.left.coordinates[0].dtype
        norms = list(zip(self.left.norms, self.right.norms, strict=True))
        if self.sigma is not None:
            norms = [(xp.ones_like(b), xp.ones_like(a)) for b, a in norms]
        return xp.stack([linalg.rounding_level(b, a, dtype) for b, a in norms])

    def underflows(self) -> Array:
        """Which tasks (T, …) have terms b_i a_i that are not zero and together less than the smallest normal number."""
        xp = array_namespace(self.left.coordinates[0])
        found = []
        for b, a in zip(self.left.norms, self.right.norms, strict=True):
            size = xp.sum(xp.maximum(b, a) * xp.minimum(b, a), axis=-1)
            found.append(xp.any((b > 0) & (a > 0), axis=-1) & (size < arrays.smallest_normal(b.dtype)))
        return xp.stack(found)

    def entry_shares(self) -> tuple[Array | None, Array | None]:
        """√ρ (T, …, p) of rows and √γ (T, …, q) of columns: rounding in an entry of M_t is up to ν_t √(ρ_i γ_j).

        None, which is 1, on the side of a computed frame, whose errors mix its rows, and where the singular values are
        divided out.
        """
        if self.sigma is not None:
            return None, None
        xp = array_namespace(self.left.coordinates[0])
        found = [
            None
            if side.Q is not None
            else xp.stack([linalg.shares(*one) for one in zip(side.coordinates, side.norms, facing.norms, strict=True)])
            for side, facing in ((self.left, self.right), (self.right, self.left))
        ]
        return found[0], found[1]

    def encode(self, B: Array, A: Array) -> Array:
        """M = Uᵀ (B A) V (…, p, q) of B (…, m, r), A (…, r, n)."""
        xp = array_namespace(B)
        left, right = self.left.encode(B), self.right.encode(xp.matrix_transpose(A))
        return self._divided(left) @ xp.matrix_transpose(right)

    def _divided(self, left: Array) -> Array:
        """Rows of `left` (…, p, r) divided by sigma, those of masked directions zero."""
        if self.sigma is None:
            return left
        xp = array_namespace(left)
        live = self.sigma > 0
        # the inverse of a large sigma would be a denormal number, which some libraries take for 0
        return xp.where(live[..., None], left / xp.where(live, self.sigma, 1.0)[..., None], 0.0)

    def restore(self, M: Array) -> Array:
        """M (…, p, q) with what encode divided out multiplied back: in orthonormal frames again."""
        return M if self.sigma is None else self.sigma[..., None] * M

    def decode(self, M: Array) -> Update:
        """U M Vᵀ as a LowRankUpdate of rank min(p, q); as a DenseUpdate where both frames are identities."""
        xp = array_namespace(M)
        if self.left.Q is None and self.right.Q is None:
            return DenseUpdate(M)
        if M.shape[-2] <= M.shape[-1]:
            B, M = self.left.split(M)
            return LowRankUpdate(B, self.right.decode_rows(M))
        At, Mt = self.right.split(xp.matrix_transpose(M))
        return LowRankUpdate(self.left.decode(xp.matrix_transpose(Mt)), xp.matrix_transpose(At))
