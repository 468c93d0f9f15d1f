"""Iso-CTS (arXiv 2502.04959): common and task-specific directions at one mean singular value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mpmath import mp, mpf

from ..linalg import Matrix, hcat, norm, number, polar, product, svd, total
from ..spectral import leading, polar_cut, turn
from ..table import defines, walks
from ..walk import SAFETY, as_float, size

if TYPE_CHECKING:
    from ..pipeline import State
    from ..walk_spectra import SpectrumWalk


def cts_counts(size: tuple[int, int], tasks: int, common_fraction: float, rounding: str) -> tuple[int, int]:
    """(common, per task): shares of d = min(p, q), the rest divided evenly by the tasks."""
    d = min(size)
    shared = int(d * float(common_fraction))
    each = (d - shared) // tasks if rounding == "floor" else round((d - shared) / tasks)
    return max(d - tasks * each, 0), each


@defines("iso_cts", "merge", unit=True, common_fraction=0.8, rounding="round")
def iso_cts(
    stack: list[Matrix], noise: list[mpf], *, eps: mpf, common_fraction: float, rounding: str
) -> tuple[Matrix, mpf]:
    """Iso-CTS (arXiv 2502.04959): common directions of Σ M_t, then each residual's own; polar; one mean value."""
    size = (stack[0].rows, stack[0].cols)
    common, each = cts_counts(size, len(stack), common_fraction, rounding)
    shared = leading(total(stack), common, max(noise))
    u, triplets, turns = shared[0], [shared], [turn(total(stack), common, max(noise))]
    for matrix, level in zip(stack, noise, strict=True):
        residual = matrix - product(u, product(u.T, matrix))
        known = level + min(turns[0], 1) * norm(
            matrix
        )  # the residual is known only as well as the common directions are
        triplets.append(leading(residual, each, known))
        turns.append(turn(residual, each, known))
    values = [x for _, s, _ in triplets for x in s]
    if not values:
        return mp.matrix(*size), max(noise)
    cut = polar_cut(turns, eps)
    left = polar(hcat([p for p, _, _ in triplets]), cut)
    right = polar(hcat([q for _, _, q in triplets]), cut)
    return (mp.fsum(values) / len(values)) * product(left, right.T), max(noise)


@walks("iso_cts")
def walk_iso_cts(walk: SpectrumWalk, state: State) -> None:
    """The common subspace turns, so do the residuals, then as TSV."""
    walk.weigh(state)
    p, stack, noise = state.params, state.stack, [as_float(x) for x in state.noise]
    shape = (stack[0].rows, stack[0].cols)
    common, each = cts_counts(shape, len(stack), p["common_fraction"], p["rounding"])
    shared = leading(total(stack), common, number(max(noise)))
    every = math.fsum(walk.delta)
    turned, *_ = walk.subspace(total(stack), common, max(noise), every, "the sum")
    u, triplets, turns, errors = shared[0], [shared], [turned], [every]
    for t, m in enumerate(stack):
        rest = m - product(u, product(u.T, m))
        d = walk.delta[t] + turned * size(m)
        if walk.sizes[t] and each:
            live = sum(as_float(x) > noise[t] for x in svd(rest)[1])
            if live < min(each, *shape) and d * walk.eps > SAFETY * noise[t]:
                walk.ill(f"task {t}: the residual has rank {live} < {each}, within rounding")
            turns.append(walk.subspace(rest, each, noise[t], d, f"residual of task {t}")[0])
        triplets.append(leading(rest, each, number(noise[t])))
        errors.append(d)
    values = [as_float(x) for t in triplets for x in t[1]]
    if not values:
        walk.bound = every
        return
    small = [t for t, (_, s, _) in enumerate(triplets) if s and as_float(s[-1]) < SAFETY * walk.eps * errors[t]]
    if small:
        walk.ill("a kept singular value is within rounding")
    own = math.fsum(e / as_float(s[-1]) for e, (_, s, _) in zip(errors, triplets, strict=True) if s)
    mean, turned = math.fsum(values) / len(values), math.fsum(turns) + own
    inverse = walk.polar([t[0] for t in triplets], turned) + walk.polar([t[2] for t in triplets], turned)
    walk.bound = mean * turned * (1 + inverse) + math.fsum(errors)
