"""Random models of two or three layers, some of which some tasks lack, for stages that look at all layers at once."""

from dataclasses import fields
from typing import Any

import numpy as np

import coremerge_ref as cm
from benchmarks.fuzz.judging import DIGITS, EPS, ROUNDED, SENSITIVE, distance, norm
from benchmarks.fuzz.trials import SPACES, draw, settings
from coremerge_ref.conformance.definition import merge_model_exactly
from coremerge_ref.core.stages import MERGE, POST, STAGES, UNKNOWN

Layers = list[list[Any]]  # (B, A, s) or None of each task
SCOPED = [name for name, stage in STAGES.items() if any(f.name == "scope" for f in fields(stage))]  # type: ignore[arg-type]


class Model:
    """A model of a seed: layers, method, parameters, space and weights, and the layers as merge_adapters takes them."""

    def __init__(self, seed: int) -> None:
        rng, first = np.random.default_rng([seed, 5]), draw(seed)
        one = lambda given: given[rng.integers(len(given))]  # noqa: E731
        layers, dtype, other, count = [list(first.factors)], first.factors[0][0].dtype, 7 * seed, int(one((2, 2, 3)))
        while len(layers) < count:
            other += 1
            more = draw(other).factors
            if len(more) == len(first.factors) and all(norm(X) < 1e4 for B, A, _ in more for X in (B, A)):
                layers.append([(B.astype(dtype), A.astype(dtype), s) for B, A, s in more])
        for layer in layers:
            if len(layer) > 1 and rng.random() < 0.3:
                layer[rng.integers(len(layer))] = None
        scoped = str(one(SCOPED))
        names = [scoped] if STAGES[scoped].kind == MERGE else [scoped, str(one(_of(MERGE)))]
        names += [str(one(_of(POST)))] if rng.random() < 0.2 else []
        self.seed, self.layers, self.method, self.precision = seed, layers, "+".join(names), first.precision
        self.parameters = {name: settings(STAGES[name], one) for name in names}
        self.parameters[scoped]["scope"] = "model"
        self.space = str(one([name for name, (space, _) in SPACES.items() if space.lossless]))
        self.weights = first.weights

    @property
    def updates(self) -> dict[str, list[Any]]:
        """By layer name."""
        return {f"layer {i}": [u and cm.LowRankUpdate(*u) for u in layer] for i, layer in enumerate(self.layers)}

    def __str__(self) -> str:
        shapes = [[None if u is None else (u[0].shape, u[1].shape[1]) for u in layer] for layer in self.layers]
        dtype = next(u for u in self.layers[0] if u is not None)[0].dtype
        return (
            f"model of seed {self.seed}: {self.method} {self.parameters} in {self.space}, {self.precision}, {shapes}, "
            f"{dtype}, weights {self.weights}"
        )


def _of(kind: str) -> list[str]:
    return [s.name for s in STAGES.values() if s.kind == kind and s.commutes_with != UNKNOWN]


def modelled(model: Model) -> list[tuple[str, str]]:
    """What is wrong with the explanations of its layers, beside 60 digits and as inputs are rounded at random."""
    space, asked = SPACES[model.space]
    pipeline, updates = cm.Pipeline.parse(model.method, model.parameters), model.updates
    common = {"space": space, "weights": model.weights, "compute_dtype": model.precision}
    try:
        merged = cm.merge_adapters(updates, pipeline, out_dtype="float64", **common)
    except cm.CoreMergeError:
        return []
    told = cm.explain(updates, pipeline, **common)
    exact = merge_model_exactly(
        model.layers, model.method, model.parameters, weights=model.weights, eps=EPS[model.precision], **asked
    )
    found, computed = [], {name: np.asarray(update.to_dense()) for name, update in merged.items()}
    for (name, X), Y, layer in zip(computed.items(), (one.array for one in exact), model.layers, strict=True):
        e, error, size = told[name], distance(X, Y), norm(X)
        terms = sum(abs(w * u[2]) * norm(u[0]) * norm(u[1]) for w, u in zip(model.weights, layer, strict=True) if u)
        allowed = e.bound.relative * (size if e.bound.relative < 1 else max(size, norm(Y)))
        if error > allowed and error > DIGITS * terms:
            found.append(("bound exceeded", f"{name}, {error / (allowed or 1e-300):.3g} times, verdict {e.verdict}"))
        if e.verdict == "well-posed" and error > SENSITIVE * max(size, norm(Y)):
            found.append(("false well-posed", f"{name}, error {error / (size or 1):.3g}"))
    found += _rounded(model, pipeline, told, computed) if model.precision == "float64" else []
    return [(kind, f"{sentence}, {model}") for kind, sentence in found]


def _rounded(model: Model, pipeline: Any, told: Any, computed: dict[str, np.ndarray]) -> list[tuple[str, str]]:
    rng, space = np.random.default_rng(model.seed), SPACES[model.space][0]
    eps, farthest = told["layer 0"].input_bound.eps, dict.fromkeys(computed, 0.0)

    def moved(X: np.ndarray) -> np.ndarray:
        return X.astype(np.float64) * (1 + eps / 2 * rng.choice([-1.0, 1.0], X.shape))

    for _ in range(ROUNDED):
        changed = {
            name: [u and cm.LowRankUpdate(moved(u.B), moved(u.A), u.scale) for u in layer]
            for name, layer in model.updates.items()
        }
        merged = cm.merge_adapters(changed, pipeline, space, weights=model.weights, out_dtype="float64")
        for name, update in merged.items():
            farthest[name] = max(farthest[name], distance(np.asarray(update.to_dense()), computed[name]))
    found = []
    for name, change in farthest.items():
        e, size = told[name], norm(computed[name])
        if not 1e-100 < size < 1e100 or not e.input_bound.relative < 1:
            continue
        if change > e.input_bound.relative * size * (1 + 1e-9) + 2 * e.bound.relative * size:
            ratio = change / (e.input_bound.relative * size or 1e-300)
            found.append(("input bound exceeded", f"{name}, {ratio:.4g} times, verdict {e.input_bound.verdict}"))
    return found
