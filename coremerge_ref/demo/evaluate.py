"""Accuracy of a model with a merged update added, task by task."""

from collections.abc import Iterable, Mapping

import numpy as np

from coremerge_ref.demo.data import Data
from coremerge_ref.demo.forward import Weights, embed
from coremerge_ref.demo.tasks import TASKS, seen

CHUNK = 32  # images at a time: what they need stays in the processor's cache


def adapted(base: Weights, deltas: Mapping[str, np.ndarray], alpha: float = 1.0) -> dict[str, np.ndarray]:
    """The weights W0 + α ΔW in the dtype of `base`; `deltas` is {layer: ΔW}."""
    changed = {f"{layer}.weight": alpha * delta for layer, delta in deltas.items()}
    return {**base, **{name: base[name] + delta.astype(base[name].dtype) for name, delta in changed.items()}}


def accuracies(data: Data, weights: Weights, part: str, tasks: Iterable[str] = TASKS) -> dict[str, float]:
    """{task: fraction of the task's images of `part` nearest, by angle, to the vector of the sign that they show}."""
    return {task: _accuracy(data, weights, task, part) for task in tasks}


def mean(values: Mapping[str, float]) -> float:
    """The average over tasks."""
    return sum(values.values()) / len(values)


def normalised(merged: Mapping[str, float], single: Mapping[str, float]) -> float:
    """The average over tasks of the merged model's accuracy over the single adapter's."""
    return mean({task: merged[task] / single[task] for task in single})


def _accuracy(data: Data, weights: Weights, task: str, part: str) -> float:
    images, classes = seen(task, data.images(task, part)), data.class_vectors[task]
    chunks = range(0, len(images), CHUNK)
    named = np.concatenate([(embed(weights, images[i : i + CHUNK]) @ classes.T).argmax(axis=1) for i in chunks])
    return float((named == data.labels(task, part)).mean())
