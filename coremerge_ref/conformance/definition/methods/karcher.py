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
    every = range(len(points))
    zero = mp.matrix(stack[0].rows, stack[0].cols)
    if not points:
        return zero, max(noise)
    whole = mp.fsum(w for w, _ in points)

    def combined(c: list[mpf]) -> Matrix:
        """Σ c_t u_t."""
        return sum((x * u for x, (_, u) in zip(c, points, strict=True)), zero)

    c = [w / whole for w, _ in points]  # of the mean μ
    size = inner(combined(c), combined(c))
    c = [x / mp.sqrt(size) for x in c] if size > max(CLOSE, least**2) else [mpf(t == 0) for t in every]
    for _ in range(steps):
        mean, step = combined(c), [mpf(0) for _ in every]
        for t, (w, u) in enumerate(points):
            cosine = inner(mean, u)
            sine = norm(u - cosine * mean)
            angle = mp.atan2(sine, cosine) if sine**2 > CLOSE else mpf(0)
            if angle < least or (cosine < 0 and not angle):
                continue
            pull = (w / whole) * (angle / sine if angle else 1)  # along u_t − cos μ
            step = [x + pull * ((s == t) - cosine * y) for s, x, y in zip(every, step, c, strict=True)]
        size = norm(combined(step))
        if size < least:
            break
        if size:
            c = [mp.cos(size) * x + (mp.sin(size) / size) * y for x, y in zip(c, step, strict=True)]
            size = norm(combined(c))
            c = [x / size for x in c]
    return length * combined(c), length * max(abs(x) * level for x, (_, _, level) in zip(c, taking_part, strict=True))
