"""PEFT types that are low-rank products are read exactly from their files and come back as LoRA.

What each adapter adds comes from PEFT itself: merge_and_unload in float64, minus the base.
"""

import copy
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import needs_torch  # noqa: F401
import peft_zoo as zoo
import pytest
import torch
from peft import (
    AdaLoraConfig,
    DeloraConfig,
    GraloraConfig,
    LoHaConfig,
    LoKrConfig,
    MissConfig,
    PeftModel,
    VBLoRAConfig,
    get_peft_model,
)
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from safetensors.torch import save_file
from torch import nn

from coremerge_ref.adapters import Adapter, merge_folders
from coremerge_ref.adapters.config import HARMLESS, REFUSED
from coremerge_ref.adapters.formats import READERS
from coremerge_ref.adapters.formats.base import PeftReader
from coremerge_ref.errors import AdapterError
from coremerge_ref.testing import THRESHOLD, ratio

WEIGHTS = (1.0, -0.5)
MLP = {"target_modules": ["a", "c"]}
CONV = {"target_modules": ["one", "two"]}


class Even(nn.Module):
    """Linear layers whose sizes are multiples of 4."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.c = nn.Linear(12, 8), nn.Linear(8, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(torch.tanh(self.a(x)))


class Pointwise(nn.Module):
    """A convolution, one of kernel 1, and one of kernel (3, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(6, 8, 3), nn.Conv2d(8, 6, 1), nn.Conv2d(6, 4, (3, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.three(self.two(torch.tanh(self.one(x))))


# model, two config makers, input, whether the base model's shapes are needed
TYPES: dict[str, tuple[Callable[[], nn.Module], list[Callable[[], Any]], Callable[[], torch.Tensor], bool]] = {
    "adalora": (
        zoo.Mlp,
        [
            lambda: AdaLoraConfig(total_step=10, init_r=4, lora_alpha=7, **MLP),
            lambda: AdaLoraConfig(total_step=10, init_r=3, lora_alpha=-1, **MLP),
        ],
        zoo.numbers(4, 6),
        False,
    ),
    "loha": (
        zoo.Mlp,
        [
            lambda: LoHaConfig(r=2, alpha=3, init_weights=False, **MLP),
            lambda: LoHaConfig(r=3, alpha=5, rank_pattern={"a": 1}, alpha_pattern={"c": 9}, init_weights=False, **MLP),
        ],
        zoo.numbers(4, 6),
        False,
    ),
    "loha on convolutions": (
        Pointwise,
        [
            lambda: LoHaConfig(
                r=2, target_modules=["one", "two", "three"], use_effective_conv2d=True, init_weights=False
            ),
            lambda: LoHaConfig(r=2, target_modules=["one", "two", "three"], init_weights=False),
        ],
        zoo.numbers(2, 6, 7, 7),
        True,
    ),
    "loha on 1-D convolutions": (
        lambda: zoo.Convs(1),
        [lambda: LoHaConfig(r=2, use_effective_conv2d=True, init_weights=False, **CONV)] * 2,
        zoo.numbers(2, 3, 8),
        False,
    ),
    "lokr": (
        Even,
        [
            lambda: LoKrConfig(r=1, alpha=4, init_weights=False, decompose_factor=2, **MLP),
            lambda: LoKrConfig(r=1, alpha=3, init_weights=False, decompose_both=True, **MLP),
        ],
        zoo.numbers(4, 12),
        False,
    ),
    "lokr on convolutions": (
        Pointwise,
        [
            lambda: LoKrConfig(
                r=1, target_modules=["one", "two"], use_effective_conv2d=True, decompose_factor=2, init_weights=False
            ),
            lambda: LoKrConfig(r=1, target_modules=["one", "two"], decompose_factor=2, init_weights=False),
        ],
        zoo.numbers(2, 6, 7, 7),
        True,
    ),
    "miss": (
        zoo.Mlp,
        [lambda: MissConfig(r=4, init_weights=False, **MLP), lambda: MissConfig(r=3, init_weights=False, **MLP)],
        zoo.numbers(4, 6),
        True,
    ),
    "delora": (
        zoo.Mlp,
        [
            lambda: DeloraConfig(r=2, init_weights=False, delora_lambda=7, **MLP),
            lambda: DeloraConfig(r=3, init_weights=False, rank_pattern={"a": 1}, lambda_pattern={"a": 3}, **MLP),
        ],
        zoo.numbers(4, 6),
        False,
    ),
    "gralora": (
        Even,
        [
            lambda: GraloraConfig(r=4, gralora_k=2, alpha=6, init_weights=False, **MLP),
            lambda: GraloraConfig(r=4, gralora_k=4, hybrid_r=2, init_weights=False, **MLP),
        ],
        zoo.numbers(4, 12),
        False,
    ),
    "vblora": (
        Even,
        [
            lambda: VBLoRAConfig(r=2, num_vectors=9, vector_length=4, topk=2, **MLP),
            lambda: VBLoRAConfig(r=3, num_vectors=7, vector_length=2, topk=3, save_only_topk_weights=True, **MLP),
        ],
        zoo.numbers(4, 12),
        False,
    ),
}


def saved(base: nn.Module, make: Callable[[], Any], folder: Path, seed: int) -> Path:
    """An adapter with random parameters, saved by PEFT."""
    torch.manual_seed(seed)
    with zoo.quiet():
        model = get_peft_model(copy.deepcopy(base), make())
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "ranknum" not in name:
                nn.init.normal_(parameter, std=0.7)
        model.save_pretrained(str(folder))
    return folder


def added(base: nn.Module, folder: Path) -> dict[str, torch.Tensor]:
    """What the adapter adds to each parameter, by PEFT, in float64; parameters it leaves alone are left out."""
    with zoo.quiet():
        model = PeftModel.from_pretrained(copy.deepcopy(base).double(), str(folder)).double().eval()
        merged = model.merge_and_unload().state_dict()
    before = base.double().state_dict()
    return {name: change for name in before if (change := merged[name] - before[name]).any()}


def base_file(base: nn.Module, path: Path) -> Path:
    save_file(base.state_dict(), path)
    return path


@pytest.mark.parametrize("name", TYPES)
def test_each_type_comes_back_as_lora(name: str, tmp_path: Path) -> None:
    model, makers, inputs, needs_base = TYPES[name]
    torch.manual_seed(7)
    base = model().eval()
    paths = [saved(base, make, tmp_path / str(t), 100 + t) for t, make in enumerate(makers)]
    shapes = base_file(base, tmp_path / "base.safetensors") if needs_base else None
    report = merge_folders(paths, tmp_path / "out", "ta", weights=WEIGHTS, base=shapes)
    each = [added(base, path) for path in paths]
    got = added(base, tmp_path / "out")
    assert got.keys() == each[0].keys() | each[1].keys()
    for layer, change in got.items():
        parts = [w * changes.get(layer, torch.zeros(())) for w, changes in zip(WEIGHTS, each, strict=True)]
        size = sum(float(torch.linalg.norm(part)) for part in parts)
        assert ratio((change - sum(parts)).numpy(), 0 * change.numpy(), scale=size, eps=2.0**-23) <= THRESHOLD, layer
    assert report.written
    loaded = zoo.load(base, tmp_path / "out")
    with torch.no_grad():
        x = inputs()
        want, have = zoo.added(base, got, 1.0)(x), loaded(x)
    assert torch.linalg.norm(have - want) <= 1e-5 * torch.linalg.norm(want)


@pytest.mark.parametrize("reader", [r for r in READERS if issubclass(r, PeftReader)], ids=lambda r: r.peft_type)
def test_every_field_of_pefts_config_is_accounted_for(reader: type[PeftReader]) -> None:
    known = {field.alias or name for name, field in reader.Config.model_fields.items()}
    theirs = {field.name for field in fields(PEFT_TYPE_TO_CONFIG_MAPPING[reader.peft_type])}
    assert theirs <= known | reader.harmless | HARMLESS | REFUSED.keys()
    assert reader.harmless <= theirs


def test_adalora_as_training_prunes_it(tmp_path: Path) -> None:
    torch.manual_seed(7)
    base = zoo.Mlp()
    config = AdaLoraConfig(init_r=4, target_r=1, total_step=20, tinit=1, tfinal=2, deltaT=1, lora_alpha=5, **MLP)
    with zoo.quiet():
        model = get_peft_model(copy.deepcopy(base), config)
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 0.05)
        for step in range(20):
            x = torch.randn(16, 6)
            torch.mean((model(x) - torch.sin(3 * x[:, :5])) ** 2).backward()
            optimizer.step()
            model.base_model.update_and_allocate(step)
            optimizer.zero_grad()
        model.save_pretrained(str(tmp_path / "a"))
    modules = Adapter(tmp_path / "a").modules.values()
    assert sum(module.rank for module in modules) < 8  # it was pruned
    merge_folders([tmp_path / "a"], tmp_path / "out", "ta")
    want, got = added(base, tmp_path / "a"), added(base, tmp_path / "out")
    assert got.keys() == want.keys()
    for layer, change in want.items():
        size = float(torch.linalg.norm(change))
        assert ratio(got[layer].numpy(), change.numpy(), scale=size, eps=2.0**-23) <= THRESHOLD


def test_equal_logits_at_the_cut_are_refused_and_the_advice_works(tmp_path: Path) -> None:
    base = Even()
    config = VBLoRAConfig(r=2, num_vectors=9, vector_length=4, topk=2, **MLP)
    with zoo.quiet():
        model = get_peft_model(copy.deepcopy(base), config)
        for name, parameter in model.named_parameters():
            if "logits" in name:
                nn.init.zeros_(parameter)
        model.save_pretrained(str(tmp_path / "a"))
        model.peft_config["default"].save_only_topk_weights = True
        model.save_pretrained(str(tmp_path / "b"))
    with pytest.raises(AdapterError, match="save_only_topk_weights"):
        merge_folders([tmp_path / "a"], tmp_path / "out", "ta")
    merge_folders([tmp_path / "b"], tmp_path / "out", "ta")


def test_types_of_one_base_are_merged_with_one_another(tmp_path: Path) -> None:
    torch.manual_seed(7)
    base = zoo.Mlp().eval()
    makers = [
        lambda: zoo.lora(["a", "c"]),
        TYPES["adalora"][1][0],
        TYPES["loha"][1][1],
        TYPES["miss"][1][0],
        TYPES["delora"][1][0],
        lambda: zoo.vera(["a", "c"]),
    ]
    paths = [saved(base, make, tmp_path / str(t), t) for t, make in enumerate(makers)]
    merge_folders(paths, tmp_path / "out", "ta", base=base_file(base, tmp_path / "base.safetensors"))
    each, got = [added(base, path) for path in paths], added(base, tmp_path / "out")
    for layer, change in got.items():
        parts = [changes[layer] for changes in each]
        size = sum(float(torch.linalg.norm(part)) for part in parts)
        assert ratio(change.numpy(), sum(parts).numpy(), scale=size, eps=2.0**-23) <= THRESHOLD, layer
