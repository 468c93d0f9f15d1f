"""The Karcher mean (arXiv 2603.04972): tasks as points on the unit sphere of matrices, and their mean length."""

from __future__ import annotations

from mpmath import mp, mpf

from ..linalg import Matrix, norm, number
from ..table import defines

CLOSE = mpf(2) ** -46  # 64 eps: squared sines and lengths up to this are zero


def inner(X: Matrix, Y: Matrix) -> mpf:
    """The Frobenius inner product."""
    return mp.fsum(x * y for x, y in zip(X, Y, strict=True))


@defines("karcher", "merge", weighs=True, steps=10, tol=0.0)
def karcher(stack: list[Matrix], noise: list[mpf], *, steps: int, tol: float, weights: list[mpf]) -> tuple[Matrix, mpf]:
    """μ ← exp_μ(Σ α_t log_μ(u_t)), ``steps`` times from the normalised Σ α_t u_t; times Σ (w_t / Σ w) ‖M_t‖."""
    lengths, least = [norm(m) for m in stack], number(tol)
    length = mp.fsum(w * x for w, x in zip(weights, lengths, strict=True)) / mp.fsum(weights)
    taking_part = [
        (w, m / x, level / x)
        for w, m, x, level in zip(weights, stack, lengths, noise, strict=True)
        if w > 0 and x > max(level, least)
    ]
    points = [(w, u) for w, u, _ in taking_part]
    zero = mp.matrix(stack[0].rows, stack[0].cols)
    if not points:
        return zero, max(noise)
    whole = mp.fsum(w for w, _ in points)
    mean = sum(((w / whole) * u for w, u in points), zero)
    size = inner(mean, mean)
    mean = mean / mp.sqrt(size) if size > max(CLOSE, least**2) else points[0][1]
    for _ in range(steps):
        step = zero
        for w, u in points:
            cosine = inner(mean, u)
            off = u - cosine * mean
            sine = norm(off)
            angle = mp.atan2(sine, cosine) if sine**2 > CLOSE else mpf(0)
            if angle < least or (cosine < 0 and not angle):
                continue
            step = step + (w / whole) * (angle / sine if angle else 1) * off
        size = norm(step)
        if size < least:
            break
        if size:
            mean = mp.cos(size) * mean + (mp.sin(size) / size) * step
            mean = mean / norm(mean)
    return length * mean, length * max(level for _, _, level in taking_part)
