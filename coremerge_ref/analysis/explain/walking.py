"""The walk: errors of one size enter a space, every stage says what it makes of them, and they leave it again."""

from typing import Any

import numpy as np

from coremerge_ref.analysis.explain.entering import entered, level_of, sized
from coremerge_ref.analysis.explain.frame import Frame
from coremerge_ref.analysis.explain.layers import Group, Layer
from coremerge_ref.analysis.explain.probing import estimate
from coremerge_ref.core import arrays
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import Space
from coremerge_ref.core.stages import MERGE
from coremerge_ref.perturbation.carried import Errors, Level
from coremerge_ref.perturbation.theorems import lengths, norm, safely, sizes


def level_at(kind: str, group: Group, layer: Layer) -> Level:
    """The size of the errors of a layer, "compute" or "input"."""
    dtype = group.compute if kind == "compute" else group.dtype
    ranks = sum(C.shape[1] for C in layer.left.coordinates)
    inner = terms = max(*layer.M.shape[1:], ranks)
    if not group.is_sum:
        terms = max(layer.left.size, layer.right.size, ranks)
    elif ranks <= min(group.shape):  # scaled and side by side, see Encoded.summed
        inner = terms = layer.stack.T
    tiny = float(np.finfo(group.compute).smallest_normal) * group.factor
    return level_of(kind, dtype, arrays.eps(dtype), tiny, terms, inner)


def walk(
    layers: list[Layer], levels: list[Level], pieces: list[Any], space: Space, ends: list[Any], pipeline: Pipeline
) -> list[tuple[Errors, float]]:
    """For each layer its errors at its level, and a bound on the error of its merged ΔW."""
    counts = {layer.stack.T for layer in layers}
    looks = {T: {side for stage in pipeline.stages for side in stage.sees(T)} for T in counts}
    seen = [looks[layer.stack.T] for layer in layers]
    errors = [_start(*one, space) for one in zip(layers, levels, seen, strict=True)]
    leaving = [set(sides) for sides in seen]  # sides whose span, as it turns, takes the result along
    for stage, before, after in pieces:
        carried = stage.propagate(errors, before, after)
        errors = [
            estimate(stage, *one) if made is NotImplemented else made
            for made, one in zip(carried, zip(errors, before, after, strict=True), strict=True)
        ]
        if stage.kind == MERGE:
            for e, layer, item, sides, left in zip(errors, layers, after, seen, leaving, strict=True):
                e.entering = e.shared["entering", e.level.name]
                if layer.sigma is not None and e.undivided is None:
                    left.add("left")
                _multiply(e, layer, item.M, "left" in sides)
    bounds = []
    for e, layer, item, sides, left in zip(errors, layers, ends, seen, leaving, strict=True):
        bound = float(e.delta) + e.level.framed * norm(item.M)
        for side, frame, M in (("left", layer.left, item.M), ("right", layer.right, item.M.T)):
            if side in left:
                turned = frame.turned(e, M)[1] if side in sides else 0.0
                bound += min(turned + frame.leaving(e, M), 2 * norm(M))
        bounds.append(bound)
    return list(zip(errors, bounds, strict=True))


def _start(layer: Layer, level: Level, seen: set[str], space: Space) -> Errors:
    """The errors of the stack of a layer as its stages get it: turned frames change the entries of those that look."""
    M = layer.M
    e = entered(
        level, layer.left, layer.right, layer.terms, layer.stack.tasks,
        shared=layer.shared, unit=layer.unit, estimated=not space.lossless,
    )  # fmt: skip
    e.columns = {"left": lambda: layer.left.spread(e), "right": lambda: layer.right.spread(e)}
    for side, frame in (("left", layer.left), ("right", layer.right)):
        if level.formed and frame.of_updates and side not in seen:
            # it spans a stack that is off by what its SVD is
            e.delta, e.apart = (x + level.decomposed * norm(frame.S) for x in (e.delta, e.apart))
    if layer.sigma is not None:
        if level.formed:  # rows are divided anew
            e.factors = None
        pairs = zip(layer.left.coordinates, layer.right.coordinates, strict=True)
        within = np.stack([np.abs(L) @ np.abs(R).T for L, R in pairs])
        again = bool(level.formed) * (2 * level.eps * within + level.tiny)  # divided, and multiplied back
        e.undivided = e.delta + [norm(x) for x in again], e.entry + again
    e.closed = all(f.identity or side in seen for side, f in (("left", layer.left), ("right", layer.right)))
    twice: Any = 0.0
    for side, X, frame in (("left", M, layer.left), ("right", M.mT, layer.right)):
        sized(e, space, frame, X, layer.levels)
        if side not in seen:
            continue
        change, most = frame.turned(e, np.abs(X) + twice)
        twice = change.mT  # what one side has turned the other turns as well
        if norm(M) and not most < norm(M):
            _no_basis(e, space, frame.name, *frame.closest())
        if layer.rescaled is not None:
            grown = norm(safely(e.delta, sizes(layer.rescaled) / np.where(sizes(M) > 0, sizes(M), 1.0)))
            _look_for_ties(e, space, frame, layer.rescaled if side == "left" else layer.rescaled.mT, grown)
        e.entry = e.entry + (change if side == "left" else change.mT)
        if not e.size_doubt:  # a masked coordinate is zero
            dead: Any = np.s_[:, frame.live :] if side == "left" else np.s_[:, :, frame.live :]
            e.entry[dead] = 0.0
        e.delta = e.delta + np.minimum(sizes(change), most)
    if seen and not level.formed and not e.size_doubt:
        e.entry = np.minimum(e.entry, _graded(e, layer, seen))
        e.delta = np.minimum(e.delta, sizes(e.entry))
    e.shared["entering", level.name] = e.entering  # as the way back needs them
    if layer.sigma is not None:
        _divide(e, layer, layer.sigma, "left" in seen)
        if e.size_doubt:  # a direction more is a row of norm 1 in each M_t, however small its singular value
            e.doubt(space, e.size_doubt, remedy="use KnOTS with its singular values, or core space")
            dead = layer.left.size - layer.left.live
            e.entry[:, layer.left.live :] = 1.0
            e.delta = e.entering = np.hypot(e.delta, dead**0.5)
    return e


def _look_for_ties(e: Errors, space: Space, frame: Frame, X: np.ndarray, error: float) -> None:
    """A doubt where rows of X (T, p, q), known up to `error` and as long as the singular values whose vectors a lossy
    frame is, are equally long: changes at random of what is equal by its structure may not show it."""
    S = lengths(X[:, : frame.live].swapaxes(0, 1).reshape(frame.live, len(X) * X.shape[2]), axis=1)
    found = np.flatnonzero(e.tied(S) | (S[:-1] - S[1:] <= 2 * error))
    if len(found) and S[0]:
        gap = float((S[found[0]] - S[found[0] + 1]) / S[0])
        _no_basis(e, space, f"the rescaled {frame.names[1]}", int(found[0]) + 1, gap)


def _no_basis(e: Errors, space: Space, name: str, i: int, gap: float) -> None:
    e.doubt(
        space,
        f"singular values {i} and {i + 1} of {name} differ by {gap:.1e} of the largest, so the basis whose entries are "
        "looked at is not determined",
        remedy="use a method that no basis decides, such as tsv or iso, or full space, or another basis",
    )


def _graded(e: Errors, layer: Layer, seen: set[str]) -> np.ndarray:
    """Bounds on the entries of every M_t = L_t R_tᵀ from those on the coordinates L_t and R_t, see Frame.graded."""
    changes, off, g = [], [], e.level.size
    for side, frame, M in (("left", layer.left, layer.M), ("right", layer.right, layer.M.mT)):
        pairs = list(zip(frame.coordinates, frame.norms, frame.facing[0], strict=True))
        if frame.identity or side not in seen or frame.S is None:
            own = [g * (np.abs(L) if frame.identity else np.broadcast_to(b, L.shape)) for L, b, _ in pairs]
            change = np.stack([x @ np.abs(R).T for x, (_, _, R) in zip(own, pairs, strict=True)])
        else:
            K, rests = frame.graded(e)
            live = np.arange(len(K))[:, None] < frame.live
            rests = [live * x for x in rests]
            own = [_turned(K, L) + x for x, (L, _, _) in zip(rests, pairs, strict=True)]
            change = np.stack(
                [_turned(K, X) + x @ np.abs(R).T for x, X, (_, _, R) in zip(rests, M, pairs, strict=True)]
            )
        off.append(own)
        changes.append(change)
    with np.errstate(invalid="ignore", over="ignore"):
        both = np.stack([x @ y.T for x, y in zip(*off, strict=True)])  # of second order
    return np.where(np.isnan(both), np.inf, changes[0] + changes[1].mT + both)


def _turned(K: np.ndarray, X: np.ndarray) -> np.ndarray:
    """K |X|, where infinite rows of K stay infinite."""
    known = np.isfinite(K).all(axis=1)
    made = np.full((len(K), X.shape[1]), np.inf)
    with np.errstate(over="ignore"):
        made[known] = K[known] @ np.abs(X)
    return made


def _divide(e: Errors, layer: Layer, sigma: np.ndarray, seen: bool) -> None:
    """Unscaled KnOTS divides rows by σ_i: their errors grow by 1 / σ_i, and σ_i has its own.

    Where no stage sees the basis of the left side, any of the span of the rows will do, and the nearest is taken.
    """
    N, live = layer.stack.M, sigma > 0
    with np.errstate(over="ignore"):
        inverse = np.where(live, 1 / np.where(live, sigma, 1.0), 0.0)[:, None]
    own = layer.left.error(e) * np.abs(N) if seen else layer.left.scaled(e) @ np.abs(N)
    own, entry, e.divided = safely(own, inverse), safely(e.entry, inverse), True
    e.entry = np.minimum(entry + own, 1 + np.abs(N))  # exact ones are at most 1: rows of orthonormal ones
    e.delta = np.asarray(
        [min(norm(safely(d, inverse.max())) + norm(x), norm(y)) for d, x, y in zip(e.delta, own, e.entry, strict=True)]
    )
    if not e.level.formed:
        e.entry = np.minimum(e.entry, layer.left.divided(e, N, layer.right, seen))
        e.delta = np.minimum(e.delta, sizes(e.entry))
        if not (seen or e.size_doubt):
            e.orthonormal = N, inverse[:, 0], np.pad(layer.left.out(e), (0, len(inverse) - layer.left.live))
        e.closed = True  # whatever the frame is, its rows say all of the tasks
    e.entry, e.entering = np.minimum(e.entry, e.delta[:, None, None]), e.delta


def _multiply(e: Errors, layer: Layer, M: np.ndarray, seen: bool) -> None:
    """What unscaled KnOTS divided out is multiplied back: errors of the rows by σ_i, of σ_i by the rows."""
    if layer.sigma is None:
        return
    sigma, live, own = layer.sigma, layer.left.live, np.zeros(M.shape)
    if seen:
        own[:live] = np.diag(layer.left.between(e))[:, None] * np.abs(M[:live])
    else:
        own = layer.left.scaled(e) @ np.abs(M)
    if e.size_doubt:  # a direction more has a singular value no larger than the error
        own[live:] = own[live:] + layer.left.error(e)
    own = own + e.level.tiny * ((M != 0) | (e.entry > 0))
    e.divided, e.polar, e.entry = False, None, safely(e.entry, sigma[:, None]) + own
    e.closed = e.closed and e.undivided is None  # that has parts beyond the frame
    e.delta = np.asarray(min(float(e.delta) * float(sigma.max()) + norm(own), norm(e.entry)))
    if e.undivided is not None:
        e.delta, e.entry = (np.minimum(X, Y) for X, Y in zip((e.delta, e.entry), e.undivided, strict=True))
