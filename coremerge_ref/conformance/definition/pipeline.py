"""A method is transforms, one merge, posts: parsed, completed with defaults and run at DIGITS digits or more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mpmath import mp, mpf

from . import elementwise, methods  # noqa: F401  # methods fills TABLE
from .compressed import Compressed
from .linalg import DIGITS, Matrix, exact, number, to_float64
from .spaces import Frames, Shares, entry_shares, frames, rounding_levels
from .table import TABLE

KINDS = ("transform", "merge", "post")
DEFAULTS: dict[str, dict[str, Any]] = {name: one.defaults for name, one in TABLE.items()}


def stages(method: str) -> list[str]:
    """ "dare+ties+iso" -> its stages; where no merge is named, `ta` stands between transforms and posts."""
    names = [part.strip().lower().replace("-", "_") for part in method.split("+")]
    for name in names:
        if name not in DEFAULTS:
            raise ValueError(f"unknown stage {name!r} in {method!r}")
    kinds = [KINDS.index(TABLE[name].kind) for name in names]
    if 1 not in kinds:
        names.insert(kinds.count(0), "ta")
        kinds.insert(kinds.count(0), 1)
    if kinds != sorted(kinds) or kinds.count(1) != 1:
        raise ValueError(f"{method!r} is not transforms, one merge, posts")
    return names


@dataclass
class State:
    """A stage, the stack and noise it received, its parameters, and what it returned. ``levels``: what counts as zero
    in entries, per task a number or one an entry. ``tasks``: which it has of all.
    ``joint``: for scope="model", the same stage on all layers, each of all tasks one row of their entries; ``layer``:
    which of the ``shapes`` is this one's."""

    stage: str
    stack: list[Matrix]
    noise: list[mpf]
    levels: list[elementwise.Level]
    weights: list[mpf]
    params: dict[str, Any]
    tasks: list[int]
    result: Any = None
    joint: State | None = None
    layer: int = 0
    shapes: list[tuple[int, int]] = field(default_factory=list)

    def own(self, row: Matrix) -> Matrix:
        """This layer's part of a row of all entries."""
        return elementwise.unflattened(row, self.shapes)[self.layer]

    def everywhere(self, t: int) -> list[mpf]:
        """The entries that task number t of this layer has in all layers."""
        assert self.joint is not None
        at = self.joint.tasks.index(self.tasks[t])
        pairs = zip(self.joint.stack[at], self.joint.levels[at], strict=True)
        return [x for x, level in pairs if level >= 0]


@dataclass
class Exact:
    """A merge at high precision: the (m, n) result, its rounding, and everything on the way to it."""

    matrix: Matrix
    array: np.ndarray
    frames: Frames
    factors: list[tuple[Matrix, Matrix]]
    eps: mpf
    scale: mpf
    states: list[State] = field(default_factory=list)


def _factors(updates: Sequence[Any]) -> tuple[list[int], list[tuple[Matrix, Matrix]]]:
    """Indices of the tasks that are there, and their (s_t B_t, A_t)."""
    present = [t for t, u in enumerate(updates) if u is not None]
    out = []
    for t in present:
        b, a, *rest = updates[t]
        out.append((exact(b) * number(rest[0] if rest else 1), exact(a)))
    return present, out


def _draws(params: dict[str, Any], masks: Any, present: list[int], where: Frames) -> list[np.ndarray]:
    """For each task the mask given, (>= p, >= q), or random numbers; dead directions come last and are left out."""
    p, q = where.live
    if masks is not None:
        return [np.asarray(mask)[:p, :q].astype(bool) for mask in masks]
    layer = params.get("layer", "")
    return [elementwise.random_numbers(params["seed"], layer, t, where.static)[:p, :q] for t in present]


def apply(state: State, eps: mpf, draws: list[np.ndarray] | None) -> Any:
    """Run one stage: a transform returns (stack, noise), a merge or post (matrix, noise)."""
    one, stack, noise, weights = TABLE[state.stage], state.stack, state.noise, state.weights
    levels = state.levels
    p = {k: v for k, v in state.params.items() if k not in ("weights", "scope", "seed", "layer", "masks")}
    if one.weighs:
        p["weights"] = weights
    elif one.kind == "merge":
        stack = [w * m for w, m in zip(weights, stack, strict=True)]
        noise = [abs(w) * level for w, level in zip(weights, noise, strict=True)]
        levels = [abs(w) * level for w, level in zip(weights, levels, strict=True)]
    if one.entries:
        p["levels"] = levels
    if one.draws:
        p["draws"] = draws
    if one.unit:
        p["eps"] = eps
    out, noise = one.rule(stack, noise, **p)
    return out, noise if one.kind == "transform" else [noise]


@dataclass
class _Layer:
    """A layer on its way through the stages."""

    present: list[int]
    factors: list[tuple[Matrix, Matrix]]
    where: Frames
    stack: list[Matrix]
    noise: list[mpf]
    shares: list[Shares]
    states: list[State] = field(default_factory=list)
    inside: bool = True  # in the coordinates of the space; posts see the matrix with its singular values back


def merge_model_exactly(
    layers: Sequence[Sequence[Any]], method: str, params: dict[str, Any] | None = None,
    space: str | Compressed = "core", basis: str = "paper", weights: Sequence[float] | None = None, masks: Any = None,
    scale: float = 1, *, transposed: bool = False, scaled: bool = True, eps: float = 2.0**-52, digits: int = DIGITS,
) -> list[Exact]:  # fmt: skip
    """Merge the layers of a model, each a list of updates as :func:`merge_exactly` takes them; ``masks`` serve every
    layer. They meet only in stages of scope "model"."""
    params = params or {}
    with mp.workdps(digits):
        unit = number(eps)
        model = [_begin(updates, space, basis, transposed, scaled, unit) for updates in layers]
        for name in stages(method):
            chosen = {**DEFAULTS[name], **params.get(name, {})}
            states = [_state(layer, name, chosen, weights) for layer in model]
            if chosen.get("scope") == "model":
                _join(states, weights if weights is not None else chosen.get("weights"))
            for layer, state in zip(model, states, strict=True):
                given = masks if masks is not None else chosen.get("masks")
                drawn = _draws(chosen, given, layer.present, layer.where) if TABLE[name].draws else None
                _advance(layer, state, unit, drawn)
        out = []
        for layer in model:
            inner = layer.where.restored(layer.stack[0]) if layer.inside else layer.stack[0]
            matrix = number(scale) * layer.where.decode(inner)
            array = to_float64(matrix)
            out.append(Exact(matrix, array, layer.where, layer.factors, unit, number(scale), layer.states))
        return out


def _begin(
    updates: Sequence[Any], space: str | Compressed, basis: str, transposed: bool, scaled: bool, eps: mpf
) -> _Layer:
    present, factors = _factors(updates)
    if isinstance(space, Compressed):
        where = space.frames(factors, eps)
    else:
        where = frames(factors, space, basis, transposed, scaled, eps)
    stack: list[Matrix] = [where.encode(b, a) for b, a in factors]
    shares = [entry_shares(b, a, where, eps) for b, a in factors]
    return _Layer(present, factors, where, stack, rounding_levels(factors, where, eps), shares)


def _state(layer: _Layer, name: str, chosen: dict[str, Any], weights: Sequence[float] | None) -> State:
    """The stage as it meets a layer; before the first post the singular values divided out come back."""
    if layer.inside and TABLE[name].kind == "post":
        layer.stack, layer.inside = [layer.where.restored(layer.stack[0])], False
        layer.noise = [level * layer.where.factors[0] for level in layer.noise]
    given = weights if weights is not None else chosen.get("weights")
    own = [number(given[t]) if given is not None else mp.one for t in layer.present]
    own = own[: len(layer.stack)] if TABLE[name].kind != "post" else [mp.one]
    of_tasks = TABLE[name].kind != "post"
    levels = [_level(*one) for one in zip(layer.stack, layer.noise, layer.shares, strict=True)] if of_tasks else []
    return State(name, layer.stack, layer.noise, levels, own, chosen, layer.present)


def _level(matrix: Matrix, noise: mpf, shares: Shares) -> elementwise.Level:
    """What counts as zero in the entries of M_t."""
    rows, cols, least = shares
    if rows is None and cols is None:
        return noise
    level = mp.matrix(matrix.rows, matrix.cols)
    for i, j in elementwise.entries(matrix):
        level[i, j] = noise * max((1 if rows is None else rows[i]) * (1 if cols is None else cols[j]), least)
    return level


def _join(states: list[State], weights: Sequence[float] | None) -> None:
    """Let a stage of scope "model" see the entries of all layers at once; what is rounding is each layer's own, and a
    task has no entries in a layer that it lacks."""
    shapes = [(s.stack[0].rows, s.stack[0].cols) for s in states]
    rows, row_levels, tasks = [], [], sorted({t for s in states for t in s.tasks})
    for t in tasks:
        own = [s.tasks.index(t) if t in s.tasks else None for s in states]
        none = [mp.matrix(*shape) for shape in shapes]
        rows.append(
            elementwise.flattened([x if i is None else s.stack[i] for s, i, x in zip(states, own, none, strict=True)])
        )
        levels = []
        for s, i, matrix in zip(states, own, none, strict=True):
            level = mp.matrix(matrix.rows, matrix.cols)
            for ij in elementwise.entries(matrix):
                level[ij] = mpf(-1) if i is None else elementwise.level_at(s.levels[i], ij)
            levels.append(level)
        row_levels.append(elementwise.flattened(levels))
    given = [mp.one if weights is None else number(weights[t]) for t in tasks]
    nothing = [mpf(0)] * len(tasks)  # the layers have their own
    joint = State(states[0].stage, rows, nothing, row_levels, given, states[0].params, tasks)
    for i, state in enumerate(states):
        state.joint, state.layer, state.shapes = joint, i, shapes


def _advance(layer: _Layer, state: State, eps: mpf, masks: list[np.ndarray] | None) -> None:
    """Run the stage on a layer, or take its part of what it gave for the model."""
    if state.joint is None:
        out, layer.noise = apply(state, eps, masks)
    else:
        if state.joint.result is None:
            state.joint.result, _ = apply(state.joint, eps, masks)
        whole = state.joint.result
        if isinstance(whole, list):
            out = [state.own(whole[state.joint.tasks.index(t)]) for t in state.tasks]
        else:
            out = state.own(whole)
        if not isinstance(whole, list):
            layer.noise = [max(abs(w) * level for w, level in zip(state.weights, state.noise, strict=True))]
    state.result = out
    layer.stack = out if isinstance(out, list) else [out]
    layer.states.append(state)


def merge_exactly(
    updates: Sequence[Any], method: str, params: dict[str, Any] | None = None, space: str | Compressed = "core",
    basis: str = "paper", weights: Sequence[float] | None = None, masks: Any = None, scale: float = 1, **options: Any,
) -> Exact:  # fmt: skip
    """Merge one layer's updates, a list of (B (m, r), A (r, n)) or (B, A, scale) or None, at ``digits`` digits or more.

    ``eps`` is the unit of the arithmetic whose rank decisions are described, that of float64 unless said otherwise.
    ``transposed``, ``scaled``: which KnOTS. space: "full", "knots", "core", or Compressed(rank, beta).
    """
    return merge_model_exactly([updates], method, params, space, basis, weights, masks, scale, **options)[0]


def merged(
    updates: Sequence[Any], method: str, params: dict[str, Any] | None = None, space: str | Compressed = "core",
    basis: str = "paper", weights: Sequence[float] | None = None, masks: Any = None, scale: float = 1, **options: Any,
) -> np.ndarray:  # fmt: skip
    """The merged update as a float64 (m, n) array, every entry correctly rounded. See :func:`merge_exactly`."""
    return merge_exactly(updates, method, params, space, basis, weights, masks, scale, **options).array
