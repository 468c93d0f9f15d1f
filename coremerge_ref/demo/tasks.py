"""The demo's tasks: eight sets of ten signs, each printed its own way, each with class vectors of its own.

As in the paper, the tasks share an encoder and nothing else. A task's class vectors are what the base encoder, before
any training on the task, makes of one clean drawing of each of its signs: they take the part of CLIP's embedded
prompts, and stay fixed. The way of printing takes the part of a data set's look.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Transform = Callable[[np.ndarray], np.ndarray]  # images (N, 8, 8) with values in [0, 1], likewise out

_ROW, _COLUMN = np.indices((8, 8))
_SWAPPED = [1, 0, 3, 2, 5, 4, 7, 6]


@dataclass(frozen=True)
class Task:
    """Ten signs, and how the model gets to see them."""

    signs: str
    printed: Transform


TASKS: dict[str, Task] = {
    "digits": Task("0123456789", lambda images: images),  # handwritten
    "capitals": Task("ABEGHKMRSW", lambda images: images[:, _ROW, (_COLUMN - _ROW // 2) % 8]),  # slanted
    "lowercase": Task("abdefgkmst", lambda images: np.where(_COLUMN % 4 == 1, 1, images)),  # behind bars
    "greek": Task("αβγδθλξπφω", lambda images: np.abs(images - np.roll(images, 1, axis=2))),  # edges
    "cyrillic": Task("БГДЖИЛФЦЯЭ", lambda images: np.where(_ROW % 2 == 1, 0, images)),  # every other row
    "arrows": Task("←↑→↓↖↗↘↙↔↕", lambda images: images[:, _SWAPPED][:, :, _SWAPPED]),  # neighbours swapped
    "maths": Task("∑∏∫√∞≈≠≤∂∇", lambda images: np.clip(images / 2 + _COLUMN / 14, 0, 1)),  # in a shade
    "shapes": Task("■□▲▼●○◆◇▶◀", lambda images: np.where((_ROW % 7 == 0) | (_COLUMN % 7 == 0), 1, images)),  # framed
}


def seen(task: str, images: np.ndarray) -> np.ndarray:
    """8-bit images (N, 8, 8) with values 0 to 16 as `task` shows them to the model: float32 in [0, 1]."""
    return np.ascontiguousarray(TASKS[task].printed(images.astype(np.float32) / 16), dtype=np.float32)
