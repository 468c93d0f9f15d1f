"""Adapters that PEFT really saves and that are no plain low-rank products are refused by name."""

from pathlib import Path
from typing import Any

import peft_zoo as zoo
import pytest
from peft import AdaLoraConfig, IA3Config, LoHaConfig, LoraConfig, VeraConfig
from torch import nn

from coremerge_ref.adapters import Adapter, merge_folders
from coremerge_ref.errors import AdapterError

MLP = {"target_modules": ["a", "c"]}
# model, config class and fields (made in the test: some classes warn), words of the message
REFUSED: dict[str, tuple[Any, Any, dict[str, Any], list[str]]] = {
    "dora": (zoo.Mlp, LoraConfig, {"use_dora": True, **MLP}, ["use_dora"]),
    "bias": (zoo.Mlp, LoraConfig, {"bias": "all", **MLP}, ["bias"]),
    "lora bias": (zoo.Mlp, LoraConfig, {"lora_bias": True, **MLP}, ["lora_bias"]),
    "modules to save": (zoo.Mlp, LoraConfig, {"target_modules": ["a"], "modules_to_save": ["c"]}, ["modules_to_save"]),
    "tokens": (
        zoo.llama,
        LoraConfig,
        {"target_modules": ["q_proj"], "trainable_token_indices": [0, 3]},
        ["trainable_token_indices"],
    ),
    "pissa": (zoo.Mlp, LoraConfig, {"r": 2, "init_lora_weights": "pissa", **MLP}, ["pissa"]),
    "loha": (zoo.Mlp, LoHaConfig, MLP, ["LOHA"]),
    "ia3": (zoo.Mlp, IA3Config, {"feedforward_modules": [], **MLP}, ["IA3"]),
    "adalora": (zoo.Mlp, AdaLoraConfig, {"total_step": 10, **MLP}, ["ADALORA"]),
    "vera without projections": (zoo.Mlp, VeraConfig, {"save_projection": False, **MLP}, ["save_projection"]),
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
