"""The demo's tasks: name the digit, each time seen through another fixed distortion of the 8 × 8 pixels.

The ten labels and the classifying head are the same in every task, so one merged model can be asked all of them. Each
distortion leaves the digit and itself recognisable: no image means one digit in one task and another in a second
one, as half turns (6 and 9) would.
"""

from collections.abc import Callable

import numpy as np

Transform = Callable[[np.ndarray], np.ndarray]  # images (N, 8, 8) with values in [0, 1], likewise out

_ROW, _COLUMN = np.indices((8, 8))
_SWAPPED = [1, 0, 3, 2, 5, 4, 7, 6]

TASKS: dict[str, Transform] = {
    "half_negative": lambda images: np.where(_ROW < 4, 1 - images, images),
    "barred": lambda images: np.where(_COLUMN % 4 == 1, 1, images),
    "framed": lambda images: np.where((_ROW % 7 == 0) | (_COLUMN % 7 == 0), 1, images),
    "swapped": lambda images: images[:, _SWAPPED][:, :, _SWAPPED],  # neighbouring rows, then neighbouring columns
    "slanted": lambda images: images[:, _ROW, (_COLUMN - _ROW // 2) % 8],
    "shaded": lambda images: np.clip(images / 2 + _COLUMN / 14, 0, 1),
    "edges": lambda images: np.abs(images - np.roll(images, 1, axis=2)),
    "sliced": lambda images: np.where(_ROW % 2 == 1, 0, images),
}


def seen(task: str, images: np.ndarray) -> np.ndarray:
    """8-bit images (N, 8, 8) with values 0 to 16 as `task` shows them to the model: float32 in [0, 1]."""
    return np.ascontiguousarray(TASKS[task](images.astype(np.float32) / 16), dtype=np.float32)
