"""The search: coarse on a few layers, closer where something comes near, confirmed on all layers."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from coremerge_ref.adapters.threads import one_blas_thread
from coremerge_ref.compare.candidates import Candidate, Layers, prepared
from coremerge_ref.compare.findings import Identification, Match, remarks
from coremerge_ref.compare.generate import candidates, linear_candidate
from coremerge_ref.compare.masks import dropped_at_random
from coremerge_ref.compare.measuring import Targets, fitted, measured
from coremerge_ref.compare.mistakes import factors_apart, misread, wrong_inputs
from coremerge_ref.compare.tables import ANY_SPACE, COMMON, LINEAR, SPACES, Row, all_rows, size
from coremerge_ref.compare.target import Target, triangle
from coremerge_ref.core import arrays
from coremerge_ref.core.linalg import product_svd
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.errors import ParameterError

Progress = Callable[[int, int, str], None]  # hypotheses tried, in all, the one at work

PROBED_LAYERS, ENOUGH_ENTRIES = 1, 1024  # layers of the coarse search: the smallest with entries enough to tell apart
LARGE = 2**18  # entries of a layer from which full space is tried last
REFINED, CONFIRMED = 6, 12  # how many candidates come through each step
# How far right arithmetic may be off, relative, in eps of what it computed in: SVDs amplify rounding by one over the
# gap at their cuts, which is often above 1e-3. Narrow dtypes are merged in float32 at least.
SLACK = {"float64": 1e5 * 2.0**-52}
FLOAT32_SLACK = 500 * 2.0**-23
# Within a tenth of its size an update is next to many merges, and what fits it says nothing.
LARGEST_LIMIT = 0.1
CHANCE = 1e-6  # how likely a fit by accident may be


def identify(
    layers: Layers,
    targets: Targets,
    weights: Sequence[float] | None = None,
    rows: Sequence[Row] | None = None,
    progress: Progress = lambda *_: None,
) -> Identification:
    """What `targets` are, as merges of `layers`; both by layer name, `targets` for some of the layers at least.

    weights: one a task, for methods that are not linear in them; 1 by default. Raises ParameterError where there is no
    layer in common, or the merged update is zero everywhere.
    """
    layers = {name: list(updates) for name, updates in layers.items() if name in targets}
    if not layers:
        raise ParameterError("expected layers that both the inputs and the merged update have, got none")
    norm = float(np.sqrt(sum(targets[name].norm ** 2 for name in layers)))
    if norm == 0:
        raise ParameterError("the merged update is zero in every layer, which any method times zero gives")
    try:
        with one_blas_thread(), np.errstate(all="ignore"):
            return _Search(layers, targets, weights, norm, progress).run(all_rows() if rows is None else rows)
    finally:
        prepared.cache_clear()


class _Search:
    def __init__(
        self, layers: Layers, targets: Targets, weights: Sequence[float] | None, norm: float, progress: Progress
    ) -> None:
        self.layers, self.targets, self.weights, self.size, self.progress = layers, targets, weights, norm, progress
        self.tasks = len(next(iter(layers.values())))
        self.dtype = max((targets[name].dtype for name in layers), key=arrays.eps)
        rounding = float(np.sqrt(sum(targets[name].rounding ** 2 for name in layers))) / norm
        self.slack = SLACK.get(self.dtype, FLOAT32_SLACK)
        self.limit = 2 * rounding + self.slack
        self.few = self._few()
        self.tried, self.expected = 1, 1
        self.coordinates = sum(_coordinates(layers[name], targets[name], self.limit) for name in layers)

    def run(self, rows: Sequence[Row]) -> Identification:
        found = self._confirmed(
            [linear_candidate(self.tasks)] if any(row.method == LINEAR.method for row in rows) else []
        )
        largest = max(u.rank for updates in self.layers.values() for u in updates if u is not None)
        groups: list[Callable[[], list[Candidate]]] = [lambda: factors_apart(self.layers, self.weights)]
        groups += [partial(candidates, [row], largest) for row in self._cheap_first(rows)]
        groups += [partial(self._misread, candidates(COMMON, largest))]
        self.expected = sum(map(size, rows)) + sum(map(size, COMMON)) * len(wrong_inputs(self.layers))
        near: list[tuple[float, Candidate]] = []
        for group in groups:
            if self._within(found):
                break
            probed = self._probed(group())
            near = sorted(near + probed, key=_first)[:CONFIRMED]
            if probed and probed[0][0] <= self.limit:
                found += self._refined(near)
        if not self._within(found) and any("dare" in row.method for row in rows):
            spaces = {name: SPACES[name] for row in rows if "dare" in row.method for name in row.spaces}
            found += self._confirmed(dropped_at_random(self.layers, dict(self.targets), spaces))
        return self._answer(found if self._within(found) else found + self._refined(near))

    def _cheap_first(self, rows: Sequence[Row]) -> list[Row]:
        """The rows in order; where layers are large, full space, which forms every matrix, after all others."""
        if all(np.prod(self.targets[name].update.shape) < LARGE for name in self.few):
            return list(rows)
        small = [replace(row, spaces=tuple(space for space in row.spaces if space != "full")) for row in rows]
        return small + [replace(row, spaces=("full",)) for row in rows if "full" in row.spaces]

    def _misread(self, usual: list[Candidate]) -> list[Candidate]:
        wrong = wrong_inputs(self.layers)
        return [misread(one, name, inputs) for name, inputs in wrong.items() for one in usual]

    def _few(self) -> Layers:
        """The layers of the coarse search."""
        alive = [name for name in self.layers if self.targets[name].norm > 0]
        entries = {name: int(np.prod(self.targets[name].update.shape)) for name in alive}
        large = [name for name in alive if entries[name] >= ENOUGH_ENTRIES]
        ordered = sorted(large, key=entries.__getitem__) or sorted(alive, key=entries.__getitem__, reverse=True)
        return {name: self.layers[name] for name in ordered[:PROBED_LAYERS]}

    def _refined(self, probed: list[tuple[float, Candidate]]) -> list[Match]:
        """The nearest and their siblings, over all layers."""
        near = _distinct(sibling for _, one in probed[:REFINED] for sibling in one.siblings())
        local = self._probed([one for one in near if not one.whole_model])
        # a threshold over the whole model is not known from a few layers: it is judged on all of them
        everywhere = [one for one in near if one.whole_model][:REFINED]
        ranked = sorted([*local, *probed], key=_first)
        return self._confirmed([*_distinct(one for _, one in ranked)[:CONFIRMED], *everywhere])

    def _probed(self, ones: Sequence[Candidate]) -> list[tuple[float, Candidate]]:
        """(residual on the few layers, candidate), nearest first; what cannot be computed is left out."""
        found = []
        for one in ones:
            self._tell(one)
            self.tried += 1
            fit = fitted(one, self.few, self.targets, self.weights)
            if fit is not None:
                found.append((fit[1], one))
        return sorted(found, key=_first)

    def _confirmed(self, ones: Sequence[Candidate]) -> list[Match]:
        found = []
        for one in ones:
            self._tell(one)
            fit = fitted(one, self.layers, self.targets, self.weights)
            if fit is not None:
                found.append(measured(one, fit[0], self.layers, self.targets, self.weights, self.size))
        return found

    def _tell(self, one: Candidate) -> None:
        self.progress(min(self.tried, self.expected), self.expected, f"{one.method}, {one.space}")

    def _within(self, found: Iterable[Match]) -> list[Match]:
        """What is within the limit and about as near as the nearest, plainest first: the order of the tables."""
        nearest = min((match.distance for match in found), default=np.inf)
        return [m for m in found if m.distance <= self.limit and m.distance <= max(1.5 * nearest, self.slack)]

    def _answer(self, found: list[Match]) -> Identification:
        matches = sorted(self._within(found), key=_plainness)
        doubt = self._doubt(matches)
        if doubt:
            found, matches = matches or found, []
        ranked = sorted((m for m in found if m not in matches), key=lambda m: m.distance)
        updates = [u for each in self.layers.values() for u in each if u is not None]
        scalings, ranks = [float(u.scale) for u in updates], [u.rank for u in updates]
        notes = remarks(matches[0], scalings, ranks, self.tasks) if matches else []
        return Identification(
            tuple(matches), tuple(ranked[:5]), self.limit, self.dtype, arrays.eps(self.dtype), len(self.layers),
            tuple(notes), doubt,
        )  # fmt: skip

    def _doubt(self, matches: Sequence[Match]) -> str:
        """Why what fits says nothing about how the update was made, "" where it does."""
        if self.limit > LARGEST_LIMIT:
            return (
                f"storing it in {self.dtype} may have moved it by {self.limit:.2g} of its size, its factors cancelling "
                "or being narrow, and within that many merges lie; compare the merge in float32, or one full matrix"
            )
        if not matches:
            return ""
        unknowns = len(matches[0].numbers)
        spare = self.coordinates - unknowns
        if spare <= 0 or self.tried * self.limit**spare > CHANCE:
            return (
                f"the update has {self.coordinates} independent numbers, and {matches[0].describe()} fits them with "
                f"{unknowns} free ones, as one of {self.tried} hypotheses: by chance, if need be; compare more or "
                "larger layers"
            )
        return ""


def _coordinates(updates: Sequence[LowRankUpdate | None], target: Target, limit: float) -> int:
    """How many independent numbers a merge of these updates has: those of a core matrix, or of the target's rank.

    Directions below `limit` of the largest give none, in a task or in the target: they are not seen, and where a method
    makes much of one, whatever fits does by chance.
    """
    limit = min(limit, 1.0)
    parts = [[np.asarray(X) for X in product_svd(*u.folded(np.float64))] for u in updates if u is not None and u.rank]
    if not parts:
        return 0
    largest = max(float(S[0]) for _, S, _ in parts)
    left = [(P * S)[:, limit * largest < S] for P, S, _ in parts]
    right = [(Qh.T * S)[:, limit * largest < S] for _, S, Qh in parts]
    p, q = (
        int(np.sum(np.linalg.svd(triangle(np.concatenate(X, axis=1)), compute_uv=False) > limit * largest))
        for X in (left, right)
    )
    rank = min(target.rank_above(limit), p, q)
    return rank * (p + q - rank)


def _distinct(ones: Iterable[Candidate]) -> list[Candidate]:
    """Each hypothesis once, in the words that name most dialects."""
    kept: dict[Hashable, Candidate] = {}
    for one in ones:
        if one.key not in kept or len(one.dialects) > len(kept[one.key].dialects):
            kept[one.key] = one
    return list(kept.values())


def _plainness(match: Match) -> tuple[bool, bool, bool, int, int]:
    """What sorts first is the plainest: no mistake, not truncated, true in any space or somebody's dialect, short."""
    one, order = match.candidate, (ANY_SPACE, *SPACES)
    nameless = not one.dialects and one.space != ANY_SPACE
    place = order.index(one.space) if one.space in order else 0
    return bool(one.mistake), match.truncated, nameless, place, len(match.settings())


def _first(pair: tuple[float, Candidate]) -> float:
    return pair[0]
