"""A merged adapter as an MLX folder."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from coremerge_ref.adapters.formats.mlx import MLX_WEIGHTS, SUFFIXES, MlxReader
from coremerge_ref.adapters.formats.place import CONFIG
from coremerge_ref.adapters.forms.base import Form, Merged, with_experts


class MlxForm(Form):
    """One rank for the whole file, since mlx-lm makes all layers of one; scale 1."""

    title = "an MLX folder"
    library = "mlx"
    loading = 'mlx_lm.load(model, adapter_path="{path}")'
    weights = MLX_WEIGHTS
    one_rank = True

    def names(self) -> list[str]:
        """As the base class says."""
        stems = dict.fromkeys(layer.first.stem for layer in self.layers)
        return [stem + SUFFIXES[role] for stem in stems for role in "AB"]

    def tensors(self, group: Sequence[Merged]) -> dict[str, np.ndarray]:
        """As the base class says."""
        made: dict[str, np.ndarray] = {}
        for stem, (stacked, B, A) in with_experts(group).items():
            made[stem + SUFFIXES["A"]] = A if stacked else A.T
            made[stem + SUFFIXES["B"]] = B if stacked else B.T
        return made

    def padded(self, name: str, tensor: np.ndarray, ranks: Mapping[str, int]) -> np.ndarray:
        """As the base class says."""
        rank = max(ranks.values())
        is_a, stacked = name.endswith(SUFFIXES["A"]), tensor.ndim == 3
        axis = (1 if is_a else 2) if stacked else (1 if is_a else 0)
        more = [(0, 0)] * tensor.ndim
        more[axis] = (0, rank - tensor.shape[axis])
        return np.pad(tensor, more)

    def metadata(self, ranks: Mapping[str, int], digest: str) -> dict[str, str]:
        """None, as mlx-lm writes it."""
        return {}

    def companions(self, ranks: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        """The config: what all inputs share, and what is true of the output."""
        given = [a.reader.fields for a in self.adapters if isinstance(a.reader, MlxReader)]
        shared = {key: value for key, value in given[0].items() if all(held.get(key) == value for held in given)}
        parameters: dict[str, Any] = {"rank": max(ranks.values()), "scale": 1.0, "dropout": 0.0}
        keys = [held["lora_parameters"].get("keys") for held in given]
        if all(isinstance(some, list) for some in keys):
            parameters["keys"] = list(dict.fromkeys(key for some in keys for key in some))
        layers = [held.get("num_layers") for held in given]
        numbers = [count for count in layers if isinstance(count, int)]
        if numbers:
            shared["num_layers"] = -1 if -1 in numbers else max(numbers)
        return {CONFIG: {**shared, "fine_tune_type": "lora", "lora_parameters": parameters}}
