"""Spaces: a space is a pair of frames (U, V). Encode is M = Uᵀ ΔW V, decode is U M Vᵀ (paper, section 4)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

from array_api_compat import array_namespace

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array
from coremerge_ref.core.sides import Side, identity_side, stack_side, update_blocks
from coremerge_ref.core.updates import DenseUpdate, LowRankUpdate, Update, as_updates, folded_factors
from coremerge_ref.errors import ParameterError, ShapeError, did_you_mean

Factors = Sequence[tuple[Array, Array]]  # (B_t, A_t), (…, m, r_t) and (…, r_t, n)


@dataclass(frozen=True, eq=False)
class Frames:
    """A pair of orthonormal frames U (…, m, p) and V (…, n, q), None being the identity, with masked columns last.

    left, right: sides, or plain frames, arrays or None, which know no updates.
    rows, cols (…): live sizes. sigma (…, p), KnOTS as the paper's code has it only: encode divides row i by sigma_i,
    decode multiplies it back. kept (…, T), of lossy frames only: ‖Uᵀ ΔW_t V‖ / ‖ΔW_t‖.
    """

    left: Any
    right: Any
    rows: Any = None
    cols: Any = None
    sigma: Array | None = None
    kept: Array | None = None

    def __post_init__(self) -> None:
        for name, size in (("left", "rows"), ("right", "cols")):
            side = getattr(self, name)
            if not isinstance(side, Side):
                live = None if side is None else arrays.sizes(side.shape[-1], side)
                side = Side(side, live=live)
                object.__setattr__(self, name, side)
            if getattr(self, size) is None:
                object.__setattr__(self, size, side.live)

    @property
    def U(self) -> Array | None:
        """The left frame (…, m, p), None for the identity."""
        return self.left.frame

    @property
    def V(self) -> Array | None:
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
        return xp.where(live, 1 / xp.where(live, self.sigma, 1.0), 0.0)[..., None] * left

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


@runtime_checkable
class Space(Protocol):
    """Which frames to take."""

    @property
    def name(self) -> str:
        """How it is called."""

    @property
    def lossless(self) -> bool:
        """Whether the frames hold every ΔW_t."""

    @property
    def isometric(self) -> bool:
        """Whether they do and M_t has the inner products of ΔW_t."""

    def frames(self, factors: Factors, any_frame: bool = False) -> Frames:
        """The frames of B_t, A_t; any_frame: any of the same spans will do (orthogonally equivariant methods)."""


def factor_frames(factors: Factors, any_frame: bool = False) -> Frames:
    """U from the stack [B_1 … B_T], V from [A_1; …; A_T]: the reference bases of the paper (Def. 2)."""
    xp = array_namespace(*[X for pair in factors for X in pair])
    rights = [xp.matrix_transpose(A) for _, A in factors]
    return Frames(stack_side([B for B, _ in factors], any_frame), stack_side(rights, any_frame, mirrored=True))


@dataclass(frozen=True)
class Full:
    """The weight space itself: both frames are identities."""

    name: ClassVar[str] = "full"
    lossless: ClassVar[bool] = True
    isometric: ClassVar[bool] = True

    def frames(self, factors: Factors, any_frame: bool = False) -> Frames:
        """(I_m, I_n), or the core's frames at the size of full space: the same ΔW where any frame will do."""
        xp = array_namespace(factors[0][0])
        if any_frame:
            (B, _), (_, A) = factors[0], factors[0]
            rows, cols = arrays.sizes(B.shape[-2], B), arrays.sizes(A.shape[-1], A)
            return replace(factor_frames(factors, any_frame=True), rows=rows, cols=cols)
        rights = [xp.matrix_transpose(A) for _, A in factors]
        return Frames(identity_side([B for B, _ in factors]), identity_side(rights))


@dataclass(frozen=True)
class Knots:
    """KnOTS (Stoica et al., 2025): left singular vectors of [ΔW_1 … ΔW_T] and I_n; transposed: I_m and the right ones.

    scaled: merge diag(S) V_tᵀ = Uᵀ ΔW_t as the original does. scaled=False divides the singular values out before
    merging and multiplies them back after it, as the code of the Core Space paper does; not an isometry then.
    """

    transposed: bool = False
    scaled: bool = True
    name: ClassVar[str] = "knots"
    lossless: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.transposed and not self.scaled:
            raise ParameterError("Knots: scaled=False is defined for transposed=False alone, as in the paper's code")

    @property
    def isometric(self) -> bool:
        """Whether M_t has the inner products of ΔW_t."""
        return self.scaled

    def frames(self, factors: Factors, any_frame: bool = False) -> Frames:
        """The Tucker frame of one side, computed from the factors, never from an m × Tn matrix."""
        xp = array_namespace(factors[0][0])
        inside = factor_frames(factors, any_frame=True)
        of_rows, of_columns = update_blocks(inside.left, inside.right)
        if self.transposed:
            return Frames(identity_side([B for B, _ in factors]), inside.right.turned(stack_side(of_columns)))
        left = inside.left.turned(stack_side(of_rows))
        identity = identity_side([xp.matrix_transpose(A) for _, A in factors])
        live = linalg.first(left.live, left.S.shape[-1])
        return Frames(left, identity, sigma=None if self.scaled else xp.where(live, left.S, 0.0))


@dataclass(frozen=True)
class Core:
    """Core space: basis "paper" takes the stacks of factors (Def. 2), "tucker" the stacks of the updates themselves.

    The Tucker basis does not change when a task is factored another way (B G, G⁻¹ A); the paper's does.
    """

    basis: str = "paper"
    name: ClassVar[str] = "core"
    lossless: ClassVar[bool] = True
    isometric: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.basis not in ("paper", "tucker"):
            raise ParameterError(f"Core: basis: expected one of paper, tucker, got {self.basis!r}")

    def frames(self, factors: Factors, any_frame: bool = False) -> Frames:
        """Both reference frames."""
        if self.basis == "paper":
            return factor_frames(factors, any_frame)
        inside = factor_frames(factors, any_frame=True)
        sides = zip((inside.left, inside.right), update_blocks(inside.left, inside.right), strict=True)
        return Frames(*(side.turned(stack_side(blocks)) for side, blocks in sides))


SPACES: dict[str, type[Any]] = {space.name: space for space in (Full, Knots, Core)}


def as_space(space: str | Space) -> Space:
    """The space of that name with its defaults, or `space` itself."""
    if isinstance(space, str) and space in SPACES:
        return SPACES[space]()
    if isinstance(space, type) or not isinstance(space, Space):
        raise ParameterError(
            f"space: expected one of {', '.join(SPACES)} or a space object, got {space!r}" + did_you_mean(space, SPACES)
        )
    return space


@arrays.stays_beside
def reference_bases(
    updates: Sequence[Any], space: str | Space = "core", compute_dtype: Any = "float64", basis: str = "paper"
) -> Frames:
    """The frames U (…, m, p) and V (…, n, q) of `space` for these updates; the paper's reference bases by default.

    updates as in merge. In core space p = min(m, R), q = min(n, R), R = Σ r_t; null directions are zero columns. basis
    "tucker" takes the frames of the updates themselves instead. Raises what merge raises.
    """
    chosen = Core(basis) if isinstance(space, str) and space == "core" else as_space(space)
    return chosen.frames(folded_factors(as_updates(updates), compute_dtype))


@arrays.stays_beside
def project(updates: Sequence[Any], bases: Frames, compute_dtype: Any = "float64") -> Array:
    """The stack M (T, …, p, q) of Uᵀ ΔW_t V, one matrix for each update that is there; ShapeError where none fits."""
    factors = folded_factors(as_updates(updates), compute_dtype)
    B, A = factors[0]
    got = (B.shape[-2], A.shape[-1])
    frames = zip((bases.U, bases.V), got, strict=True)
    expected = tuple(size if frame is None else frame.shape[-2] for frame, size in frames)
    if expected != got:
        raise ShapeError(f"project: expected updates of shape (…, {expected[0]}, {expected[1]}) as bases, got {got}")
    return array_namespace(B).stack([bases.encode(B, A) for B, A in factors])


@arrays.stays_beside
def reconstruct(M: Array, bases: Frames) -> Update:
    """U M Vᵀ of one matrix M (…, p, q): a LowRankUpdate of rank min(p, q) (DenseUpdate in full space)."""
    expected = tuple(None if X is None else X.shape[-1] for X in (bases.U, bases.V))
    got = tuple(getattr(M, "shape", ()))[-2:]
    if len(got) != 2 or any(e is not None and e != g for e, g in zip(expected, got, strict=True)):
        raise ShapeError(f"reconstruct: expected a matrix (…, p, q) with p, q = {expected} of the bases, got {got}")
    return bases.decode(bases.restore(M))
