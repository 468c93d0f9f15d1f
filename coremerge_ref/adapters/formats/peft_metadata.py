"""The header field of diffusers' single files that holds PEFT's config, as "component.field": value."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coremerge_ref.adapters.files import parse_json
from coremerge_ref.adapters.formats.lora import LoraConfig, LoraReader
from coremerge_ref.adapters.patterns import exact_pattern
from coremerge_ref.errors import AdapterError, reason

PEFT_METADATA = "lora_adapter_metadata"


def read_peft_metadata(text: str) -> dict[str, LoraConfig]:
    """The config of each component ("unet", "transformer" …). AdapterError for what is none, or no plain LoRA's."""
    try:
        fields = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise AdapterError(f"{PEFT_METADATA}: expected JSON: {reason(error)}; save the adapter again") from error
    if not isinstance(fields, dict):
        raise AdapterError(f"{PEFT_METADATA}: expected a JSON object; save the adapter again")
    components: dict[str, dict[str, Any]] = {}
    for key, value in fields.items():
        component, _, field = key.partition(".")
        components.setdefault(component, {})[field] = value
    return {
        component: LoraConfig.checked(Path(f"{PEFT_METADATA} of {component}"), values, LoraReader.harmless)
        for component, values in components.items()
    }


def peft_metadata(ranks: Mapping[str, int]) -> str:
    """lora_adapter_metadata of a file whose factors are the update: alpha = r; ranks by module name."""
    fields: dict[str, Any] = {}
    components: dict[str, dict[str, int]] = {}
    for name, rank in ranks.items():
        component, _, path = name.partition(".")
        components.setdefault(component, {})[path] = rank
    for component, paths in components.items():
        r = max(paths.values())
        fields |= {f"{component}.peft_type": "LORA", f"{component}.r": r, f"{component}.lora_alpha": r}
        pattern = {exact_pattern(path): rank for path, rank in paths.items() if rank != r}
        fields |= {f"{component}.rank_pattern": pattern, f"{component}.alpha_pattern": pattern}
        fields |= {f"{component}.target_modules": sorted(paths)}
    return json.dumps(fields, sort_keys=True)
