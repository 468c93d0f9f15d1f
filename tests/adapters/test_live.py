"""add_merged_adapter on a live PeftModel: what merging the saved folders and loading the result gives."""

import copy
from pathlib import Path
from typing import Any

import needs_torch  # noqa: F401
import numpy as np
import peft_zoo as zoo
import pytest
import torch
from peft import PeftModel, VeraConfig, get_peft_model
from torch import nn

import coremerge_ref as cm
from coremerge_ref.adapters import load, merge_folders
from coremerge_ref.errors import AdapterError, ParameterError

NAMES = ["first", "second", "third", "fourth"]
KINDS = [name for name, kind in zoo.KINDS.items() if all(c.peft_type == "LORA" for c in kind.configs)]


def live(kind: zoo.Kind, base: nn.Module) -> PeftModel:
    """A model with the adapters of the kind."""
    with zoo.quiet():
        model = get_peft_model(copy.deepcopy(base), copy.deepcopy(kind.configs[0]), NAMES[0])
        for name, config in zip(NAMES[1:], kind.configs[1:], strict=False):
            model.add_adapter(name, copy.deepcopy(config))
        torch.manual_seed(11)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    nn.init.normal_(parameter)
    return model.eval()


@pytest.mark.parametrize("method", ["ta", "dare+ties+iso"])
@pytest.mark.parametrize("name", KINDS)
def test_equal_to_merging_the_saved_folders(name: str, method: str, tmp_path: Path) -> None:
    kind = zoo.KINDS[name]
    base = zoo.seeded(kind)
    model = live(kind, base)
    names = list(model.peft_config)
    active, before = model.active_adapter, set(tmp_path.rglob("*"))
    with zoo.quiet():
        model.save_pretrained(str(tmp_path))
    paths = [tmp_path / each for each in names]
    weights = [1.0, -0.5, 2.0, 0.25][: len(names)]
    merge_folders(paths, tmp_path / "out", method, weights=weights, scale=0.5, allow_missing=True)
    written = set(tmp_path.rglob("*")) - before
    report = cm.add_merged_adapter(model, names, "merged", method, weights=weights, scale=0.5, allow_missing=True)
    assert (report.output, report.layers) == ("merged", len(load(tmp_path / "out")))
    assert (set(tmp_path.rglob("*")) - before, model.active_adapter) == (written, active)
    with zoo.quiet():
        want = PeftModel.from_pretrained(copy.deepcopy(base), str(tmp_path / "out")).eval()
    model.set_adapter("merged")
    torch.manual_seed(1)
    x = kind.inputs()
    x = x.float() if x.is_floating_point() else x
    with torch.no_grad():
        assert torch.equal(kind.output(model(x)), kind.output(want(x)))


@pytest.mark.parametrize("ragged", [False, True])
def test_the_report_and_the_config_are_of_the_new_adapter(ragged: bool) -> None:
    """Of one layer the second adapter leaves a direction out."""
    kind = zoo.KINDS["linear"]
    model = live(kind, zoo.seeded(kind))
    with torch.no_grad():
        model.base_model.model.b.c.lora_B["second"].weight[:, 0] = 0
    report = cm.add_merged_adapter(model, NAMES[:2], "merged", "ta", scale=0.5, ragged=ragged)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters() if ".merged." in name}
    ranks = {name: shape[0] for name, shape in shapes.items() if "lora_A" in name}
    assert report.ranks == (min(ranks.values()), max(ranks.values()))
    assert (report.ranks[0] < report.ranks[1]) is ragged
    assert report.bytes == 4 * sum(int(np.prod(shape)) for shape in shapes.values())
    assert (report.written, report.method, report.space, report.adapters) == (True, "ta", "core", 2)
    assert report.layers == len(ranks)
    assert report.seconds >= 0
    config = model.peft_config["merged"]
    assert config.inference_mode is False
    assert config.r in ranks.values()
    assert all(not p.requires_grad for name, p in model.named_parameters() if ".merged." in name)  # not active


def test_bfloat16_adapters(tmp_path: Path) -> None:
    kind = zoo.KINDS["linear"]
    model = live(kind, zoo.seeded(kind)).to(torch.bfloat16)
    with zoo.quiet():
        model.save_pretrained(str(tmp_path))
    merge_folders([tmp_path / name for name in NAMES[:2]], tmp_path / "out", "tsv")
    cm.add_merged_adapter(model, NAMES[:2], "merged", method="tsv")
    for path, update in load(tmp_path / "out").items():
        module = model.base_model.model.get_submodule(path)
        for got, want in ((module.lora_A, update.A), (module.lora_B, update.B)):
            assert np.array_equal(got["merged"].weight.detach().float().numpy(), want.astype(np.float32))


@pytest.mark.parametrize(
    ("adapters", "name", "error"),
    [
        (["first", "gone"], "merged", "expected some of 'first', 'second', 'third'"),
        ([], "merged", "at least one"),
        (NAMES[:2], "third", "does not have yet"),
        (NAMES[:2], "", "does not have yet"),
        (NAMES[:2], 3, "does not have yet"),
    ],
)
def test_names_that_do_not_fit(adapters: list[str], name: Any, error: str) -> None:
    kind = zoo.KINDS["linear"]
    model = live(kind, zoo.seeded(kind))
    with pytest.raises(ParameterError, match=error):
        cm.add_merged_adapter(model, adapters, name)
    assert list(model.peft_config) == NAMES[:3]


def test_models_and_adapters_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="PeftModel"):
        cm.add_merged_adapter(zoo.Mlp(), ["first"], "merged")
    model = get_peft_model(zoo.Square(), VeraConfig(r=4, target_modules=["0", "1", "2"]), "first")
    with pytest.raises(AdapterError, match="LoRA"):
        cm.add_merged_adapter(model, ["first"], "merged")
    bad = live(zoo.KINDS["linear"], zoo.seeded(zoo.KINDS["linear"]))
    with torch.no_grad():
        bad.base_model.model.a.lora_A["second"].weight[0, 0] = float("nan")
    with pytest.raises(AdapterError, match=r"second.*NaN"):
        cm.add_merged_adapter(bad, NAMES[:2], "merged")
    assert "merged" not in bad.peft_config
    with pytest.raises(ParameterError, match="full matrices"):
        cm.add_merged_adapter(bad, ["first", "third"], "merged", "ties", "full")


def test_load_gives_updates_by_layer(tmp_path: Path) -> None:
    kind = zoo.KINDS["patterns"]
    base = zoo.seeded(kind)
    path = zoo.save_adapters(kind, base, tmp_path)[1]
    updates = load(path)
    want = {name.removesuffix(".weight"): delta for name, delta in zoo.deltas(zoo.load(base, path)).items()}
    assert updates.keys() == want.keys()
    for layer, update in updates.items():
        assert isinstance(update, cm.LowRankUpdate)
        difference = np.linalg.norm(update.to_dense() - want[layer].numpy())
        assert difference <= 50 * 2.0**-23 * np.linalg.norm(want[layer].numpy())
    merged = cm.merge_adapters({layer: [update, update] for layer, update in updates.items()}, "mean")
    assert merged.keys() == updates.keys()
