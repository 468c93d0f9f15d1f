"""Accuracy of a merged model, task by task, as percent of what each task's own adapter reaches."""

from dataclasses import dataclass

from torch import Tensor

from benchmarks.accuracy import merged, model
from benchmarks.accuracy.tasks import Task

SEARCHED = 50  # validation examples a task that a search looks at: it measures hundreds of merges


@dataclass(frozen=True)
class Judge:
    """Data and heads of all tasks, and the accuracies of base and single adapters that others are measured against.

    All products run in bfloat16, those of the single adapters too.
    """

    merger: merged.Merger
    heads: dict[str, Tensor]
    data: dict[str, dict[str, model.Batches]]  # split → task → batches
    zero: dict[str, float]
    single: dict[str, dict[str, float]]  # split → task → accuracy

    @classmethod
    def of(cls, tasks: list[Task], layers: merged.Layers, tested: int | None = None) -> "Judge":
        """Encodes the data, measures base and singles; `tested` examples a task of the test split, by default all."""
        merger = merged.Merger.fresh()
        heads = {task.name: model.head(merger.network, task) for task in tasks}
        data = {
            split: {task.name: model.batches(task.splits[split][:most], 50) for task in tasks}
            for split, most in (("val", SEARCHED), ("test", tested))
        }
        judge = cls(merger, heads, data, {}, {"val": {}, "test": {}})
        judge.zero.update(judge.accuracies(None, 0.0, "test"))
        for index, task in enumerate(tasks):
            alone = merged.merge({name: [updates[index]] for name, updates in layers.items()}, "ta", "core")
            for split in ("val", "test"):
                judge.single[split] |= judge.accuracies(alone, 1.0, split, [task.name])
        return judge

    def accuracies(
        self, update: merged.Update | None, alpha: float, split: str, only: list[str] | None = None
    ) -> dict[str, float]:
        """Percent right by task, of W0 + α ΔW; of the base model where there is no update."""
        network = self.merger.apply(update, alpha) if update is not None else self.merger.network
        names = only or list(self.heads)
        return {name: model.accuracy(network, self.heads[name], self.data[split][name], fast=True) for name in names}

    def normalized(self, update: merged.Update, alpha: float, split: str) -> dict[str, float]:
        """Percent of the single adapter's accuracy, by task, and the mean over the tasks as "avg"."""
        found = self.accuracies(update, alpha, split)
        ratios = {name: 100.0 * found[name] / self.single[split][name] for name in found}
        return ratios | {"avg": sum(ratios.values()) / len(ratios)}
