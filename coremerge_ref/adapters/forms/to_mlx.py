"""PEFT adapters as MLX folders."""

import re
from typing import Any

import numpy as np

from coremerge_ref.adapters.formats.mlx import MLX_WEIGHTS
from coremerge_ref.adapters.formats.mlx import SUFFIXES as MLX
from coremerge_ref.adapters.formats.place import CONFIG
from coremerge_ref.adapters.forms.target import Group, Target, rank_of
from coremerge_ref.adapters.modules import CONV, EMBEDDING
from coremerge_ref.adapters.patterns import NESTED


class ToMlx(Target):
    """MLX: from PEFT adapters of linear layers and embeddings."""

    weights = MLX_WEIGHTS

    def refusal(self) -> str:
        """As the base class says."""
        if self.family != "peft":
            return "only PEFT adapters name modules as MLX does"
        for module in self.modules.values():
            if module.kind == CONV or module.stack or NESTED in f"{module.name}.":
                return (
                    f"{module.path!r} is a {'parameter' if module.stack else module.kind} that MLX adapters do not have"
                )
        return ""

    @property
    def rank(self) -> int:
        """mlx-lm makes all layers of one rank."""
        return max(rank_of(module) for module in self.modules.values())

    @property
    def scale(self) -> float:
        """The scaling that all share; else 1, and each one's goes into its b."""
        scales = {module.scale for module in self.modules.values()}
        return scales.pop() if len(scales) == 1 else 1.0

    def tensors(self, group: Group) -> dict[str, np.ndarray]:
        """As the base class says."""
        ((module, (B, A)),) = group
        if self.scale != module.scale:
            B = (B.astype(np.float64) * module.scale).astype(B.dtype)
        more = self.rank - B.shape[1]
        B, A = np.pad(B, ((0, 0), (0, more))), np.pad(A, ((0, more), (0, 0)))
        a, b = (B, A) if module.kind == EMBEDDING else (A.T, B.T)
        return {module.path + MLX["A"]: a, module.path + MLX["B"]: b}

    def metadata(self) -> dict[str, str]:
        """None, as mlx-lm writes it."""
        return {}

    def companions(self) -> dict[str, dict[str, Any]]:
        """As the base class says."""
        keys = {re.sub(r"^.*?\blayers\.\d+\.", "", module.path) for module in self.modules.values()}
        parameters = {"rank": self.rank, "scale": self.scale, "dropout": 0.0, "keys": sorted(keys)}
        model = {"model": self.adapter.config.base_model_name_or_path}
        return {CONFIG: {"fine_tune_type": "lora", "num_layers": -1, "lora_parameters": parameters, **model}}
