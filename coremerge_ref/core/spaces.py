"""Spaces: a space is a pair of frames (U, V). Encode is M = Uᵀ ΔW V, decode is U M Vᵀ (paper, section 4)."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import array_namespace
from coremerge_ref.core.frames import Factors, Frames
from coremerge_ref.core.sides import identity_side, stack_side, stack_sides, update_blocks
from coremerge_ref.errors import ParameterError, did_you_mean


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
    return Frames(*stack_sides([B for B, _ in factors], [A for _, A in factors], any_frame))


@dataclass(frozen=True)
class Full:
    """The weight space itself: both frames are identities.

    >>> updates = [(np.ones((6, 2)), np.eye(2, 5)), (np.eye(6, 2), np.ones((2, 5)))]
    >>> cm.merge(updates, "ties", cm.Full())
    DenseUpdate(6 × 5, float64, cpu)
    """

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

    >>> updates = [(np.ones((6, 2)), np.eye(2, 5)), (np.eye(6, 2), np.ones((2, 5)))]
    >>> cm.merge(updates, "ties", cm.Knots()).shape
    (6, 5)
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

    >>> updates = [(np.ones((6, 2)), np.eye(2, 5)), (np.eye(6, 2), np.ones((2, 5)))]
    >>> cm.reference_bases(updates, cm.Core(basis="tucker")).U.shape
    (6, 4)
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
        named: Space = SPACES[space]()
        return named
    if isinstance(space, type) or not isinstance(space, Space):
        raise ParameterError(
            f"space: expected one of {', '.join(SPACES)} or a space object, got {space!r}" + did_you_mean(space, SPACES)
        )
    return space
