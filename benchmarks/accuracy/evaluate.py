"""Accuracy of a merged model, task by task, as percent of what each task's own adapter reaches."""

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.accuracy import merged
from benchmarks.accuracy.features import Features, Split

BATCH = 256


@dataclass(frozen=True)
class Texts:
    """The texts of several tasks, one task after another, and batches of them of one length: nothing is padding."""

    batches: list[tuple[Tensor, Tensor]]  # which texts, hidden (texts, tokens, width)
    labels: dict[str, tuple[slice, Tensor]]

    @classmethod
    def of(cls, splits: dict[str, Split], most: int | None = None) -> "Texts":
        """The first `most` texts of each task."""
        labels, start = {}, 0
        for name, split in splits.items():
            labels[name] = (slice(start, start + len(split.labels[:most])), split.labels[:most])
            start = labels[name][0].stop
        hidden = torch.cat([split.hidden[:most] for split in splits.values()])
        lengths = torch.cat([split.mask[:most] for split in splits.values()]).sum(1).int()
        batches = []
        for length in lengths.unique().tolist():
            for which in (lengths == length).nonzero()[:, 0].split(BATCH):
                batches.append((which, hidden[which, :length]))
        return cls(batches, labels)


@dataclass(frozen=True)
class Judge:
    """The base model's last layer, all products in bfloat16, and the accuracies that others are measured against."""

    merger: merged.Merger
    heads: dict[str, Tensor]
    texts: dict[str, Texts]  # by split
    single: dict[str, dict[str, float]]  # split → task → percent right, of the task's own adapter

    @classmethod
    def of(cls, features: dict[str, Features], layers: merged.Layers, tested: int | None = None) -> "Judge":
        """Measures the singles; `tested` texts a task of the test split, by default all."""
        texts = {
            split: Texts.of({name: one.splits[split] for name, one in features.items()}, most)
            for split, most in (("val", None), ("test", tested))
        }
        family = next(iter(features.values())).family
        judge = cls(
            merged.Merger.fresh(family), {n: f.head for n, f in features.items()}, texts, {"val": {}, "test": {}}
        )
        for index, (name, one) in enumerate(features.items()):
            alone = merged.merge({layer: [updates[index]] for layer, updates in layers.items()}, "ta", "core")
            for split, most in (("val", None), ("test", tested)):
                own = Texts.of({name: one.splits[split]}, most)
                judge.single[split] |= judge.measured(own, alone, 1.0)
        return judge

    @torch.inference_mode()
    def measured(self, texts: Texts, update: merged.Update | None, alpha: float) -> dict[str, float]:
        """Percent right by task, of W0 + α ΔW; of the base model where there is no update."""
        network = self.merger.apply(update, alpha)
        width = next(iter(self.heads.values())).shape[1]
        found = torch.empty(sum(len(which) for which, _ in texts.batches), width)
        for which, hidden in texts.batches:
            found[which] = network(hidden)
        return {
            name: 100.0 * float(((found[rows] @ self.heads[name].T).argmax(-1) == labels).float().mean())
            for name, (rows, labels) in texts.labels.items()
        }

    def accuracies(self, update: merged.Update | None, alpha: float, split: str) -> dict[str, float]:
        """Percent right by task."""
        return self.measured(self.texts[split], update, alpha)

    def normalized(self, accuracies: dict[str, float], split: str) -> float:
        """Percent of the single adapters' accuracies, mean over the tasks."""
        return sum(100.0 * x / self.single[split][name] for name, x in accuracies.items()) / len(accuracies)
