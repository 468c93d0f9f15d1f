"""Tied weights get one update: what PEFT saves twice is merged once, with one mask."""

import copy
import json
from pathlib import Path
from typing import Any

import adapter_folders as folders
import needs_torch  # noqa: F401
import numpy as np
import peft_zoo as zoo
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.numpy import load_file, save_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from coremerge_ref.adapters import Adapter, load, merge_folders
from coremerge_ref.adapters.plan import planned
from coremerge_ref.adapters.tying import twins
from coremerge_ref.testing import THRESHOLD, ratio

EMBEDDING, HEAD = "model.embed_tokens", "lm_head"


def tied_model() -> nn.Module:
    torch.manual_seed(4)
    config = LlamaConfig(
        hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2, vocab_size=17, use_cache=False,
        tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def tied(folder: Path, seed: int, **fields: Any) -> Path:
    torch.manual_seed(seed)
    given = {"r": 2, "target_modules": ["embed_tokens", "q_proj"], "ensure_weight_tying": True, **fields}
    with zoo.quiet():
        model = get_peft_model(tied_model(), LoraConfig(init_lora_weights=False, **given))
        model.save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize("method", ["ta", "dare+ties", "tsv"])
def test_tied_modules_stay_tied(method: str, tmp_path: Path) -> None:
    paths = [tied(tmp_path / str(i), i, r=2 + i) for i in range(3)]
    assert {EMBEDDING, HEAD} <= load(paths[0]).keys()
    report = merge_folders(paths, tmp_path / "out", method)
    assert any(f"{EMBEDDING} and {HEAD} are tied" in note for note in report.notes)
    updates = load(tmp_path / "out")
    assert report.layers == len(updates) == 3
    assert np.any(updates[HEAD].to_dense())
    assert np.array_equal(updates[HEAD].to_dense(), updates[EMBEDDING].to_dense())
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["ensure_weight_tying"] is True
    changes = zoo.deltas(zoo.load(tied_model(), tmp_path / "out"))
    head, embedding = (changes[f"{name}.weight"].numpy() for name in (HEAD, EMBEDDING))
    assert ratio(head, embedding, float(np.linalg.norm(head)), 2.0**-52) < THRESHOLD  # PEFT multiplies them in turn


def test_full_size_output_has_both(tmp_path: Path) -> None:
    paths = [tied(tmp_path / str(i), i) for i in range(2)]
    merge_folders(paths, tmp_path / "out", "dare+ties", "full", dense=True)
    dense = load_file(tmp_path / "out" / "delta_weights.safetensors")
    assert np.array_equal(dense[f"{HEAD}.weight"], dense[f"{EMBEDDING}.weight"])


def test_modules_that_are_not_tied_in_every_adapter_are_merged_apart(tmp_path: Path) -> None:
    paths = [tied(tmp_path / str(i), i) for i in range(2)]
    file = paths[1] / "adapter_model.safetensors"
    tensors = {name: tensor * (1 + ("lm_head.lora_A" in name)) for name, tensor in load_file(file).items()}
    save_file(tensors, file)
    report = merge_folders(paths, tmp_path / "out", "ta")
    assert not any("tied" in note for note in report.notes)
    updates = load(tmp_path / "out")
    assert not np.array_equal(updates[HEAD].to_dense(), updates[EMBEDDING].to_dense())


def test_the_logits_are_those_of_the_sum(tmp_path: Path) -> None:
    base = tied_model()
    paths = [tied(tmp_path / str(i), i) for i in range(2)]
    merge_folders(paths, tmp_path / "out", "ta")
    total = copy.deepcopy(base).double()
    parameters = dict(total.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for path in paths:
            for name, delta in zoo.deltas(zoo.load(base, path)).items():
                if name != f"{HEAD}.weight":  # the same tensor as the embedding
                    parameters[name] += delta
        x = torch.tensor([[1, 2, 3]])
        want, got = total(x).logits, zoo.load(base, tmp_path / "out")(x).logits
    assert torch.linalg.norm(got - want) <= 1e3 * 2.0**-23 * torch.linalg.norm(want)


def saved_twice(folder: Path, seed: int, head: bool = True, **fields: Any) -> Adapter:
    """An embedding of 7 tokens, and the same factors as its head's, as PEFT saves them."""
    rng = np.random.default_rng(seed)
    A, B = rng.standard_normal((2, 7)).astype(np.float32), rng.standard_normal((3, 2)).astype(np.float32)
    tensors = {f"{EMBEDDING}.lora_embedding_A": A, f"{EMBEDDING}.lora_embedding_B": B}
    tensors |= {f"{HEAD}.lora_A.weight": B.T, f"{HEAD}.lora_B.weight": A.T} if head else {}
    tensors |= {"q.lora_A.weight": B.T, "q.lora_B.weight": np.ones((5, 2), np.float32)}
    return Adapter(folders.write(folder, {folders.PREFIX + name: array for name, array in tensors.items()}, **fields))


@pytest.mark.parametrize(
    ("second", "tied"),
    [
        ({}, True),
        ({"lora_alpha": 7}, True),
        ({"alpha_pattern": {HEAD: 3}}, False),  # the same factors, times another number
        ({"alpha_pattern": {"q": 3}}, True),
        ({"head": False}, False),
    ],
    ids=str,
)
def test_modules_of_one_update_in_every_adapter_are_tied(second: dict[str, Any], tied: bool, tmp_path: Path) -> None:
    adapters = [saved_twice(tmp_path / "a", 0), saved_twice(tmp_path / "b", 1, **second)]
    layers = planned(adapters).layers
    found = {path: [layer.path for layer in same] for path, same in twins(adapters, layers).items()}
    assert found == ({EMBEDDING: [HEAD]} if tied else {})


def test_modules_that_the_same_adapters_lack_are_tied(tmp_path: Path) -> None:
    tensors = {"q.lora_A.weight": np.ones((2, 3), np.float32), "q.lora_B.weight": np.ones((5, 2), np.float32)}
    path = folders.write(tmp_path / "b", {folders.PREFIX + name: array for name, array in tensors.items()})
    adapters = [saved_twice(tmp_path / "a", 0), Adapter(path)]
    assert twins(adapters, planned(adapters).layers).keys() == {EMBEDDING}
