"""Single files in the spelling of kohya or of diffusers."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from coremerge_ref.adapters.formats.peft_metadata import PEFT_METADATA
from coremerge_ref.adapters.formats.place import DIFFUSERS_WEIGHTS
from coremerge_ref.adapters.formats.spellings import KOHYA
from coremerge_ref.adapters.forms.target import Group, Target, alpha_of, most_common, rank_of, unflattened
from coremerge_ref.adapters.modules import Module
from coremerge_ref.adapters.names import SUFFIXES
from coremerge_ref.adapters.patterns import exact_pattern


class _ToSingleFile(Target):
    suffix = ".safetensors"
    weights = DIFFUSERS_WEIGHTS

    def ones(self, module: Module) -> int:
        """Axes of length 1 that the file gives a matrix."""
        held: Mapping[str, int] = getattr(self.adapter.reader, "ones", {})
        return held.get(module.name, 0)


class ToKohya(_ToSingleFile):
    """kohya's spelling: names of diffusers' Stable Diffusion are rewritten by rule, others are kept."""

    _COMPONENTS: ClassVar[dict[str, str]] = {
        "unet": "lora_unet",
        "text_encoder": "lora_te",
        "text_encoder_2": "lora_te2",
    }

    def refusal(self) -> str:
        """As the base class says."""
        if self.family != "single file":
            return "kohya's names begin with the part of the pipeline, which this adapter does not say"
        if any(name.startswith("transformer.") for name in self.modules):
            return "kohya names the blocks of a transformer in its own way, which needs a table of the architecture"
        return ""

    def named(self, module: Module) -> str:
        """The name in the output."""
        component, _, path = module.name.partition(".")
        if component not in self._COMPONENTS or not path:
            return module.name
        first = self._COMPONENTS[component]
        if component == "text_encoder" and any(name.startswith("text_encoder_2.") for name in self.modules):
            first = "lora_te1"
        path = path.replace(".processor.to_out", ".to_out.0").replace(".processor.", ".")
        return f"{first}_{path.replace('.', '_')}"

    def tensors(self, group: Group) -> dict[str, np.ndarray]:
        """As the base class says."""
        ((module, (B, A)),) = group
        B, A = unflattened(module, B, A, self.ones(module))
        name = self.named(module)
        return {name + KOHYA.A: A, name + KOHYA.B: B, name + ".alpha": np.array(alpha_of(module), np.float32)}


class ToDiffusers(_ToSingleFile):
    """PEFT's spelling with PEFT's fields in the header, as diffusers writes it; names are kept."""

    def refusal(self) -> str:
        """As the base class says."""
        if self.family != "single file":
            return "diffusers' names begin with the part of the pipeline, which this adapter does not say"
        if odd := [name for name in self.modules if "." not in name]:
            return (
                f"{odd[0]!r} is kohya's name, and which of its _ are dots depends on the architecture: "
                "load the file in diffusers and save it with save_lora_weights"
            )
        return ""

    def tensors(self, group: Group) -> dict[str, np.ndarray]:
        """As the base class says."""
        ((module, (B, A)),) = group
        B, A = unflattened(module, B, A, self.ones(module))
        name = self.named(module)
        return {name + SUFFIXES["A"]: A, name + SUFFIXES["B"]: B}

    def named(self, module: Module) -> str:
        """The name in the output."""
        return module.name.replace(".processor.to_out", ".to_out.0").replace(".processor.", ".")

    def metadata(self) -> dict[str, str]:
        """As the base class says."""
        components: dict[str, list[Module]] = {}
        for module in self.modules.values():
            components.setdefault(module.name.partition(".")[0], []).append(module)
        fields: dict[str, Any] = {}
        for component, modules in components.items():
            paths = {self.named(module).partition(".")[2]: module for module in modules}
            r, alpha = (most_common([f(m) for m in modules]) for f in (rank_of, alpha_of))
            fields |= {
                f"{component}.peft_type": "LORA",
                f"{component}.r": r,
                f"{component}.lora_alpha": alpha,
                f"{component}.rank_pattern": {
                    exact_pattern(p): rank_of(m) for p, m in paths.items() if rank_of(m) != r
                },
                f"{component}.alpha_pattern": {
                    exact_pattern(p): alpha_of(m) for p, m in paths.items() if alpha_of(m) != alpha
                },
                f"{component}.target_modules": sorted(paths),
            }
        return {"format": "pt", PEFT_METADATA: json.dumps(fields, sort_keys=True)}
