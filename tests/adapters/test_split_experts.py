"""Adapters that hold experts one by one, as trained with transformers 4, load where 5 has fused them."""

import copy
import re
import warnings
from pathlib import Path
from typing import Any

import needs_torch  # noqa: F401
import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.numpy import load_file, save_file
from torch import nn
from transformers import MixtralConfig, MixtralForCausalLM

from coremerge_ref.adapters import Adapter, merge_folders
from coremerge_ref.testing import THRESHOLD

EXPERTS, HIDDEN, INNER = 3, 8, 12


def mixtral() -> nn.Module:
    torch.manual_seed(6)
    config = MixtralConfig(
        hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        vocab_size=17, num_local_experts=EXPERTS, num_experts_per_tok=2, use_cache=False,
    )  # fmt: skip
    config._experts_implementation = "eager"  # the grouped kernel knows no float64
    return MixtralForCausalLM(config).eval()


def adapter(folder: Path, seed: int, dead: bool = False) -> Path:
    """Per-expert names of transformers 4; with `dead`, one direction of one expert is zero."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for layer in range(2):
        at = f"base_model.model.model.layers.{layer}"
        shapes = {f"{at}.self_attn.q_proj": (HIDDEN, HIDDEN)}
        for expert in range(EXPERTS):
            e = f"{at}.block_sparse_moe.experts.{expert}"
            shapes |= {f"{e}.w1": (INNER, HIDDEN), f"{e}.w2": (HIDDEN, INNER), f"{e}.w3": (INNER, HIDDEN)}
        for name, (m, n) in shapes.items():
            tensors[f"{name}.lora_A.weight"] = rng.standard_normal((2, n)).astype(np.float32)
            tensors[f"{name}.lora_B.weight"] = rng.standard_normal((m, 2)).astype(np.float32)
            if dead and "experts.1.w1" in name:
                tensors[f"{name}.lora_B.weight"][:, 1] = 0
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    targets = '["q_proj", "w1", "w2", "w3"]'
    (folder / "adapter_config.json").write_text(
        f'{{"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 2, "target_modules": {targets}}}'
    )
    return folder


def added(base: nn.Module, paths: list[Path]) -> nn.Module:
    """A float64 copy of the base with Σ B A added to the fused weights, by plain additions."""
    model = copy.deepcopy(base).double()
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for path in paths:
            tensors = load_file(path / "adapter_model.safetensors")
            for name in [n.removesuffix(".lora_A.weight") for n in tensors if n.endswith(".lora_A.weight")]:
                A, B = (torch.from_numpy(tensors[f"{name}.lora_{x}.weight"]).double() for x in "AB")
                where = name.removeprefix("base_model.model.").replace("block_sparse_moe", "mlp")
                found = re.fullmatch(r"(.*\.experts)\.(\d+)\.(w[123])", where)
                if not found:
                    weights[f"{where}.weight"] += B @ A
                    continue
                stem, expert, which = found[1], int(found[2]), found[3]
                if which == "w2":
                    weights[f"{stem}.down_proj"][expert] += B @ A
                else:
                    rows = slice(0, INNER) if which == "w1" else slice(INNER, 2 * INNER)
                    weights[f"{stem}.gate_up_proj"][expert, rows] += B @ A
    return model


def loaded(base: nn.Module, folder: Path, transformers: bool) -> tuple[Any, set[str]]:
    """(the model with the adapter, what the loader warned of)."""
    model = copy.deepcopy(base)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if transformers:
            model.load_adapter(str(folder))
        else:
            model = PeftModel.from_pretrained(model, str(folder))
    return model.double().eval(), {str(each.message) for each in said}


@pytest.mark.parametrize("transformers", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("dead", [False, True])
def test_merged_experts_do_what_the_inputs_do_together(
    dead: bool, ragged: bool, transformers: bool, tmp_path: Path
) -> None:
    base = mixtral()
    paths = [adapter(tmp_path / str(i), i, dead) for i in range(2)]
    merge_folders(paths, tmp_path / "out", "ta", ragged=ragged)
    ranks = {m.rank for name, m in Adapter(tmp_path / "out").modules.items() if "experts" in name}
    assert ranks == {4}
    with torch.no_grad():
        x = torch.tensor([[1, 2, 3, 4]])
        want, plain = added(base, paths)(x).logits, copy.deepcopy(base).double()(x).logits
        model, said = loaded(base, tmp_path / "out", transformers)
        got = model(x).logits
    assert said <= loaded(base, paths[0], transformers)[1]
    assert torch.linalg.norm(want - plain) > 0.01 * torch.linalg.norm(plain)
    assert torch.linalg.norm(got - want) <= 20 * THRESHOLD * 2.0**-23 * torch.linalg.norm(want)


def test_the_inputs_load_alike(tmp_path: Path) -> None:
    """What this file takes for granted: loaders place per-expert adapters as `added` does."""
    base = mixtral()
    path = adapter(tmp_path / "a", 0)
    with torch.no_grad():
        x = torch.tensor([[1, 2, 3, 4]])
        want, got = added(base, [path])(x).logits, loaded(base, path, False)[0](x).logits
    assert torch.linalg.norm(got - want) <= 20 * THRESHOLD * 2.0**-23 * torch.linalg.norm(want)
