"""Frames (U, V): the one idea behind every space. Encode is M = Uᵀ ΔW V, decode is U M Vᵀ."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from array_api_compat import array_namespace

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array
from coremerge_ref.core.updates import DenseUpdate, LowRankUpdate, Update


@dataclass(frozen=True, eq=False)
class Frame:
    """An orthonormal frame as a product Q Z (…, m, p), Q (…, m, k) and Z (…, k, p) small: fewer m-sized products.

    whole: Z is invertible, so that Q alone spans the same and Z may go to the other factor of an update.
    """

    Q: Array
    Z: Array
    whole: bool

    @cached_property
    def array(self) -> Array:
        """The frame itself (…, m, p)."""
        return self.Q @ self.Z


@dataclass(frozen=True, eq=False)
class Frames:
    """A pair of orthonormal frames U (…, m, p) and V (…, n, q), as arrays or Frame; None is the identity, I_m or I_n.

    Masked directions are zero columns, after the live ones. `rows` and `cols` are the live sizes: how many columns of
    U and V are not masked, a Python int where none is, else a floating array (…).

    `sigma` (…, p), KnOTS as the paper's code has it only: encode divides row i by sigma_i, decode multiplies it back.
    Where a basis knows them: `inside`, the pairs (Uᵀ B_t, A_t V) of the factors that it was made from, and `norms`, the
    pairs (‖B_t‖, ‖A_t‖) (…).
    """

    left: Array | Frame | None
    right: Array | Frame | None
    rows: Any
    cols: Any
    sigma: Array | None = None
    inside: Sequence[tuple[Array, Array]] | None = None
    norms: Sequence[tuple[Array, Array]] | None = None

    @property
    def U(self) -> Array | None:
        """The left frame (…, m, p), None for the identity."""
        return self.left.array if isinstance(self.left, Frame) else self.left

    @property
    def V(self) -> Array | None:
        """The right frame (…, n, q), None for the identity."""
        return self.right.array if isinstance(self.right, Frame) else self.right

    def encode(self, B: Array, A: Array) -> tuple[Array, Array]:
        """M = Uᵀ (B A) V as a product (…, p, r), (…, r, q), for B (…, m, r), A (…, r, n)."""
        xp = array_namespace(B)
        left = B if self.U is None else xp.matrix_transpose(self.U) @ B
        return self._divided(left), A if self.V is None else A @ self.V

    def encode_known(self, factors: Sequence[tuple[Array, Array]]) -> list[tuple[Array, Array]]:
        """encode of the very factors that the frames were made from, which `inside` may hold already."""
        if self.inside is None:
            return [self.encode(B, A) for B, A in factors]
        return [(self._divided(left), right) for left, right in self.inside]

    def _divided(self, left: Array) -> Array:
        """Rows of `left` (…, p, r) divided by sigma, those of masked directions zero."""
        if self.sigma is None:
            return left
        xp = array_namespace(left)
        live = self.sigma > 0
        return xp.where(live, 1 / xp.where(live, self.sigma, 1.0), 0.0)[..., None] * left

    def unscale(self, M: Array, noise: Array) -> tuple[Array, Array]:
        """M (…, p, q) and its noise (…) with what encode divided out multiplied back: in orthonormal frames again."""
        if self.sigma is None:
            return M, noise
        return self.sigma[..., None] * M, array_namespace(M).max(self.sigma, axis=-1) * noise

    def decode(self, M: Array) -> Update:
        """U M Vᵀ as a LowRankUpdate of rank min(p, q); as a DenseUpdate where both frames are identities."""
        xp = array_namespace(M)
        if self.left is None and self.right is None:
            return DenseUpdate(M)
        if M.shape[-2] <= M.shape[-1]:
            B, M = _outer(self.left, M)
            return LowRankUpdate(B, xp.matrix_transpose(_applied(self.right, xp.matrix_transpose(M))))
        At, Mt = _outer(self.right, xp.matrix_transpose(M))
        return LowRankUpdate(_applied(self.left, xp.matrix_transpose(Mt)), xp.matrix_transpose(At))


def _outer(frame: Array | Frame | None, M: Array) -> tuple[Array, Array]:
    """An m-sized factor and what is left of M (…, p, q), with the same product as the frame times M."""
    if isinstance(frame, Frame):
        return (frame.Q, frame.Z @ M) if frame.whole else (frame.array, M)
    return arrays.identity(M, M.shape[-2]) if frame is None else frame, M


def _applied(frame: Array | Frame | None, M: Array) -> Array:
    """The frame times M (…, p, q)."""
    if isinstance(frame, Frame):
        return frame.Q @ (frame.Z @ M)
    return M if frame is None else frame @ M
