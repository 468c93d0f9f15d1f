"""Spaces: which frames each one takes, and nothing else."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from coremerge_ref.core import bases, linalg
from coremerge_ref.core.frames import Frames
from coremerge_ref.errors import ParameterError


@dataclass(frozen=True)
class Full:
    """The weight space itself: both frames are identities."""

    name: ClassVar[str] = "full"

    def frames(self, factors: bases.Factors, how: bases.How) -> Frames:
        """(I_m, I_n)."""
        (B, _), (_, A) = factors[0], factors[0]
        return Frames(None, None, int(B.shape[-2]), int(A.shape[-1]))


@dataclass(frozen=True)
class Knots:
    """KnOTS (Stoica et al., 2025): left singular vectors of [ΔW_1 … ΔW_T] and I_n; transposed: I_m and the right ones.

    scaled: merge diag(S) V_tᵀ = Uᵀ ΔW_t as the original does. scaled=False divides the singular values out before
    merging and multiplies them back after it, as the code of the Core Space paper does; not an isometry then.
    """

    transposed: bool = False
    scaled: bool = True
    name: ClassVar[str] = "knots"

    def frames(self, factors: bases.Factors, how: bases.How) -> Frames:
        """The Tucker frame of one side, computed from the factors, never from an m × Tn matrix."""
        if self.transposed and not self.scaled:
            raise ParameterError("Knots: scaled=False is defined for transposed=False alone, as in the paper's code")
        (B, _), (_, A) = factors[0], factors[0]
        left, right, norms = bases.tucker_sides(factors, how)
        if self.transposed:
            inside = [
                (B_t, array_namespace(R).matrix_transpose(R))
                for (B_t, _), R in zip(factors, right.coordinates, strict=True)
            ]
            return Frames(None, right.frame, int(B.shape[-2]), right.size, inside=inside, norms=norms)
        live = linalg.leading(left.size, left.S.shape[-1], left.S)
        sigma = None if self.scaled else linalg.masked(left.S[..., None, :], live)[..., 0, :]
        inside = [(L, A_t) for L, (_, A_t) in zip(left.coordinates, factors, strict=True)]
        return Frames(left.frame, None, left.size, int(A.shape[-1]), sigma, inside, norms)


@dataclass(frozen=True)
class Core:
    """Core space: basis "paper" takes the stacks of factors (Def. 2), "tucker" the stacks of the updates themselves.

    The Tucker basis does not change when a task is factored another way (B G, G⁻¹ A); the paper's does.
    """

    basis: str = "paper"
    name: ClassVar[str] = "core"

    def __post_init__(self) -> None:
        if self.basis not in _BASES:
            raise ParameterError(f"Core: basis: expected one of {', '.join(_BASES)}, got {self.basis!r}")

    def frames(self, factors: bases.Factors, how: bases.How) -> Frames:
        """Both reference frames."""
        return _BASES[self.basis](factors, how)


_BASES = {"paper": bases.paper_basis, "tucker": bases.tucker_basis}
Space = Full | Knots | Core
SPACES: dict[str, type[Space]] = {space.name: space for space in (Full, Knots, Core)}


def as_space(space: str | Space) -> Space:
    """The space of that name with its defaults, or `space` itself."""
    if isinstance(space, Space):
        return space
    if space not in SPACES:
        raise ParameterError(f"space: expected one of {', '.join(SPACES)} or a space object, got {space!r}")
    return SPACES[space]()
