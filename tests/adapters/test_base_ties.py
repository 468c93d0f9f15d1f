"""Tied weights of a base model: which are one weight, which must be two in the output, and what is said of them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adapter_folders as folders
import numpy as np
import pytest
from safetensors.numpy import save_file
from said import parts

from coremerge_ref.adapters import Adapter
from coremerge_ref.adapters.base_model import BaseModel
from coremerge_ref.adapters.base_ties import BaseTies, Target
from coremerge_ref.adapters.layer import Layer
from coremerge_ref.adapters.plan import planned

EMBEDDING, HEAD, LINEAR = "model.embed_tokens", "lm_head", "model.layers.0.q"
CAUSAL = {"architectures": ["LlamaForCausalLM"]}
Ties = Callable[..., BaseTies]


@pytest.fixture
def ties(tmp_path: Path) -> Ties:
    """ties({tensor: shape}, field=…): of a base model with those tensors, and a config with these fields if any."""

    def make(shapes: dict[str, tuple[int, int]], **config: Any) -> BaseTies:
        folder = tmp_path / "base"
        folder.mkdir()
        save_file({f"{n}.weight": np.ones(s, np.float32) for n, s in shapes.items()}, folder / "model.safetensors")
        if config:
            (folder / "config.json").write_text(json.dumps(config))
        return BaseTies(BaseModel(folder))

    return make


def layers(folder: Path, head: str = HEAD, embedding: str = EMBEDDING) -> dict[str, Layer]:
    """Of an adapter of an embedding of 7 tokens, its head and a linear layer, by path."""
    shapes = {
        f"{embedding}.lora_embedding_A": (2, 7), f"{embedding}.lora_embedding_B": (3, 2),
        f"{head}.lora_A.weight": (2, 3), f"{head}.lora_B.weight": (7, 2),
        f"{LINEAR}.lora_A.weight": (2, 3), f"{LINEAR}.lora_B.weight": (5, 2),
    }  # fmt: skip
    tensors = {folders.PREFIX + name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    adapter = Adapter(folders.write(folder, tensors, target_modules=["q", "lm_head", "embed_tokens"]))
    return {layer.path: layer for layer in planned([adapter]).layers}


def target(layer: Layer, source: str | None = None) -> Target:
    name = f"{layer.path}.weight"
    return Target(name, source or name, "model.safetensors", layer, False)


WEIGHTS: dict[str, tuple[int, int]] = {EMBEDDING: (7, 3), LINEAR: (5, 3)}


@pytest.mark.parametrize(
    "embedding", ["embed_tokens", "wte", "word_embeddings", "tok_embeddings", "embed_in", "shared"]
)
@pytest.mark.parametrize("head", ["lm_head", "embed_out", "output", "m.lm_head"])
def test_a_tied_head_has_its_numbers_in_the_embedding(head: str, embedding: str, ties: Ties, tmp_path: Path) -> None:
    path = f"model.{embedding}"
    found = ties({path: (7, 3), LINEAR: (7, 3)}, tie_word_embeddings=True)
    assert found.source(layers(tmp_path / "a", head)[head], f"{head}.weight") == f"{path}.weight"


@pytest.mark.parametrize(
    ("shapes", "config", "name", "source"),
    [
        (WEIGHTS, {"tie_word_embeddings": True}, None, EMBEDDING),
        (WEIGHTS, {"tie_word_embeddings": False}, None, None),
        (WEIGHTS, {"tie_word_embeddings": False}, HEAD, HEAD),
        (WEIGHTS, {"model_type": "says nothing"}, None, EMBEDDING),  # the file has no head of its own
        (WEIGHTS, {"model_type": "says nothing"}, HEAD, HEAD),
        ({**WEIGHTS, EMBEDDING: (8, 3)}, {"tie_word_embeddings": True}, HEAD, HEAD),
        ({**WEIGHTS, "encoder.wte": (7, 3)}, {"tie_word_embeddings": True}, HEAD, HEAD),  # which of the two?
        ({**WEIGHTS, "encoder.wte": (9, 3)}, {"tie_word_embeddings": True}, HEAD, EMBEDDING),
        ({LINEAR: (7, 3)}, {"tie_word_embeddings": True}, HEAD, HEAD),
    ],
)
def test_which_tensor_holds_the_heads_weight(
    shapes: Any, config: Any, name: str | None, source: str | None, ties: Ties, tmp_path: Path
) -> None:
    given = name and f"{name}.weight"
    assert ties(shapes, **config).source(layers(tmp_path / "a")[HEAD], given) == (source and f"{source}.weight")


def test_what_is_no_head_keeps_its_own_weight(ties: Ties, tmp_path: Path) -> None:
    found = ties({**WEIGHTS, "wte": (5, 3)}, tie_word_embeddings=True)
    layer = layers(tmp_path / "a")[LINEAR]
    assert found.source(layer, f"{LINEAR}.weight") == f"{LINEAR}.weight"
    assert found.source(layer, None) is None


@pytest.mark.parametrize(
    ("config", "copied"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, True),
        ({"architectures": ["GPT2LMHeadModel"]}, True),
        ({"architectures": ["GPT2LMHeadModel"], "tie_word_embeddings": True}, True),
        ({"architectures": ["LlamaForCausalLM"], "tie_word_embeddings": False}, False),
        ({"architectures": ["LlamaForSequenceClassification", "LlamaForCausalLM"]}, False),  # the first counts
        ({"architectures": ["BertModel"]}, False),
        ({"architectures": []}, False),
        ({"model_type": "llama"}, False),
        ({}, False),
    ],
)
def test_the_head_of_a_language_model_stays_where_only_its_embedding_moves(
    config: Any, copied: bool, ties: Ties, tmp_path: Path
) -> None:
    found = ties(WEIGHTS, **config)
    held = layers(tmp_path / "a")
    targets = [target(held[EMBEDDING]), target(held[LINEAR])]
    assert found.resolve(targets, {}) == targets
    assert found.copies == ({f"{HEAD}.weight": f"{EMBEDDING}.weight"} if copied else {})
    assert found.untied is copied
    assert len(found.notes) == copied


@pytest.mark.parametrize(("config", "untied"), [({"tie_word_embeddings": True}, True), (CAUSAL, False), ({}, False)])
def test_a_head_in_the_file_stays_as_it_is(config: Any, untied: bool, ties: Ties, tmp_path: Path) -> None:
    """A loader that is told to tie would overwrite it by the embedding."""
    found = ties({**WEIGHTS, HEAD: (7, 3)}, **config)
    targets = [target(layers(tmp_path / "a")[EMBEDDING])]
    assert found.resolve(targets, {}) == targets
    assert (found.copies, found.untied, found.notes) == ({}, untied, [])


def test_no_head_stays_where_no_embedding_moves(ties: Ties, tmp_path: Path) -> None:
    found = ties(WEIGHTS, **CAUSAL)
    targets = [target(layers(tmp_path / "a")[LINEAR])]
    assert found.resolve(targets, {}) == targets
    assert (found.copies, found.untied, found.notes) == ({}, False, [])


def test_head_and_embedding_of_one_update_stay_one_weight(ties: Ties, tmp_path: Path) -> None:
    found, held = ties(WEIGHTS, **CAUSAL), layers(tmp_path / "a")
    own, other = target(held[EMBEDDING]), target(held[HEAD], f"{EMBEDDING}.weight")
    assert found.resolve([other, own], {HEAD: EMBEDDING}) == [own]
    assert (found.copies, found.untied, found.notes) == ({}, False, [])


@pytest.mark.parametrize("both", [True, False], ids=["both get one", "the head alone gets one"])
def test_head_and_embedding_of_two_updates_become_two_weights(both: bool, ties: Ties, tmp_path: Path) -> None:
    found, held = ties(WEIGHTS, **CAUSAL), layers(tmp_path / "a")
    targets = [target(held[EMBEDDING])] * both + [target(held[HEAD], f"{EMBEDDING}.weight")]
    assert found.resolve(targets, {}) == targets
    assert (found.copies, found.untied) == ({}, True)
    [note] = found.notes
    wanted = f"{EMBEDDING}.weight … {HEAD}.weight … one weight … different updates … tie_word_embeddings: false"
    assert re.search(parts(wanted), note), note
