"""Exact reading of arrays, and the few matrix operations the definition needs, on ``mpmath`` matrices.

Every function works at the current ``mp.dps``; callers open ``mp.workdps(DIGITS)`` once.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from mpmath import mp, mpf

DIGITS = 60
Matrix = Any  # mp.matrix has no usable type


def number(x: Any) -> mpf:
    """The exact real number that a Python, NumPy or rational scalar holds."""
    if isinstance(x, (int, Fraction)):
        return mpf(x.numerator) / mpf(x.denominator)
    return mpf(float(x))


def exact(array: Any) -> Matrix:
    """(m, n) array of float16/32/64, bfloat16, integers or Fractions -> the same numbers as an mp matrix."""
    array = np.asarray(array)
    if array.ndim != 2:
        raise ValueError(f"a matrix is expected, got shape {array.shape}")
    if array.dtype != object:
        array = array.astype(np.float64)  # exact for every type of at most 64 bits
    out = mp.matrix(*array.shape)
    for i, j in np.ndindex(*array.shape):
        out[i, j] = number(array[i, j])
    return out


def rounded(x: mpf) -> float:
    """Nearest float64, subnormals included (integer true division rounds once)."""
    sign, man, exp, _ = mpf(x)._mpf_
    top, bottom = (int(man) << exp, 1) if exp >= 0 else (int(man), 1 << -exp)
    try:
        value = top / bottom
    except OverflowError:
        value = float("inf")
    return -value if sign else value


def to_float64(matrix: Matrix) -> np.ndarray:
    """(m, n) mp matrix -> float64 array, each entry correctly rounded."""
    out = np.empty((matrix.rows, matrix.cols))
    for i, j in np.ndindex(*out.shape):
        out[i, j] = rounded(matrix[i, j])
    return out


def norm(matrix: Matrix) -> mpf:
    """Frobenius norm."""
    return mp.sqrt(mp.fsum((x * x for x in matrix), absolute=False))


def hcat(blocks: list[Matrix]) -> Matrix:
    """[X_1 | … | X_T]; all have equal rows."""
    out = mp.matrix(blocks[0].rows, sum(b.cols for b in blocks))
    at = 0
    for b in blocks:
        for i in range(b.rows):
            for j in range(b.cols):
                out[i, at + j] = b[i, j]
        at += b.cols
    return out


def columns(matrix: Matrix, count: int) -> Matrix:
    """The first ``count`` columns."""
    out = mp.matrix(matrix.rows, count)
    for i in range(matrix.rows):
        for j in range(count):
            out[i, j] = matrix[i, j]
    return out


def scale_columns(matrix: Matrix, factors: list[mpf]) -> Matrix:
    """matrix · diag(factors)."""
    out = matrix.copy()
    for i in range(matrix.rows):
        for j in range(matrix.cols):
            out[i, j] = matrix[i, j] * factors[j]
    return out


def product(left: Matrix, right: Matrix) -> Matrix:
    """left · right, with an inner dimension of zero allowed."""
    if left.cols == 0 or left.rows == 0 or right.cols == 0:
        return mp.matrix(left.rows, right.cols)
    return left * right


def total(matrices: list[Matrix]) -> Matrix:
    """Sum of at least one matrix."""
    out = matrices[0].copy()
    for m in matrices[1:]:
        out = out + m
    return out


def _spread(matrix: Matrix) -> int:
    """Decimal orders between the largest and the smallest nonzero magnitude: extra digits a graded matrix needs."""
    exponents = [x._mpf_[2] + x._mpf_[3] for x in matrix if x != 0]
    return int((max(exponents) - min(exponents)) * 0.302) if exponents else 0


_DECOMPOSED: dict[Any, tuple[Matrix, list[mpf], Matrix]] = {}
_REMEMBERED = 200


def svd(matrix: Matrix) -> tuple[Matrix, list[mpf], Matrix]:
    """(m, n) -> P (m, d), singular values descending, Q (n, d) with matrix = P diag(s) Qᵀ and d = min(m, n).

    The latest results are remembered: a merge, its conditioning and a second precision ask for the same ones.
    """
    key = (mp.prec, matrix.rows, matrix.cols, tuple(x._mpf_ for x in matrix))
    if key not in _DECOMPOSED:
        if len(_DECOMPOSED) >= _REMEMBERED:
            del _DECOMPOSED[next(iter(_DECOMPOSED))]
        _DECOMPOSED[key] = _decompose(matrix)
    p, s, q = _DECOMPOSED[key]
    return p.copy(), list(s), q.copy()


def _decompose(matrix: Matrix) -> tuple[Matrix, list[mpf], Matrix]:
    m, n = matrix.rows, matrix.cols
    d = min(m, n)
    if d == 0:
        return mp.matrix(m, 0), [], mp.matrix(n, 0)
    largest = max(abs(x) for x in matrix)
    if largest == 0:
        return columns(mp.eye(m), d), [mpf(0)] * d, columns(mp.eye(n), d)
    with mp.extradps(20 + min(_spread(matrix), 2000)):
        tall = (matrix if m >= n else matrix.T) / largest
        try:
            p, s, qt = mp.svd_r(tall, full_matrices=False)
            q = qt.T
        except RuntimeError:  # its QR iteration did not converge
            p, s, q = jacobi(tall)
        return (p, [x * largest for x in s], q) if m >= n else (q, [x * largest for x in s], p)


def jacobi(tall: Matrix) -> tuple[Matrix, list[mpf], Matrix]:
    """The thin SVD of a tall matrix by one-sided Jacobi rotations, which always converge (Demmel and Veselić 1992).

    Columns are turned in pairs until all are orthogonal. Those that are rounding of the largest have the singular value
    0, and some orthonormal directions.
    """
    m, n = tall.rows, tall.cols
    w = np.concatenate([np.array(tall.tolist(), dtype=object), np.array(mp.eye(n).tolist(), dtype=object)])
    rounding, turned = 4 * m * mp.eps, True
    zero = (rounding * norm(tall)) ** 2
    while turned:
        turned = False
        for i in range(n):
            for j in range(i + 1, n):
                x, y = w[:m, i], w[:m, j]
                a, b, c = x @ x, y @ y, x @ y
                if min(a, b) <= zero or abs(c) <= rounding * mp.sqrt(a * b):
                    continue
                turned, half = True, (b - a) / (2 * c)
                t = (1 if half >= 0 else -1) / (abs(half) + mp.sqrt(1 + half**2))
                cosine = 1 / mp.sqrt(1 + t**2)
                w[:, i], w[:, j] = cosine * (w[:, i] - t * w[:, j]), cosine * (w[:, j] + t * w[:, i])
    squares = [w[:m, j] @ w[:m, j] for j in range(n)]
    order = sorted(range(n), key=lambda j: -squares[j])
    s = [mp.sqrt(squares[j]) if squares[j] > zero else mpf(0) for j in order]
    p = [w[:m, j] / x for j, x in zip(order, s, strict=True) if x]
    while len(p) < n:  # unit vectors, the one farthest from what there is first
        outside = [np.array(mp.eye(m)[:, i].T.tolist()[0], dtype=object) for i in range(m)]
        for u in p * 2:
            outside = [e - (u @ e) * u for e in outside]
        farthest = max(outside, key=lambda e: e @ e)
        p.append(farthest / mp.sqrt(farthest @ farthest))
    return mp.matrix(np.stack(p, axis=1).tolist()), s, mp.matrix(w[m:, order].tolist())


def polar(matrix: Matrix, rtol: mpf) -> Matrix:
    """Canonical polar factor P Qᵀ over the singular values above ``rtol`` · σ_1; zero where there is none."""
    if matrix.cols == 0:
        return matrix.copy()
    p, s, q = svd(matrix)
    r = sum(x > rtol * s[0] for x in s)
    return product(columns(p, r), columns(q, r).T)
