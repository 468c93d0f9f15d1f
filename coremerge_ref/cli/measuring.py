"""What the numbers of adapters say, for `coremerge inspect`: norms, ranks, retained energy, overlap of each two."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from coremerge_ref.adapters.cutting import Cut
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.plan import planned
from coremerge_ref.adapters.streaming import load_layers
from coremerge_ref.analysis import diagnostics
from coremerge_ref.analysis.diagnostics.triplets import triplets
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.errors import AdapterError

SHARES = (0.5, 0.9, 0.99)  # of the energy, for which the rank is told


@dataclass(frozen=True)
class Overlap:
    """How two adapters go together, by layer and as means over the layers that both have.

    left, right: cm.diagnostics.overlap of these singular vectors; sign_conflict: its, in core space; cosine:
    ⟨ΔW, ΔW'⟩ / (‖ΔW‖ ‖ΔW'‖). places: which of the adapters they are.
    """

    one: str
    other: str
    places: tuple[int, int]
    by_layer: dict[str, dict[str, float]]

    @property
    def means(self) -> dict[str, float]:
        """The means."""
        return {key: float(np.mean([held[key] for held in self.by_layer.values()])) for key in FIGURES}

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"adapters": [self.one, self.other], **self.means, "layers": self.by_layer}


FIGURES: dict[str, Callable[[LowRankUpdate, LowRankUpdate], float]] = {
    "left": lambda one, other: float(diagnostics.overlap(one, other)),
    "right": lambda one, other: float(diagnostics.overlap(one, other, side="right")),
    "cosine": lambda one, other: cosine(one, other),
    "sign_conflict": lambda one, other: float(diagnostics.sign_conflict([one, other])),
}


def cosine(one: LowRankUpdate, other: LowRankUpdate) -> float:
    """⟨ΔW, ΔW'⟩_F / (‖ΔW‖_F ‖ΔW'‖_F) of NumPy updates, 0 where one of them is 0; no m × n matrix is formed."""
    pairs = []
    for update in (one, other):
        P, S, Qh = (np.asarray(X) for X in triplets(update))
        size = float(np.linalg.norm(S))
        pairs.append((P * (S / size if size else S), Qh))
    (B, A), (Bo, Ao) = pairs
    return float(np.sum((B.T @ Bo) * (A @ Ao.T)))


def spectra(adapter: Adapter) -> Iterator[tuple[str, np.ndarray]]:
    """(module name, its singular values (r,), zero where they are rounding), one module read at a time."""
    for name in adapter.modules:
        update = adapter.load([name])[name]
        yield name, np.asarray(triplets(update)[1], dtype=np.float64)


def figures(S: np.ndarray) -> dict[str, Any]:
    """What singular values S (r,), zero where they are rounding, say."""
    norm = float(np.linalg.norm(S))
    return {
        "norm": norm,
        "numerical_rank": int(np.count_nonzero(S)),
        "stable_rank": float((norm / S[0]) ** 2) if norm else 0.0,
        "rank_for": {f"{share:g}": Cut(retain=share).count(S) for share in SHARES},
        "singular_values": S.tolist(),
    }


def overlaps(adapters: Sequence[Adapter], progress: Callable[..., None]) -> Iterator[Overlap]:
    """Of each two adapters that share modules. AdapterError where their names cannot be compared."""
    layers = planned(adapters, allow_missing=True).layers
    pairs = list(combinations(range(len(adapters)), 2))
    found: dict[tuple[int, int], dict[str, dict[str, float]]] = {pair: {} for pair in pairs}
    for done, layer in enumerate(layers):
        progress(done, len(layers), layer.path)
        held = layer.updates(load_layers(adapters, [layer]))
        for pair in pairs:
            one, other = (held[t] for t in pair)
            if one is not None and other is not None:
                found[pair][layer.path] = {key: figure(one, other) for key, figure in FIGURES.items()}
    for (t, u), by_layer in found.items():
        if by_layer:
            yield Overlap(adapters[t].called, adapters[u].called, (t, u), by_layer)


def compared(adapters: Sequence[Adapter], progress: Callable[..., None]) -> tuple[list[Overlap], str]:
    """(overlaps of each two, why there are none): adapters that do not go together can be looked at all the same."""
    if len(adapters) < 2:
        return [], ""
    try:
        pairs = list(overlaps(adapters, progress))
    except AdapterError as error:
        return [], f"overlaps are not told: {error}"
    told = {pair.places for pair in pairs}
    apart = next((pair for pair in combinations(range(len(adapters)), 2) if pair not in told), None)
    if apart is None:
        return pairs, ""
    one, other = (adapters[t].called for t in apart)
    return pairs, f"overlaps are not told where adapters share no module, such as of {one} and {other}"


def energy_curve(all_figures: Sequence[Mapping[str, Any]]) -> list[float]:
    """For k = 0, 1 … the mean over modules of the share of Σ σ² that k directions hold."""
    values = [np.array(one["singular_values"]) for one in all_figures if one["norm"]]
    most = max((len(S) for S in values), default=0)
    curves = []
    for S in values:
        squares = np.pad((S / S[0]) ** 2, (1, most - len(S)))
        curves.append(np.cumsum(squares) / np.sum(squares))
    return [float(share) for share in np.mean(curves, axis=0)] if curves else []
