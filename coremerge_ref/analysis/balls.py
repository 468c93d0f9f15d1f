"""Matrices of balls: singular subspaces and polar factors, enclosed with a proof.

FLINT's arb has no SVD, and none is needed: orthogonally equivariant methods see singular subspaces and polar factors
only, and both come from the sign of a symmetric matrix. Newton's iteration Z ← (Z + Z⁻¹) / 2 finds it without balls,
which would grow with every step, and what it found is proven to be near it afterwards; everything else is products,
inverses and Cholesky factors, which balls enclose (Higham, Functions of Matrices, 2008, chapters 5, 6, 8).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from coremerge_ref.errors import NonFiniteError, ParameterError
from coremerge_ref.perturbation.theorems import singular_values

Balls = Any  # arb_mat
Block = tuple[Balls, Balls, Balls]  # P (p, k), L (k, k), Q (q, k): P L Qᵀ, P and Q orthonormal
CLOSE = 2.0**-160  # what iterations must come to
ROUNDS = 400  # of an iteration; one bit of the distance to the cut each, then quadratic


class Uncertain(ParameterError):
    """Balls of this precision cannot tell: a singular value at a cut."""


def exactly(value: float) -> Any:
    """A float as a ball of radius zero."""
    from flint import arb

    return arb(float(value))


def surely_above(x: Any, level: float) -> bool:
    """Whether the ball x lies above `level`, or else surely not; Uncertain where it may be either."""
    if x > level:
        return True
    if x <= level:
        return False
    raise Uncertain(f"expected a number that lies above {level:.3g} or does not, and balls cannot tell")


def eye(size: int) -> Balls:
    """The identity."""
    from flint import arb_mat

    return arb_mat(size, size, [int(i == j) for i in range(size) for j in range(size)])


def matrix(rows: list[list[Any]]) -> Balls:
    """A matrix of these numbers."""
    from flint import arb_mat

    return arb_mat(len(rows), len(rows[0]), [x for row in rows for x in row])


def middle(X: Balls) -> np.ndarray:
    """Midpoints as floats (m, n), for choices that are verified afterwards; NonFiniteError where they are none."""
    found = np.asarray([float(x) for x in X.mid().entries()]).reshape(X.nrows(), X.ncols())
    if not np.isfinite(found).all():
        raise NonFiniteError("certify: expected products within float64, got some beyond it; scale the factors down")
    return found


def beside(blocks: Sequence[Balls]) -> Balls:
    """[X_1 … X_T]."""
    tables = [X.tolist() for X in blocks]
    return matrix([[x for table in tables for x in table[i]] for i in range(len(tables[0]))])


def diagonal(blocks: Sequence[Balls]) -> Balls:
    """blkdiag(X_1, …, X_T) of square blocks."""
    from flint import arb_mat

    size = sum(X.nrows() for X in blocks)
    made, start = arb_mat(size, size), 0
    for X in blocks:
        for i in range(X.nrows()):
            for j in range(X.nrows()):
                made[start + i, start + j] = X[i, j]
        start += X.nrows()
    return made


def frobenius(X: Balls) -> Any:
    """‖X‖_F as a ball."""
    from flint import arb

    return sum((x * x for x in X.entries()), arb(0)).nonnegative_part().sqrt()


def widened(X: Balls, error: Any) -> Balls:
    """X with `error` added to the radius of every entry."""
    from flint import arb, arb_mat

    slack = arb(0, error.upper())
    return arb_mat(X.nrows(), X.ncols(), [x + slack for x in X.entries()])


def cholesky(G: Balls) -> Balls:
    """Lower triangular L with L Lᵀ = G; Uncertain where G is not proven positive definite."""
    n = G.nrows()
    table: list[list[Any]] = [[0] * n for _ in range(n)]
    for j in range(n):
        pivot = G[j, j] - sum(x * x for x in table[j][:j])
        if not pivot > 0:
            raise Uncertain("a matrix that should be positive definite is not proven to be")
        table[j][j] = pivot.sqrt()
        for i in range(j + 1, n):
            inner = sum(x * y for x, y in zip(table[i][:j], table[j][:j], strict=True))
            table[i][j] = (G[i, j] - inner) / table[j][j]
    return matrix(table)


def sign(H: Balls) -> Balls:
    """The sign of a symmetric H, whose eigenvalues are all proven not to be 0.

    In the eigenspaces of H, Z that is off by E has Z_11 H_11 + H_11 Z_11 as a block of Z H + H Z: where that is
    positive definite Z_11 is, and −Z_22 (Lyapunov). So ‖Z_11 − I‖ ≤ ‖(Z² − I)_11 − E_12 E_21‖, and with |λ| ≥ g the
    rest is ‖E_12‖ ≤ ‖(Z H − H Z)_12‖ / 2 g (Sylvester; Bhatia, Matrix Analysis, 1997, VII.2).
    """
    H, unit = H / size(H), eye(H.nrows())

    def step(Z: Balls) -> tuple[Balls, Any]:
        Z = symmetric(Z + inverse(Z)).mid() / 2
        return Z, frobenius(Z * Z - unit)

    Z, error = _converged(step, H.mid())
    ZH = Z * H
    cholesky(symmetric(ZH))
    aside = frobenius(ZH - ZH.transpose()) * frobenius(inverse(H)) / 2
    return widened(Z, error + aside + aside * aside)


def size(X: Balls) -> Any:
    """‖X‖, about, however large; 1 for a zero."""
    from flint import arb

    found = frobenius(X).mid()
    return found if found > 0 else arb(1)


def radius(X: Balls) -> Any:
    """The largest of the radii of all entries; 0 of none."""
    from flint import arb

    return max((x.rad() for x in X.entries()), key=float, default=arb(0))


def _converged(step: Callable[[Any], tuple[Any, Any]], state: Any) -> tuple[Any, Any]:
    """The state and its error where the error is smallest: it shrinks by itself, then grows as balls do."""
    best, least = state, exactly(1.0)
    for _ in range(ROUNDS):
        state, error = step(state)
        if error < least:
            best, least = state, error
        elif least < CLOSE:
            return best, least
        elif least < 0.5:
            break
    raise Uncertain("a singular value lies too near its cut")


def inverse(Z: Balls) -> Balls:
    """Z⁻¹; Uncertain where Z is not proven to have one."""
    try:
        return Z.inv()
    except ZeroDivisionError as error:
        raise Uncertain("a singular value lies too near its cut for balls of this precision") from error


def inverse_root(G: Balls) -> Balls:
    """G^(−1/2) of a positive definite G, by Denman and Beavers' iteration, the sign of [[0, G], [I, 0]].

    Let Z be positive definite, Z G Z = I + N and Y the root. T = Y⁻¹ Z has Tᵀ T = I + N, so Z² = Y (I + N') Y with a
    turned N'. In Z = Y^½ (I + F) Y^½ that is F Y + Y F = Y^½ N' Y^½ − F Y F, whence f ≤ (ν + κ f²) / 2 of the norms, κ
    the condition number of Y. Along I + t N' f grows from 0 continuously, so that it stays below the smaller root,
    which is at most ν where κ ν < 1; and ‖Z − Y‖ ≤ ‖Y‖ ν, ‖Y‖ ≤ ‖Z‖ / (1 − ν).
    """
    scale = size(G)
    G, unit = symmetric(G / scale), eye(G.nrows())

    def step(pair: tuple[Balls, Balls]) -> tuple[tuple[Balls, Balls], Any]:
        Y, Z = pair
        Y, Z = symmetric(Y + inverse(Z)).mid() / 2, symmetric(Z + inverse(Y)).mid() / 2
        return (Y, Z), frobenius(Z * G.mid() * Z - unit)

    (_, Z), _ = _converged(step, (G.mid(), unit))
    cholesky(Z)
    off = frobenius(Z * G * Z - unit)
    most = frobenius(Z) / (1 - off)
    if not (off < 1 and most * frobenius(G).sqrt() * off < 1):
        raise Uncertain("a singular value lies too near its cut for balls of this precision")
    return widened(Z, most * off) / scale.sqrt()


def symmetric(X: Balls) -> Balls:
    """(X + Xᵀ) / 2."""
    return (X + X.transpose()) / 2


def basis(P: Balls, rank: int) -> Balls:
    """An orthonormal basis (p, rank) of the range of a projector P of that rank."""
    rest, columns = middle(P), []
    for _ in range(rank):
        j = int(np.argmax(np.diagonal(rest)))
        columns.append(j)
        rest = rest - np.outer(rest[:, j], rest[j]) / rest[j, j]
    C = P * selected(P.nrows(), columns)
    return C * inverse(cholesky(C.transpose() * C)).transpose()


def selected(size: int, columns: Sequence[int]) -> Balls:
    """Columns of the identity: X times it are those columns of X."""
    from flint import arb_mat

    return arb_mat(size, len(columns), [int(i == j) for i in range(size) for j in columns])


def above(X: Balls, cut: float, count: int) -> Balls:
    """The projector on the left singular vectors of X (p, q) whose values exceed `cut`, `count` of them as proven."""
    P = (sign(_shifted(X, cut)) + eye(X.nrows())) / 2
    if P.trace().unique_fmpz() != count:
        raise Uncertain(f"expected {count} singular values above {cut:.3g}, and balls cannot confirm it")
    return P


def _shifted(X: Balls, cut: float) -> Balls:
    """X Xᵀ − cut² I, symmetric to the last bit."""
    return symmetric(X * X.transpose() - eye(X.nrows()) * (exactly(cut) * exactly(cut)))


def how_many_above(X: Balls, cut: float) -> int:
    """How many singular values of X exceed `cut`, proven by Sylvester's law: the positive pivots of X Xᵀ − cut² I."""
    table = _shifted(X, cut).tolist()
    positive = 0
    for j in range(len(table)):
        pivot = table[j][j]
        if pivot.contains(0):
            raise Uncertain(f"a singular value is too near {cut:.3g}")
        positive += pivot > 0
        for i in range(j + 1, len(table)):
            share = table[i][j] / pivot
            for k in range(j + 1, i + 1):
                table[i][k] = table[i][k] - share * table[k][j]
    return int(positive)


def _between(S: np.ndarray, k: int) -> float:
    """A value between the k-th and the next of S, well away from both."""
    below = S[k] if k < len(S) else 0.0
    return float(max(np.sqrt(S[k - 1]) * np.sqrt(below), S[k - 1] / 16))


def leading(X: Balls, k: int, level: float) -> Block | None:
    """The k leading triplets of X, those above `level` alone, as P L Qᵀ; None where there are none."""
    S = singular_values(middle(X))
    live = how_many_above(X, level) if S.any() else 0
    kept = min(k, live)
    if kept == 0:
        return None
    P = basis(above(X, _between(S, kept), kept), kept)
    XtP = X.transpose() * P
    L = cholesky(XtP.transpose() * XtP)
    return P, L, XtP * inverse(L).transpose()


def rotation(L: Balls) -> Balls:
    """The orthogonal polar factor of a square nonsingular L."""
    return inverse_root(L * L.transpose()) * L


def polar(X: Balls, cut: float) -> Balls:
    """The polar factor of X (p, K) over its singular values above cut · σ_1."""
    G = X.transpose() * X
    S = singular_values(middle(X))
    support = how_many_above(X.transpose(), cut * float(S[0]))
    W = eye(G.nrows())
    if support < G.nrows():
        W = basis(above(X.transpose(), _between(S, support), support), support)
        G = W.transpose() * G * W
    return X * W * inverse_root(G) * W.transpose()
