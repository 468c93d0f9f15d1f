"""Adapters that PEFT really saves and that are no plain low-rank products are refused by name, with advice that works.

Each refusal's advice is followed here with PEFT itself, and what comes of it is merged.
"""

import copy
import json
from pathlib import Path
from typing import Any

import needs_torch  # noqa: F401
import numpy as np
import peft_zoo as zoo
import pytest
import torch
from adapter_folders import write
from peft import IA3Config, LoraConfig, MissConfig, PeftModel, VeraConfig, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.lora.conversion import save_as_lora
from safetensors.numpy import load_file, save_file
from torch import nn

from coremerge_ref.adapters import Adapter, merge_folders
from coremerge_ref.adapters.formats import READERS
from coremerge_ref.adapters.formats.base import PeftReader
from coremerge_ref.adapters.formats.refused import APPROXIMATE, CONVERT, EXTRACT, REFUSED_TYPES
from coremerge_ref.errors import AdapterError
from coremerge_ref.testing import THRESHOLD, ratio

MLP = {"target_modules": ["a", "c"]}


class Even(nn.Module):
    """Square layers of a size that every type takes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.c = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(torch.tanh(self.a(x)))


# model, config class and fields (made in the test: some classes warn), words of the message
REFUSED: dict[str, tuple[Any, Any, dict[str, Any], list[str]]] = {
    "dora": (zoo.Mlp, LoraConfig, {"use_dora": True, **MLP}, ["use_dora", EXTRACT]),
    "bias": (zoo.Mlp, LoraConfig, {"bias": "all", **MLP}, ["bias"]),
    "lora bias": (zoo.Mlp, LoraConfig, {"lora_bias": True, **MLP}, ["lora_bias"]),
    "modules to save": (zoo.Mlp, LoraConfig, {"target_modules": ["a"], "modules_to_save": ["c"]}, ["modules_to_save"]),
    "tokens": (
        zoo.llama,
        LoraConfig,
        {"target_modules": ["q_proj"], "trainable_token_indices": [0, 3]},
        ["trainable_token_indices"],
    ),
    "pissa": (zoo.Mlp, LoraConfig, {"r": 2, "init_lora_weights": "pissa", **MLP}, ["pissa", "TRAINED@INITIAL"]),
    "ia3": (zoo.Mlp, IA3Config, {"feedforward_modules": [], **MLP}, ["IA3", EXTRACT]),
    "vera without projections": (zoo.Mlp, VeraConfig, {"save_projection": False, **MLP}, ["save_projection"]),
    "miss bat": (Even, MissConfig, {"r": 4, "init_weights": "bat", **MLP}, ["'bat'", EXTRACT]),
    "miss mini": (Even, MissConfig, {"r": 4, "mini_r": 4, "init_weights": "mini", **MLP}, ["'mini'", CONVERT]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name_and_nothing_written(name: str, tmp_path: Path) -> None:
    model, config, fields, words = REFUSED[name]
    with zoo.quiet():
        kind = zoo.Kind(model, [config(**fields)], zoo.numbers(1))
        paths = zoo.save_adapters(kind, zoo.seeded(kind), tmp_path)
    with pytest.raises(AdapterError) as caught:
        merge_folders(paths, tmp_path / "out")
    assert all(word in str(caught.value) for word in [*words, str(paths[0])])
    assert not (tmp_path / "out").exists()


def test_grouped_convolutions_as_peft_saves_them(tmp_path: Path) -> None:
    class Grouped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, groups=2)

    kind = zoo.Kind(Grouped, [zoo.lora(["conv"])], zoo.numbers(1))
    paths = zoo.save_adapters(kind, zoo.seeded(kind), tmp_path)
    with pytest.raises(AdapterError, match="grouped"):
        Adapter(paths[0])


def test_every_type_that_peft_has_is_read_or_refused_by_name() -> None:
    read = {reader.peft_type for reader in READERS if issubclass(reader, PeftReader)}
    assert {kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING} == read | REFUSED_TYPES.keys()
    assert not read & REFUSED_TYPES.keys()


FIELDS: dict[str, dict[str, Any]] = {  # what a type needs to be made on Even
    "BOFT": {"boft_block_size": 4},
    "C3A": {"block_size": 4},
    "FOURIERFT": {"n_frequency": 10},
    "IA3": {"feedforward_modules": []},
    "OFT": {"oft_block_size": 4},
    "PSOFT": {"r": 4},
    "ROAD": {"group_size": 4},
    "SHIRA": {"r": 2},
    "WAVEFT": {"n_frequency": 10},
}


def of_type(name: str, base: nn.Module) -> PeftModel:
    """A model with an adapter of that type and random parameters."""
    config = {kind.value: made for kind, made in PEFT_TYPE_TO_CONFIG_MAPPING.items()}[name]
    torch.manual_seed(3)
    with zoo.quiet():
        model = get_peft_model(copy.deepcopy(base), config(**MLP, **FIELDS.get(name, {})))
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    return model.eval()


def weights_changed(base: nn.Module, model: PeftModel) -> dict[str, torch.Tensor]:
    """What merge_and_unload changes in the layers' weights."""
    with zoo.quiet():
        merged = copy.deepcopy(model).merge_and_unload().state_dict()
    return {layer: merged[f"{layer}.weight"] - base.state_dict()[f"{layer}.weight"] for layer in "ac"}


@pytest.mark.parametrize("name", [name for name, (_, todo) in REFUSED_TYPES.items() if todo in (APPROXIMATE, CONVERT)])
def test_types_that_peft_converts(name: str, tmp_path: Path) -> None:
    base = Even().eval()
    model = of_type(name, base)
    with zoo.quiet():
        model.save_pretrained(str(tmp_path / "a"))
    with pytest.raises(AdapterError, match="save_as_lora"):
        merge_folders([tmp_path / "a"], tmp_path / "out", "ta")
    with zoo.quiet():
        save_as_lora(str(tmp_path / "b"), model, rank=4 if REFUSED_TYPES[name][1] == CONVERT else 16)
    merge_folders([tmp_path / "b"], tmp_path / "out", "ta")
    want = weights_changed(base, model)
    for layer, got in zoo.deltas(zoo.load(base, tmp_path / "out")).items():
        change = want[layer.removesuffix(".weight")]
        size = float(torch.linalg.norm(change) + torch.linalg.norm(base.state_dict()[layer]))
        assert ratio(got.numpy(), change.numpy(), scale=size, eps=2.0**-23) <= THRESHOLD


@pytest.mark.parametrize("name", [name for name, (_, todo) in REFUSED_TYPES.items() if todo == EXTRACT])
def test_types_that_depend_on_the_base(name: str, tmp_path: Path) -> None:
    base = Even().eval()
    model = of_type(name, base)
    with zoo.quiet():
        model.save_pretrained(str(tmp_path / "a"))
    with pytest.raises(AdapterError, match="merge_and_unload"):
        merge_folders([tmp_path / "a"], tmp_path / "out", "ta")
    with pytest.raises(TypeError), zoo.quiet():  # else the simpler advice would do
        save_as_lora(str(tmp_path / "b"), model, rank=4)
    want = weights_changed(base, model)
    tensors = {}
    for layer, change in want.items():  # the LoRA of the difference, by an SVD
        U, S, Vh = torch.linalg.svd(change)
        tensors[f"base_model.model.{layer}.lora_A.weight"] = Vh.numpy()
        tensors[f"base_model.model.{layer}.lora_B.weight"] = (U * S).detach().numpy()
    write(tmp_path / "b", tensors, r=16, lora_alpha=16, target_modules=["a", "c"])
    merge_folders([tmp_path / "b"], tmp_path / "out", "ta")
    for layer, got in zoo.deltas(zoo.load(base, tmp_path / "out")).items():
        change = want[layer.removesuffix(".weight")]
        size = float(torch.linalg.norm(change))
        assert ratio(got.numpy(), change.numpy(), scale=size, eps=2.0**-23) <= THRESHOLD


@pytest.mark.parametrize("name", REFUSED_TYPES)
def test_the_message_of_every_refused_type_is_one_line(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", peft_type=name)
    with pytest.raises(AdapterError) as caught:
        Adapter(folder)
    what, todo = REFUSED_TYPES[name]
    assert f"peft_type {name}: refused: {what}; {todo}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_miss_mini_is_exact_once_peft_converted_it(tmp_path: Path) -> None:
    base = Even().eval()
    torch.manual_seed(1)
    with zoo.quiet():
        model = get_peft_model(copy.deepcopy(base), MissConfig(r=4, mini_r=4, init_weights="mini", **MLP))
        for name, parameter in model.named_parameters():
            if "miss" in name:
                nn.init.normal_(parameter)
        save_as_lora(str(tmp_path / "a"), model, rank=4)
    merge_folders([tmp_path / "a"], tmp_path / "out", "ta")
    want = weights_changed(base, model)
    for layer, got in zoo.deltas(zoo.load(base, tmp_path / "out")).items():
        change = want[layer.removesuffix(".weight")]
        size = float(torch.linalg.norm(change) + torch.linalg.norm(base.state_dict()[layer]))
        assert ratio(got.numpy(), change.numpy(), scale=size, eps=2.0**-23) <= THRESHOLD


def test_vera_without_projections_is_exact_once_peft_converted_it(tmp_path: Path) -> None:
    base = zoo.Square().eval()
    with zoo.quiet():
        config = VeraConfig(r=4, target_modules=["0", "1"], save_projection=False, d_initial=0.3)
        model = get_peft_model(copy.deepcopy(base), config)
        for name, parameter in model.named_parameters():
            if "lambda" in name:
                nn.init.normal_(parameter)
        model.save_pretrained(str(tmp_path / "a"))
        with pytest.raises(AdapterError, match="save_as_lora"):
            Adapter(tmp_path / "a")
        loaded = PeftModel.from_pretrained(copy.deepcopy(base), str(tmp_path / "a"))
        save_as_lora(str(tmp_path / "b"), loaded, rank=4)
    merge_folders([tmp_path / "b"], tmp_path / "out", "ta")
    want, got = zoo.deltas(loaded), zoo.deltas(zoo.load(base, tmp_path / "out"))
    for layer, change in want.items():
        size = float(torch.linalg.norm(change))
        assert ratio(got[layer].numpy(), change.numpy(), scale=size, eps=2.0**-23) <= THRESHOLD


def test_the_parent_of_several_adapters_names_those_in_it(tmp_path: Path) -> None:
    base = zoo.Mlp()
    with zoo.quiet():
        model = get_peft_model(copy.deepcopy(base), zoo.lora(["a"]), adapter_name="math")
        model.add_adapter("code", zoo.lora(["c"]))
        model.save_pretrained(str(tmp_path / "a"))
    with pytest.raises(AdapterError, match=r"folder of adapters.*'code', 'math'"):
        Adapter(tmp_path / "a")
    assert len(Adapter(tmp_path / "a" / "math").modules) == 2  # a and b.a


def test_pefts_conversion_loses_the_magnitudes_of_dora_so_nobody_is_sent_there(tmp_path: Path) -> None:
    base = zoo.Mlp().eval()
    torch.manual_seed(1)
    with zoo.quiet():
        model = get_peft_model(copy.deepcopy(base), LoraConfig(r=2, use_dora=True, init_lora_weights=False, **MLP))
        for name, parameter in model.named_parameters():
            if "magnitude" in name:
                nn.init.uniform_(parameter, 1, 2)
        save_as_lora(str(tmp_path / "b"), model, rank=5)
        model.save_pretrained(str(tmp_path / "a"))
        whole = copy.deepcopy(model).merge_and_unload().state_dict()["a.weight"] - base.state_dict()["a.weight"]
    converted = zoo.deltas(zoo.load(base, tmp_path / "b"))["a.weight"]
    assert torch.linalg.norm(converted - whole) > 0.5 * torch.linalg.norm(whole)
    with pytest.raises(AdapterError) as caught:
        Adapter(tmp_path / "a")
    assert "save_as_lora" not in str(caught.value)


def test_a_sharded_adapter_is_read(tmp_path: Path) -> None:
    kind = zoo.KINDS["linear"]
    whole = zoo.save_adapters(kind, zoo.seeded(kind), tmp_path)[0]
    tensors = load_file(whole / "adapter_model.safetensors")
    folder = write(tmp_path / "sharded", {})
    (folder / "adapter_config.json").write_text((whole / "adapter_config.json").read_text())
    (folder / "adapter_model.safetensors").unlink()
    places = {name: f"adapter_model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(tensors)}
    for file in {*places.values()}:
        save_file({name: tensors[name] for name in tensors if places[name] == file}, folder / file)
    index = folder / "adapter_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    merge_folders([whole], tmp_path / "one", "ta")
    merge_folders([folder], tmp_path / "two", "ta")
    first, second = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    record = json.loads((tmp_path / "two" / "coremerge.json").read_text())
    assert len(record["inputs"][0]["sha256"]) == 4
    for change in (
        {"weight_map": {**places, "more": "adapter_model-00001-of-00002.safetensors"}},
        {"weight_map": dict.fromkeys(places, "../x.safetensors")},
        {"weight_map": dict.fromkeys(places, "adapter_model-00001-of-00002.safetensors")},
        {"weight_map": {}},
        {},
    ):
        index.write_text(json.dumps(change))
        with pytest.raises(AdapterError, match="index"):
            Adapter(folder)


def test_a_quantized_base_is_named_and_the_unquantized_one_works(tmp_path: Path) -> None:
    base = zoo.Mlp()
    with zoo.quiet():
        model = get_peft_model(copy.deepcopy(base), VeraConfig(r=4, d_initial=0.3, **MLP))
        model.save_pretrained(str(tmp_path / "a"))
    packed = {f"{layer}.weight": np.zeros((24, 1), np.uint8) for layer in ("a", "b.a", "b.c")}
    save_file(packed, tmp_path / "packed.safetensors")
    with pytest.raises(AdapterError, match=r"quantized base model.*--base"):
        merge_folders([tmp_path / "a"], tmp_path / "out", base=tmp_path / "packed.safetensors")
    plain = {name: weight.detach().numpy() for name, weight in base.state_dict().items()}
    save_file(plain, tmp_path / "plain.safetensors")
    merge_folders([tmp_path / "a"], tmp_path / "out", base=tmp_path / "plain.safetensors")


@pytest.mark.parametrize("order", [1, -1])
def test_one_base_in_float32_and_in_bfloat16_is_no_conflict(order: int, tmp_path: Path) -> None:
    kind = zoo.KINDS["llama embeddings"]
    base = zoo.seeded(kind)
    paths = []
    for name, model in (("wide", base), ("narrow", copy.deepcopy(base).to(torch.bfloat16))):
        paths.append(zoo.save_adapters(zoo.Kind(kind.model, kind.configs[:1], kind.inputs), model, tmp_path / name)[0])
    merge_folders(paths[::order], tmp_path / "out", "ta")
    saved = load_file(tmp_path / "out" / "adapter_model.safetensors")
    embedding = next(array for name, array in saved.items() if name.endswith("embed_tokens.base_layer.weight"))
    assert embedding.dtype == np.float32  # the one that holds both
    assert np.array_equal(embedding, base.state_dict()["model.embed_tokens.weight"].numpy())


def test_heads_that_peft_adds_itself_are_refused_with_advice_that_works(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    settings = LlamaConfig(
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        vocab_size=19,
        pad_token_id=0,
    )
    paths = []
    for t in range(2):
        torch.manual_seed(t)
        with zoo.quiet():
            model = get_peft_model(LlamaForSequenceClassification(settings), zoo.lora(["q_proj"], task_type="SEQ_CLS"))
            paths.append(tmp_path / str(t))
            model.save_pretrained(str(paths[-1]))
    with pytest.raises(AdapterError) as caught:
        merge_folders(paths, tmp_path / "out", "ta")
    assert "--others" in str(caught.value)
    assert "retrain without" not in str(caught.value)
    for how in ("first", "mean", "drop"):
        merge_folders(paths, tmp_path / how, "ta", others=how)
