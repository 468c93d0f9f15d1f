"""Adapters whose initialization changed the base, given with their start, are what PEFT's conversion makes of them."""

import copy
from pathlib import Path
from typing import Any

import needs_torch  # noqa: F401
import peft_zoo as zoo
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from coremerge_ref.adapters import merge_folders
from coremerge_ref.errors import AdapterError
from coremerge_ref.testing import THRESHOLD, ratio


def saved(init: Any, folder: Path, **fields: Any) -> nn.Module:
    """The base; `folder` has trained, initial and PEFT's own conversion, saved as PEFT documents it."""
    torch.manual_seed(7)
    base = zoo.Mlp().eval()
    with zoo.quiet():
        settings = LoraConfig(
            **{"r": 2, "lora_alpha": 3, "target_modules": ["a", "c"], "init_lora_weights": init, **fields}
        )
        model = get_peft_model(copy.deepcopy(base), settings)
        model.peft_config["default"].init_lora_weights = True  # PEFT's recipe: the saved start is a plain adapter
        model.save_pretrained(str(folder / "initial"))
        model.peft_config["default"].init_lora_weights = init
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter += 0.3 * torch.randn_like(parameter)
        model.save_pretrained(str(folder / "trained"))
        model.save_pretrained(
            str(folder / "converted"), path_initial_model_for_weight_conversion=str(folder / "initial")
        )
    return base


@pytest.mark.parametrize("init", ["pissa", "olora"])
@pytest.mark.parametrize("rslora", [False, True])
def test_trained_at_initial_equals_pefts_conversion(init: str, rslora: bool, tmp_path: Path) -> None:
    base = saved(init, tmp_path, use_rslora=rslora)
    given = f"{tmp_path / 'trained'}@{tmp_path / 'initial'}"
    merge_folders([given, tmp_path / "converted"], tmp_path / "out", "ta")
    want = zoo.deltas(zoo.load(base, tmp_path / "converted"))
    for layer, got in zoo.deltas(zoo.load(base, tmp_path / "out")).items():
        size = 2 * float(torch.linalg.norm(want[layer]))
        # the factors' products are larger than their difference: by ‖B₁‖ ‖A₁‖ + ‖B₀‖ ‖A₀‖, here below 20 times
        assert ratio(got.numpy(), 2 * want[layer].numpy(), scale=size, eps=2.0**-23, kappa=20) <= THRESHOLD


def test_without_its_start_the_message_says_how_to_give_it(tmp_path: Path) -> None:
    saved("pissa", tmp_path)
    with pytest.raises(AdapterError, match="TRAINED@INITIAL"):
        merge_folders([tmp_path / "trained"], tmp_path / "out", "ta")


def test_a_start_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    saved("pissa", tmp_path / "one")
    saved("pissa", tmp_path / "two", target_modules=["a"])
    saved("pissa", tmp_path / "three", lora_alpha=7)
    for other, word in (("two", "module"), ("three", "scaling")):
        with pytest.raises(AdapterError, match=word):
            merge_folders([f"{tmp_path}/one/trained@{tmp_path}/{other}/initial"], tmp_path / "out", "ta")


def test_a_folder_whose_name_has_an_at_is_a_folder(tmp_path: Path) -> None:
    saved(True, tmp_path)
    (tmp_path / "trained").rename(tmp_path / "a@b")
    assert merge_folders([tmp_path / "a@b"], tmp_path / "out", "ta").layers == 3


def test_a_merge_of_it_is_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from coremerge_ref.cli import build

    saved("pissa", tmp_path)
    merge_folders([f"{tmp_path / 'trained'}@{tmp_path / 'initial'}"], tmp_path / "out", "ta")
    build()(["verify", str(tmp_path / "out")], standalone_mode=False)
    assert "bit for bit" in capsys.readouterr().out
    config = tmp_path / "initial" / "adapter_config.json"
    config.write_text(config.read_text() + " ")
    assert build()(["verify", str(tmp_path / "out")], standalone_mode=False) == 1
    assert "initial/adapter_config.json" in capsys.readouterr().err
