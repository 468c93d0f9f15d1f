"""What the demo ships: base weights, one PEFT adapter folder a task, and 8 × 8 images to validate and test on."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from coremerge_ref.adapters import Adapter
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.demo.forward import embed
from coremerge_ref.demo.tasks import TASKS

FOLDER = Path(__file__).parent / "data"
CLASSES, VALIDATION, TEST = "classes", "validation", "test"


@dataclass(frozen=True)
class Data:
    """The files under `folder`, read when asked for."""

    folder: Path = FOLDER

    @property
    def adapters(self) -> dict[str, Path]:
        """{task: adapter folder}."""
        return {task: self.folder / "adapters" / task for task in TASKS}

    @cached_property
    def base(self) -> dict[str, np.ndarray]:
        """The base model's state dict in float32, which holds the shipped float16 exactly."""
        weights = load_file(self.folder / "base.safetensors")
        return {name: array.astype(np.float32) for name, array in weights.items()}

    @cached_property
    def updates(self) -> dict[str, list[LowRankUpdate]]:
        """{layer: one update a task}, float32."""
        loaded = [(adapter := Adapter(path)).load(adapter.modules) for path in self.adapters.values()]
        paths = {name: module.path for name, module in Adapter(next(iter(self.adapters.values()))).modules.items()}
        return {path: [_single(updates[name]) for updates in loaded] for name, path in paths.items()}

    @cached_property
    def class_vectors(self) -> dict[str, np.ndarray]:
        """{task: (10, width)}: the base model's embeddings of one clean drawing of each sign; never trained."""
        return {task: embed(self.base, self.images(task, CLASSES).astype(np.float32) / 16) for task in TASKS}

    @cached_property
    def _signs(self) -> dict[str, np.ndarray]:
        return load_file(self.folder / "signs.safetensors")

    def images(self, task: str, part: str) -> np.ndarray:
        """8-bit images (N, 8, 8), values 0 to 16, of "classes" (one drawing a sign), "validation" or "test"."""
        return self._signs[f"{task}.{part}.images"]

    def labels(self, task: str, part: str) -> np.ndarray:
        """Which of the task's ten signs each image of "validation" or "test" shows (N,)."""
        return self._signs[f"{task}.{part}.labels"]


def _single(update: LowRankUpdate) -> LowRankUpdate:
    return LowRankUpdate(update.B.astype(np.float32), update.A.astype(np.float32), update.scale)
