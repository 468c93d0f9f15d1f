"""From adapter folders to one adapter that helps: merge three, find α by a score, read what was written."""

from pathlib import Path
from tempfile import TemporaryDirectory

import coremerge_ref as cm
from coremerge_ref.adapters import load, merge_folders
from coremerge_ref.demo.data import VALIDATION, Data
from coremerge_ref.demo.evaluate import accuracies, adapted, mean

# Adapters that ship with the package, and the small model that they belong to; yours are folders of PEFT.
data = Data()
folders = sorted((Path(cm.__path__[0]) / "demo" / "data" / "adapters").iterdir())[:3]
tasks = [folder.name for folder in folders]


def accuracy(path):
    """Mean accuracy of the model with the adapter at that path, on validation images of the three tasks."""
    changes = {layer: update.to_dense() for layer, update in load(path).items()}
    return mean(accuracies(data, adapted(data.base, changes), VALIDATION, tasks))


with TemporaryDirectory() as place:
    merged, best = Path(place, "merged"), Path(place, "best")
    merge_folders(folders, merged, "tsv")
    sweep = cm.sweep(merged, accuracy, output=best)  # one merge, many α
    base = mean(accuracies(data, data.base, VALIDATION, tasks))
    print(sweep.score > base, "at α =", sweep.alpha)
    print(accuracy(best) == sweep.score)  # True
