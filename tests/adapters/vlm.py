"""A tiny LLaVA, whose modules transformers 4.52 renamed, with adapters saved before and after."""

import copy
import re
import warnings
from pathlib import Path
from typing import Any

import peft_zoo as zoo
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

PATTERN = r".*language_model.*\.(q_proj|v_proj)"


def llava() -> nn.Module:
    torch.manual_seed(3)
    vision = CLIPVisionConfig(
        hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=4, patch_size=2,
        projection_dim=8,
    )  # fmt: skip
    text = LlamaConfig(
        hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, vocab_size=19, use_cache=False
    )
    config = LlavaConfig(vision_config=vision.to_dict(), text_config=text.to_dict(), image_token_index=18)
    return LlavaForConditionalGeneration(config).eval()


def save(base: nn.Module, folder: Path, seed: int, **fields: Any) -> Path:
    """An adapter with random factors on a copy of `base`, saved by PEFT."""
    torch.manual_seed(seed)
    with zoo.quiet():
        given = {"r": 2, "lora_alpha": 4, "target_modules": PATTERN, "init_lora_weights": False, **fields}
        get_peft_model(copy.deepcopy(base), LoraConfig(**given)).save_pretrained(str(folder))
    return folder


def renamed(folder: Path, pattern: str, replacement: str) -> Path:
    """The adapter in `folder` with other names of tensors, in place."""
    tensors = load_file(folder / "adapter_model.safetensors")
    tensors = {re.sub(pattern, replacement, name): tensor for name, tensor in tensors.items()}
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def aged(folder: Path) -> Path:
    """As transformers before 4.52 called the modules."""
    return renamed(folder, r"model\.language_model\.", "language_model.model.")


def inputs() -> torch.Tensor:
    return torch.randint(0, 17, (2, 5), generator=torch.Generator().manual_seed(0))


def effect(base: nn.Module, folder: Path, transformers: bool = False) -> torch.Tensor:
    """What the adapter adds to the logits, loaded by PEFT or by transformers' load_adapter."""
    model = copy.deepcopy(base)
    with warnings.catch_warnings():  # whatever the loader warns of is an error, but what it says of every adapter
        warnings.filterwarnings("ignore", message="Could not find a config file")
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")
        if transformers:
            model.load_adapter(str(folder))
        else:
            model = PeftModel.from_pretrained(model, str(folder))
    with torch.no_grad():
        return model.eval()(input_ids=inputs()).logits - base(input_ids=inputs()).logits
