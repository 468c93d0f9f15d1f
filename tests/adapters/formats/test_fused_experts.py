"""LoRA on fused experts (`target_parameters`): read as one product per expert, merged, written back, loaded by PEFT."""

import copy
from pathlib import Path
from typing import Any

import needs_torch  # noqa: F401
import peft_zoo as zoo
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from coremerge_ref.adapters import Adapter, merge_folders
from coremerge_ref.errors import AdapterError
from coremerge_ref.testing import THRESHOLD, ratio

WEIGHTS = (0.7, -0.3)


class Experts(nn.Module):
    """Three experts of two fused weights (expert, out, in), as transformers 5 stacks them."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.randn(3, 10, 6) / 3)
        self.down = nn.Parameter(torch.randn(3, 6, 5) / 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for e in range(3):
            gate, value = (x @ self.up[e].T).chunk(2, dim=-1)
            x = x + (torch.tanh(gate) * value) @ self.down[e].T
        return x


class Mixture(nn.Module):
    """Two layers of experts after a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleDict({"proj": nn.Linear(6, 6), "experts": Experts()}) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer["experts"](torch.tanh(layer["proj"](x)))
        return x


def config(parameters: list[str], **changes: Any) -> LoraConfig:
    return LoraConfig(**{"r": 2, "lora_alpha": 3, "target_modules": [], "target_parameters": parameters, **changes})


def saved(base: nn.Module, made: LoraConfig, folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    with zoo.quiet():
        model = get_peft_model(copy.deepcopy(base), made)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                nn.init.normal_(parameter)
        model.save_pretrained(str(folder))
    return folder


def load(base: nn.Module, folder: Path) -> PeftModel:
    with zoo.quiet():  # PEFT says that patterns for parameters match no module, and heeds them
        return PeftModel.from_pretrained(copy.deepcopy(base).double(), str(folder)).double().eval()


def fused(base: nn.Module, folder: Path) -> dict[str, torch.Tensor]:
    """What the adapter adds to each parameter, by PEFT's merge_and_unload in float64."""
    before = base.double().state_dict()
    after = load(base, folder).merge_and_unload().state_dict()
    return {name: change for name in before if (change := after[name] - before[name]).any()}


BOTH = ["experts.up", "experts.down"]
CASES = {
    "two parameters of a module": (BOTH, {}, {}),
    "one parameter": (["experts.down"], {}, {}),
    "beside modules, of two ranks": (BOTH, {"target_modules": ["proj"]}, {"target_modules": ["proj"], "r": 4}),
    "rslora": (["experts.up"], {"use_rslora": True, "r": 3}, {"r": 1}),
    "a pattern": (BOTH, {"rank_pattern": {r"layers.0.experts\..*": 3}, "alpha_pattern": {r"1.experts\..*": 5}}, {}),
    "a two-dimensional weight": ([*BOTH, "proj.weight"], {}, {"r": 3}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_merge_is_the_sum_and_stays_on_the_parameters(name: str, tmp_path: Path) -> None:
    parameters, *changes = CASES[name]
    torch.manual_seed(7)
    base = Mixture().eval()
    paths = [saved(base, config(parameters, **c), tmp_path / str(t), 50 + t) for t, c in enumerate(changes)]
    merge_folders(paths, tmp_path / "out", "ta", weights=WEIGHTS)
    each = [fused(base, path) for path in paths]
    got = fused(base, tmp_path / "out")
    assert got.keys() == each[0].keys() == each[1].keys()
    for layer, change in got.items():
        parts = [w * changes[layer] for w, changes in zip(WEIGHTS, each, strict=True)]
        size = sum(float(torch.linalg.norm(part)) for part in parts)
        assert ratio(change.numpy(), sum(parts).numpy(), scale=size, eps=2.0**-23) <= THRESHOLD, layer
    with torch.no_grad():
        x = torch.randn(4, 6, dtype=torch.float64)
        want, have = zoo.added(base, got, 1.0)(x), load(base, tmp_path / "out")(x)
    assert torch.linalg.norm(have - want) <= 1e-5 * torch.linalg.norm(want)


def test_patterns_that_tell_parameters_apart_are_refused(tmp_path: Path) -> None:
    path = saved(Mixture(), config(BOTH, rank_pattern={"experts.up": 3}), tmp_path / "a", 1)
    with pytest.raises(AdapterError, match="one rank and alpha"):
        Adapter(path)


def test_each_expert_is_a_module_of_its_own(tmp_path: Path) -> None:
    path = saved(Mixture(), config(BOTH), tmp_path / "a", 1)
    modules = Adapter(path).modules.values()
    assert len(modules) == 2 * 2 * 3
    assert {module.shape for module in modules} == {(10, 6), (6, 5)}
    assert len({module.path for module in modules}) == len(modules)


def test_adapters_of_different_parameters_are_refused(tmp_path: Path) -> None:
    paths = [saved(Mixture(), config(p), tmp_path / p[0], 1) for p in (["experts.up"], ["experts.down"])]
    with pytest.raises(AdapterError, match=r"target_parameters.*experts\.up"):
        merge_folders(paths, tmp_path / "out", "ta")


def test_adapters_saved_before_peft_swapped_the_sides_are_refused_beside_later_ones(tmp_path: Path) -> None:
    import json

    paths = [saved(Mixture(), config(["experts.up"]), tmp_path / str(t), t) for t in range(2)]
    text = json.loads((paths[0] / "adapter_config.json").read_text())
    (paths[0] / "adapter_config.json").write_text(json.dumps({**text, "peft_version": "0.18.1"}))
    with pytest.raises(AdapterError, match=r"0\.18\.1.*0\.19"):
        merge_folders(paths, tmp_path / "out", "ta")
