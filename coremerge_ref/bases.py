"""Reference bases: the orthonormal frames that hold every task's update, from the factors alone."""

from collections.abc import Sequence

from array_api_compat import array_namespace

from coremerge_ref import linalg, namespaces
from coremerge_ref.frames import Frames
from coremerge_ref.namespaces import Array

Factors = Sequence[tuple[Array, Array]]


def joint_frame(blocks: Sequence[Array], norms: Sequence[Array], rank: str) -> tuple[Array, Array, Array]:
    """Left singular vectors of [X_1 … X_T]: U (…, m, p), its live size (…), the singular values (…, p).

    Blocks X_t (…, m, r_t), p = min(m, Σ r_t). How many directions are live is judged on the balanced stack, each block
    divided by norms[t] (…): c·B_t with A_t / c is the same model, so no task may lose directions for being small in
    one factor. Which directions they are is the raw stack's affair, as in the paper's Def. 2.
    """
    xp = array_namespace(*blocks)
    if all(block.shape[-1] == 0 for block in blocks):  # one masked direction keeps every later shape legal
        blocks, norms = [xp.sum(blocks[0], axis=-1, keepdims=True)], norms[:1]
    X = xp.concat([*blocks], axis=-1)
    # one weight a column, (…, R); a block of norm zero is zero and keeps weight 1
    units = [xp.where(c > 0, c, 1.0)[..., None] for c in norms]
    weight = xp.concat([c * xp.ones_like(X_t[..., 0, :]) for c, X_t in zip(units, blocks, strict=True)], axis=-1)
    Q, C = xp.linalg.qr(X / weight[..., None, :])  # (…, m, p), (…, p, R)
    rtol = linalg.tolerance((X.shape[-2], X.shape[-1]), X.dtype, rank)
    P, balanced, _ = linalg.svd(C)
    live = balanced > rtol * balanced[..., :1]  # (…, p)
    P = linalg.masked(P, live)
    W, S, _ = linalg.svd((xp.matrix_transpose(P) @ C) * weight[..., None, :])
    size = xp.sum(xp.astype(live, namespaces.counting_dtype(xp, X)), axis=-1)
    return linalg.masked(Q @ (P @ W), linalg.leading(size, live.shape[-1], X)), size, S


def paper_basis(factors: Factors, rank: str) -> Frames:
    """U from the stack [B_1 … B_T], V from [A_1; …; A_T]: the reference bases of the paper (Def. 2)."""
    xp = array_namespace(*[X for pair in factors for X in pair])
    Bs = [B for B, _ in factors]
    Ats = [xp.matrix_transpose(A) for _, A in factors]
    U, rows, _ = joint_frame(Bs, [linalg.norm(B) for B in Bs], rank)
    V, cols, _ = joint_frame(Ats, [linalg.norm(At) for At in Ats], rank)
    return Frames(U, V, rows, cols)


def tucker_basis(factors: Factors, rank: str) -> Frames:
    """The HOSVD frames of the m × n × T tensor of updates: they depend on the ΔW_t alone, not on how each is factored.

    Left singular vectors of [ΔW_1 … ΔW_T] and right ones of [ΔW_1; …; ΔW_T], found inside the core space.
    """
    core = paper_basis(factors, rank)
    left, rows, _ = tucker_side(core, factors, rank, side="left")
    right, cols, _ = tucker_side(core, factors, rank, side="right")
    return Frames(core.U @ left, core.V @ right, rows, cols)


def tucker_side(core: Frames, factors: Factors, rank: str, side: str) -> tuple[Array, Array, Array]:
    """Left singular vectors of [M_1 … M_T] (or of [M_1ᵀ … M_Tᵀ] for side "right"), live size and singular values."""
    xp = array_namespace(core.U, core.V)
    Ms = [core.encode(B, A) for B, A in factors]  # (…, p, q)
    blocks = Ms if side == "left" else [xp.matrix_transpose(M) for M in Ms]
    return joint_frame(blocks, [linalg.norm(B) * linalg.norm(A) for B, A in factors], rank)
