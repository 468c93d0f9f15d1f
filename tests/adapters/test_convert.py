"""Conversions keep the update: bit for bit where factors are kept; what is not exact is refused with the reason."""

import copy
import json
from pathlib import Path
from typing import Any

import needs_torch  # noqa: F401
import numpy as np
import peft_zoo as zoo
import pytest
import torch
from gguf_files import gguf_file, gguf_tensors
from peft import AdaLoraConfig, LoHaConfig, get_peft_model
from safetensors.numpy import load_file, save_file
from torch import nn

from coremerge_ref.adapters import Adapter
from coremerge_ref.adapters.convert import convert_adapter
from coremerge_ref.errors import AdapterError, ParameterError
from coremerge_ref.testing import THRESHOLD, ratio

MLP = {"target_modules": ["a", "c"]}


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def updates(path: Path) -> dict[str, np.ndarray]:
    """ΔW of every module, as its own reader has it, by path."""
    adapter = Adapter(path)
    return {adapter.modules[n].path: u.to_dense() for n, u in adapter.load(adapter.modules).items()}


def check(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> None:
    assert got.keys() == want.keys()
    for name, change in want.items():
        size = float(np.linalg.norm(change))
        assert ratio(got[name], change, scale=size, eps=2.0**-23) <= THRESHOLD, name


@pytest.mark.parametrize("name", ["rslora", "patterns", "conv2d", "embedding", "attention", "llama embeddings"])
def test_peft_to_peft_keeps_factors_and_peft_loads_them(name: str, tmp_path: Path) -> None:
    kind = zoo.KINDS[name]
    base = zoo.seeded(kind)
    path = zoo.save_adapters(kind, base, tmp_path)[0]
    report = convert_adapter(path, tmp_path / "out", "peft")
    assert report.computed == 0
    before, after = (load_file(folder / "adapter_model.safetensors") for folder in (path, tmp_path / "out"))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[tensor], after[tensor]) for tensor in before)
    want, got = (zoo.deltas(zoo.load(base, folder)) for folder in (path, tmp_path / "out"))
    check({n: d.numpy() for n, d in got.items()}, {n: d.numpy() for n, d in want.items()})


@pytest.mark.parametrize(
    "config",
    [
        lambda: LoHaConfig(r=2, alpha=3, rank_pattern={"a": 1}, init_weights=False, **MLP),
        lambda: AdaLoraConfig(total_step=10, init_r=4, lora_alpha=7, **MLP),
    ],
)
def test_other_peft_types_become_lora(config: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    base = zoo.Mlp().eval()
    with zoo.quiet():
        model = get_peft_model(copy.deepcopy(base), config())
        for parameter in model.parameters():
            if parameter.requires_grad and parameter.ndim > 1:
                nn.init.normal_(parameter)
        model.save_pretrained(str(tmp_path / "a"))
    convert_adapter(tmp_path / "a", tmp_path / "out", "peft")
    want = {n: d.numpy() for n, d in zoo.deltas(model).items()}
    check({n: d.detach().numpy() for n, d in zoo.deltas(zoo.load(base, tmp_path / "out")).items()}, want)


@pytest.mark.parametrize("name", ["linear", "patterns", "embedding"])
def test_peft_to_mlx(name: str, tmp_path: Path) -> None:
    kind = zoo.KINDS[name]
    path = zoo.save_adapters(kind, zoo.seeded(kind), tmp_path)[0]
    convert_adapter(path, tmp_path / "mlx", "mlx")
    tensors = load_file(tmp_path / "mlx" / "adapters.safetensors")
    config = json.loads((tmp_path / "mlx" / "adapter_config.json").read_text())
    scale, rank = config["lora_parameters"]["scale"], config["lora_parameters"]["rank"]
    for module, change in updates(path).items():
        a, b = (tensors[f"{module}.lora_{x}"].astype(np.float64) for x in "ab")
        assert a.shape[1] == b.shape[0] == rank
        product = scale * (a @ b)
        size = float(np.linalg.norm(change))
        embedded = name == "embedding" and module == "emb"
        assert ratio(product if embedded else product.T, change, scale=size, eps=2.0**-23) <= THRESHOLD


def test_peft_to_mlx_and_back(tmp_path: Path) -> None:
    kind = zoo.KINDS["linear"]
    base = zoo.seeded(kind)
    path = zoo.save_adapters(kind, base, tmp_path)[0]
    convert_adapter(path, tmp_path / "mlx", "mlx")
    convert_adapter(tmp_path / "mlx", tmp_path / "back", "peft")
    before, after = (load_file(folder / "adapter_model.safetensors") for folder in (path, tmp_path / "back"))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[tensor], after[tensor]) for tensor in before)
    want, got = (zoo.deltas(zoo.load(base, folder)) for folder in (path, tmp_path / "back"))
    check({n: d.numpy() for n, d in got.items()}, {n: d.numpy() for n, d in want.items()})


def diffusers_file(path: Path) -> Path:
    tensors = {}
    for t, (module, r) in enumerate((("unet.mid.to_q", 2), ("unet.mid.proj_in", 3), ("text_encoder.l.0.k_proj", 2))):
        ones = (1, 1) if module.endswith("proj_in") else ()
        tensors[f"{module}.lora_A.weight"] = draw(2 * t, r, 5, *ones)
        tensors[f"{module}.lora_B.weight"] = draw(2 * t + 1, 6, r, *ones)
    fields = {"unet.r": 2, "unet.lora_alpha": 6, "unet.rank_pattern": {"mid.proj_in": 3}, "text_encoder.r": 2}
    save_file(tensors, path, {"lora_adapter_metadata": json.dumps(fields)})
    return path


def test_diffusers_to_kohya_and_back_where_names_allow(tmp_path: Path) -> None:
    given = diffusers_file(tmp_path / "d.safetensors")
    convert_adapter(given, tmp_path / "k.safetensors", "kohya")
    names = {
        "unet.mid.to_q": "lora_unet_mid_to_q",
        "unet.mid.proj_in": "lora_unet_mid_proj_in",
        "text_encoder.l.0.k_proj": "lora_te_l_0_k_proj",
    }
    before, after = load_file(given), load_file(tmp_path / "k.safetensors")
    for name, kohya in names.items():
        assert np.array_equal(before[f"{name}.lora_A.weight"], after[f"{kohya}.lora_down.weight"])
        assert np.array_equal(before[f"{name}.lora_B.weight"], after[f"{kohya}.lora_up.weight"])
    check(updates(tmp_path / "k.safetensors"), {names[name]: change for name, change in updates(given).items()})
    with pytest.raises(AdapterError, match="save_lora_weights"):
        convert_adapter(tmp_path / "k.safetensors", tmp_path / "b.safetensors", "diffusers")
    convert_adapter(given, tmp_path / "again.safetensors", "diffusers")
    check(updates(tmp_path / "again.safetensors"), updates(given))


def test_kohya_files_that_convert_load_in_diffusers(tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    from diffusers.loaders.lora_conversion_utils import _convert_non_diffusers_lora_to_diffusers

    convert_adapter(diffusers_file(tmp_path / "d.safetensors"), tmp_path / "k.safetensors", "kohya")
    from safetensors.torch import load_file as load_torch

    state, alphas = _convert_non_diffusers_lora_to_diffusers(load_torch(tmp_path / "k.safetensors"))
    assert {name.partition(".")[0] for name in state} == {"unet", "text_encoder"}
    assert sorted(alphas.values()) == [6, 6, 8]


@pytest.mark.parametrize(
    ("make", "to", "word"),
    [
        (lambda p: zoo.save_adapters(zoo.KINDS["linear"], zoo.seeded(zoo.KINDS["linear"]), p)[0], "kohya", "pipeline"),
        (lambda p: zoo.save_adapters(zoo.KINDS["linear"], zoo.seeded(zoo.KINDS["linear"]), p)[0], "diffusers", "part"),
        (lambda p: zoo.save_adapters(zoo.KINDS["conv2d"], zoo.seeded(zoo.KINDS["conv2d"]), p)[0], "mlx", "conv"),
        (lambda p: diffusers_file(p / "d.safetensors"), "mlx", "PEFT adapters"),
        (lambda p: diffusers_file(p / "d.safetensors"), "peft", "architecture"),
        (lambda p: gguf_file(p / "x.gguf", gguf_tensors(0, 2)), "peft", "architecture"),
    ],
)
def test_what_is_not_exact_is_refused_with_the_reason(make: Any, to: str, word: str, tmp_path: Path) -> None:
    given = make(tmp_path)
    with pytest.raises(AdapterError, match=word) as caught:
        convert_adapter(given, tmp_path / "out", to)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_format_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="peft, kohya, diffusers, mlx"):
        convert_adapter(tmp_path, tmp_path / "out", "onnx")
