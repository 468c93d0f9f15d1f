"""Writes coremerge_ref/adapters/renamings.json from the installed transformers, when run as a program.

Models are made of their default configs, with one layer where that is possible, and hold no numbers.
"""

import contextlib
import json
import signal
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import GroupWeightRename, WeightRenaming
from transformers.models.auto import modeling_auto

FILE = Path(__file__).parents[2] / "coremerge_ref" / "adapters" / "renamings.json"
_KINDS = (
    "MODEL_FOR_IMAGE_TEXT_TO_TEXT", "MODEL_FOR_CAUSAL_LM", "MODEL_FOR_MULTIMODAL_LM", "MODEL_FOR_IMAGE_CLASSIFICATION",
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM", "MODEL_FOR_SPEECH_SEQ_2_SEQ", "MODEL",
)  # fmt: skip
# Models that people know, first: a table that several models share is named after the first of them.
_FIRST = {
    "LlavaForConditionalGeneration": "llava",
    "Qwen2VLForConditionalGeneration": "qwen2_vl",
    "Gemma3ForConditionalGeneration": "gemma3",
    "PaliGemmaForConditionalGeneration": "paligemma",
    "ViTForImageClassification": "vit",
    "MixtralForCausalLM": "mixtral",
}
_DEPTHS = ("num_hidden_layers", "n_layer", "num_layers", "depth", "n_layers", "encoder_layers", "decoder_layers")
_SECONDS = 12  # for one model; some defaults are huge


def classes() -> dict[str, str]:
    """{class of a model: its model type}."""
    found = dict(_FIRST)
    for kind in _KINDS:
        for model_type, names in getattr(modeling_auto, f"{kind}_MAPPING_NAMES", {}).items():
            for name in [names] if isinstance(names, str) else names:
                found.setdefault(name, model_type)
    return found


def steps(name: str, model_type: str) -> list[list[Any]]:
    """[compiled pattern, target, scope, prefix of the base model] of each renaming of that class, in order."""
    with torch.device("meta"):
        model = getattr(transformers, name)(_shallow(CONFIG_MAPPING[model_type]()))
    transforms = get_model_conversion_mapping(model, add_legacy=False)
    return [
        [t.compiled_sources.pattern, t.target_patterns[0], t.scope_prefix, t.base_model_prefix]
        for t in transforms
        if isinstance(t, WeightRenaming) and not isinstance(t, GroupWeightRename)
    ]


def _shallow(config: Any) -> Any:
    for field in _DEPTHS:
        if isinstance(getattr(config, field, None), int):
            with contextlib.suppress(Exception):
                setattr(config, field, 1)
    if isinstance(getattr(config, "layer_types", None), list):
        config.layer_types = config.layer_types[:1]
    for part in getattr(config, "sub_configs", None) or {}:
        if getattr(config, part, None) is not None:
            _shallow(getattr(config, part))
    return config


def content(names: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """What renamings.json holds: equal tables once, under the first class that has it."""
    tables: dict[str, list[list[Any]]] = {}
    for name, model_type in names:
        try:
            signal.alarm(_SECONDS)
            made = steps(name, model_type)
        except Exception as error:  # optional packages, defaults that do not fit together
            print(f"{name}: {type(error).__name__}", file=sys.stderr)
            continue
        finally:
            signal.alarm(0)
        if made and made not in tables.values():
            tables[name] = made
    return {"transformers": transformers.__version__, "tables": tables}


def _expired(*_: object) -> None:
    raise TimeoutError


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    signal.signal(signal.SIGALRM, _expired)
    lines = json.dumps(content(classes().items()), separators=(",", ":")).replace('"],"', '"],\n"')
    FILE.write_text(lines.replace("]],", "]],\n") + "\n", encoding="utf-8")
