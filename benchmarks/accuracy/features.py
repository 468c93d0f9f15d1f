"""All tasks' texts as the layers below the adapted ones leave them, computed once and kept in the cache folder."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.accuracy import model, store
from benchmarks.accuracy.model import MINILM, Family
from benchmarks.accuracy.tasks import Task


@dataclass(frozen=True)
class Split:
    """hidden (texts, tokens, width) in bfloat16, mask (texts, tokens), labels (texts)."""

    hidden: Tensor
    mask: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Features:
    """A task's fixed head (labels, width) and its splits, by one model."""

    task: Task
    head: Tensor
    splits: dict[str, Split]
    family: Family


def load(
    cache: Path, names: list[str], sizes: dict[str, int] | None = None, family: Family = MINILM
) -> dict[str, Features]:
    """By task; from the cache where they are there and of the same data."""
    loaded, network = {}, None
    for name in names:
        task = store.task(cache, name, sizes)
        path = cache / "features" / family.name / f"{name}-{task.fingerprint}-{model.MAX_TOKENS}.pt"
        if not path.exists():
            network = network or family.network()
            splits = {}
            for split, rows in task.splits.items():
                hidden, mask = family.below(network, [text for text, _ in rows], model.MAX_TOKENS)
                splits[split] = (hidden.bfloat16(), mask, torch.tensor([label for _, label in rows]))
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save((family.head(network, task), splits), path.with_suffix(".part"))
            path.with_suffix(".part").replace(path)
        head, splits = torch.load(path)
        loaded[name] = Features(task, head, {split: Split(*parts) for split, parts in splits.items()}, family)
    return loaded
