"""Known mistakes, as candidates: inputs read wrongly, and the factors A and B merged apart from each other.

Their ids, words and formulas are those of the conformance kit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from coremerge_ref.compare.candidates import Candidate, Components, Layers
from coremerge_ref.compare.generate import combinations, telling
from coremerge_ref.conformance.bending import SCALINGS, Scaling
from coremerge_ref.conformance.pages import named
from coremerge_ref.conformance.spoiling import SHARES
from coremerge_ref.core.models import merge_adapters
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.updates import LowRankUpdate, Update
from coremerge_ref.methods.base import DENSITIES
from coremerge_ref.methods.dialects import preset


@dataclass(frozen=True)
class Apart:
    """A pipeline that some run on A and on B by themselves, in full space, and the grid it is searched on."""

    method: str
    grid: Mapping[str, Mapping[str, Sequence[Any]]]
    dialects: tuple[str, ...]


APART = (
    Apart("ta", {}, ("peft",)),
    Apart("ties", {"ties": {"density": DENSITIES, "elect": ("mass", "count")}}, ("peft", "paper")),
    Apart("trim+ta", {"trim": {"density": DENSITIES}}, ("peft", "paper")),
)


def wrong_inputs(layers: Layers) -> dict[str, Layers]:
    """Misreadings of the inputs that the scale α cannot make up for, by name; tasks left out among them."""
    found: dict[str, Layers] = {}
    for name, scaling in SCALINGS.items():
        misread = {layer: [_rescaled(u, scaling) for u in updates] for layer, updates in layers.items()}
        ratios = [
            new.scale / old.scale
            for layer in layers
            for new, old in zip(misread[layer], layers[layer], strict=True)
            if new is not None and old is not None and old.scale and old.rank
        ]
        if ratios and max(ratios) - min(ratios) > 1e-9 * max(map(abs, ratios)):
            found[named(name)] = misread
    tasks = len(next(iter(layers.values())))
    for t in range(tasks if tasks > 2 else 0):
        rest = {layer: [u for i, u in enumerate(updates) if i != t] for layer, updates in layers.items()}
        if all(any(u is not None for u in updates) for updates in rest.values()):
            found[f"input {t + 1} left out"] = rest
    return found


def _rescaled(update: LowRankUpdate | None, scaling: Scaling) -> LowRankUpdate | None:
    return None if update is None else replace(update, scale=scaling(float(update.scale), max(update.rank, 1)))


def misread(candidate: Candidate, name: str, inputs: Layers) -> Candidate:
    """The candidate on other inputs."""

    def components(layers: Layers, weights: Sequence[float] | None) -> dict[str, list[Update]]:
        chosen = {layer: inputs[layer] for layer in layers}
        short = len(next(iter(chosen.values()))) < len(next(iter(layers.values())))
        return candidate.components(chosen, None if short else weights)

    return replace(
        candidate, components=components, mistake=name, key=(candidate.key, name),
        siblings=lambda: [misread(sibling, name, inputs) for sibling in candidate.siblings()],
    )  # fmt: skip


def factors_apart(layers: Layers, weights: Sequence[float] | None) -> list[Candidate]:
    """A and B each merged by themselves, which gives cross terms B_s A_t; needs equal ranks."""
    if any(len({u.rank for u in updates if u is not None}) > 1 for updates in layers.values()):
        return []
    return [
        Candidate(
            f"{row.method} of A and of B, each by itself", "factors", telling(pipeline, values),
            _apart(pipeline, share), (dialect,), mistake=named(name), key=(pipeline, name),
        )
        for name, share in _different_shares(layers, weights).items()
        for row in APART
        for dialect in row.dialects
        for values in combinations(row.grid)
        for pipeline in [preset(row.method, dialect, values)]
    ]  # fmt: skip


def _different_shares(layers: Layers, weights: Sequence[float] | None) -> dict[str, Callable[..., tuple[float, float]]]:
    """The shares that differ by more than a factor on these inputs, which α would make up for."""
    kept: dict[str, Callable[..., tuple[float, float]]] = {}
    seen: list[np.ndarray] = []
    for name, share in SHARES.items():
        pairs = [
            share(w, float(u.scale))
            for updates in layers.values()
            for u, w in zip(updates, weights or [1.0] * len(updates), strict=True)
            if u is not None
        ]
        of_each = np.array(pairs).T  # (2, modules)
        unit = of_each / np.where(of_each[:, :1] == 0, 1.0, of_each[:, :1])
        if not any(np.allclose(unit, other, rtol=1e-9, atol=0) for other in seen):
            kept[name] = share
        seen.append(unit)
    return kept


def _apart(pipeline: Pipeline, share: Callable[[float, float], tuple[float, float]]) -> Components:
    def components(layers: Layers, weights: Sequence[float] | None) -> dict[str, list[Update]]:
        return {name: [_product(updates, weights)] for name, updates in layers.items()}

    def _product(updates: Sequence[LowRankUpdate | None], weights: Sequence[float] | None) -> Update:
        given = [1.0] * len(updates) if weights is None else list(weights)
        present = [(u, share(w, float(u.scale))) for u, w in zip(updates, given, strict=True) if u is not None]
        unit = np.eye(present[0][0].rank)
        A = _merged([LowRankUpdate(unit, u.A) for u, _ in present], pipeline, [a for _, (a, _) in present])
        B = _merged([LowRankUpdate(u.B, unit) for u, _ in present], pipeline, [b for _, (_, b) in present])
        return LowRankUpdate(B, A)

    return components


def _merged(updates: list[LowRankUpdate], pipeline: Pipeline, weights: list[float]) -> np.ndarray:
    merged = merge_adapters({"": updates}, pipeline, "full", weights=weights, out_dtype="float64")[""]
    return np.asarray(merged.to_dense())
