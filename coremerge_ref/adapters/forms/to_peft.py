"""PEFT LoRA folders from any PEFT type, and from MLX folders."""

import re
from typing import Any

from coremerge_ref.adapters import output
from coremerge_ref.adapters.formats.experts import fused, rank_paths
from coremerge_ref.adapters.formats.place import CONFIG, WEIGHTS
from coremerge_ref.adapters.forms.target import Group, Target, alpha_of, most_common, rank_of, unflattened
from coremerge_ref.adapters.modules import EMBEDDING, Module
from coremerge_ref.adapters.names import SUFFIXES
from coremerge_ref.adapters.patterns import PREFIX, exact_pattern
from coremerge_ref.adapters.plan import planned


class ToPeft(Target):
    """The config is what a merge of this one adapter would write, with its own alphas."""

    weights = WEIGHTS
    keeps_base_weights = True

    def refusal(self) -> str:
        """As the base class says."""
        if self.family == "peft":
            return ""
        if self.family != "mlx":
            return "names of a PEFT adapter are the model's own, which need a table of the architecture here"
        if any(module.stack for module in self.modules.values()):
            return "MLX keeps experts apart by projection and PEFT fuses them, which depends on the architecture"
        if embedded := [name for name in self.modules if re.search(r"(embed|wte)[^.]*$", name)]:
            return f"{embedded[0]!r} may be an embedding, which an MLX file does not tell from a linear layer"
        return ""

    def named(self, module: Module) -> str:
        """The name in the output."""
        return module.stem if module.stem.startswith(PREFIX) else PREFIX + module.stem

    def tensors(self, group: Group) -> dict[str, Any]:
        """As the base class says."""
        module, (B, A) = group[0]
        stem = self.named(module)
        if module.stack:
            A, B = fused([factors for _, factors in group])
        elif module.kind == EMBEDDING:
            return {stem + SUFFIXES["embedding_A"]: B.T, stem + SUFFIXES["embedding_B"]: A.T}
        else:
            B, A = unflattened(module, B, A)
        return {stem + SUFFIXES["A"]: A, stem + SUFFIXES["B"]: B}

    def companions(self) -> dict[str, dict[str, Any]]:
        """As the base class says."""
        plan = planned([self.adapter])
        config = output.peft_config([self.adapter], plan, {layer.name: rank_of(layer.first) for layer in plan.layers})
        alphas = {layer.name: alpha_of(layer.first) for layer in plan.layers}
        config["lora_alpha"] = most_common(list(alphas.values()))
        config["alpha_pattern"] = {
            exact_pattern(path): alphas[layer.name]
            for layer in plan.layers
            if alphas[layer.name] != config["lora_alpha"]
            for path in rank_paths(layer.first, self.adapter.config.target_parameters)
        }
        return {CONFIG: config}
