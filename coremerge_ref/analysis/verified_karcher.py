"""The Karcher mean in ball arithmetic: what `karcher` returns on exact inputs, enclosed with a proof."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from coremerge_ref.analysis import balls
from coremerge_ref.analysis.balls import Balls
from coremerge_ref.core.linalg import thresholds
from coremerge_ref.methods.karcher import Karcher, check_shares

CLOSE = thresholds("float64")[0]  # squared sines and lengths up to this are zero


def karcher(
    stage: Karcher, Xs: Sequence[Balls], levels: Sequence[float], weights: Sequence[float]
) -> tuple[Balls, float]:
    """(the merge of w_t M_t = X_t (p, q), what counts as zero in it), levels |w_t| ν_t; see methods/karcher.py.

    All of it is functions of ⟨X_s, X_t⟩: μ = Σ c_t X_t / ‖X_t‖. Uncertain where balls cannot tell whether a task is
    there, or lies at `tol`, or opposite to μ.
    """
    from flint import arb

    check_shares(np.asarray(weights), weights)
    sizes, zero = [balls.frobenius(X) for X in Xs], Xs[0] * 0
    scale = sum(sizes, arb(0)) / sum((balls.exactly(w) for w in weights), arb(0))
    there = [
        t for t, (size, level, w) in enumerate(zip(sizes, levels, weights, strict=True))
        if w > 0 and balls.surely_above(size, max(level, stage.tol * w))
    ]  # fmt: skip
    if not there:
        return zero, max(levels)
    units = [Xs[t] / sizes[t] for t in there]
    G = balls.matrix([[_inner(X, Y) for Y in units] for X in units])
    total = sum((balls.exactly(weights[t]) for t in there), arb(0))
    alpha = balls.matrix([[balls.exactly(weights[t]) / total] for t in there])
    c = _mean(stage, G, alpha)
    mean = sum((X * x for X, x in zip(units, c.entries(), strict=True)), zero)
    shares = [abs(float((x * scale / sizes[t]).mid())) for x, t in zip(c.entries(), there, strict=True)]
    return mean * scale, max(share * levels[t] for share, t in zip(shares, there, strict=True))


def _mean(stage: Karcher, G: Balls, alpha: Balls) -> Balls:
    """Coefficients (T, 1) of μ in points with the cosines G (T, T) and weights alpha (T, 1)."""
    from flint import arb

    least = balls.exactly(stage.tol) ** 2
    size = (alpha.transpose() * G * alpha)[0, 0]
    first = balls.matrix([[arb(int(t == 0))] for t in range(G.nrows())])
    c = alpha / size.sqrt() if balls.surely_above(size, max(CLOSE, least)) else first
    for _ in range(stage.steps):
        cosines = (G * c).entries()
        pulls = [a * _stretch(stage, x) for a, x in zip(alpha.entries(), cosines, strict=True)]
        along = sum((x * y for x, y in zip(pulls, cosines, strict=True)), arb(0))
        step = balls.matrix([[x] for x in pulls]) - c * along
        square = (step.transpose() * G * step)[0, 0]
        if stage.tol and not balls.surely_above(square, stage.tol**2):
            break
        cos, sinc = _cos_and_sinc(square)
        c = c * cos + step * sinc
        c = c / (c.transpose() * G * c)[0, 0].sqrt()
    if not all(x.is_finite() for x in c.entries()):
        raise balls.Uncertain("steps of the Karcher mean are not enclosed any more")
    return c


def _cos_and_sinc(square: Any) -> tuple[Any, Any]:
    """cos √s and sin √s / √s by their series in s, at most π²: √s itself is known badly where s is next to 0."""
    from flint import arb, ctx

    if not square < 16:
        raise balls.Uncertain("steps of the Karcher mean are not enclosed any more")
    cos, sinc, term = arb(0), arb(0), arb(1)
    for k in range(1000):
        cos, sinc, term = cos + term, sinc + term / (2 * k + 1), -term * square / ((2 * k + 1) * (2 * k + 2))
        if k > 5 and abs(term) < arb(2) ** -ctx.prec:  # each is less than half of the one before, from k = 3 on
            break
    rest = arb(0, 2 * abs(term).upper())
    return cos + rest, sinc + rest


def _stretch(stage: Karcher, cosine: Any) -> Any:
    """angle / sine of a point, how far log μ stretches what is at right angles to μ; 0 where it does not pull."""
    from flint import arb

    square = 1 - cosine**2
    if not balls.surely_above(square, CLOSE):
        return arb(int(cosine > 0 and not stage.tol))
    sine = square.sqrt()
    angle = arb.atan2(sine, cosine)
    if stage.tol and not balls.surely_above(angle, stage.tol):
        return arb(0)
    return angle / sine


def _inner(X: Balls, Y: Balls) -> Any:
    """⟨X, Y⟩."""
    from flint import arb

    return sum((x * y for x, y in zip(X.entries(), Y.entries(), strict=True)), arb(0))
