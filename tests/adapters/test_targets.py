"""The output makes PEFT adapt exactly the modules of the inputs, in the inputs' words where they agree."""

import json
from pathlib import Path
from typing import Any

import adapter_folders as folders
import needs_torch  # noqa: F401
import numpy as np
import peft_zoo as zoo
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists
from safetensors.torch import save_file

from coremerge_ref.adapters import Adapter, load, merge_folders, targets

PATHS = [
    f"{top}layers.{i}.{name}"
    for top in ("", "model.", "decoder.model.")
    for i in (0, 1, 10)
    for name in ("q_proj", "k_proj", "mlp.up", "experts.3.up")
] + ["lm_head", "score", "head.score"]

words = st.sampled_from(["q_proj", "k_proj", "up", "mlp.up", "score", "lm_head", "0.q_proj", "layers.1.k_proj", "3.up"])
regexes = st.sampled_from([r".*q_proj", r".*\.layers\.[01]\..*", r"(?:.*\.)?(?:up|score)", r"model\..*", r"lm_head"])
target = st.lists(words, min_size=1, max_size=3, unique=True) | regexes
fields = st.fixed_dictionaries(
    {"target_modules": target},
    optional={
        "exclude_modules": st.lists(words, max_size=2) | regexes,
        "layers_to_transform": st.sampled_from([0, [0, 10], [], None]),
        "layers_pattern": st.sampled_from(["layers", ["layers"], [], None]),
    },
)


def caught(config: dict[str, Any]) -> set[str]:
    """By PEFT."""
    given = {key: value for key, value in config.items() if value not in (None, [])}
    if isinstance(given.get("target_modules"), str):
        given = {key: value for key, value in given.items() if not key.startswith("layers")}
    made = LoraConfig(**given)
    return {path for path in PATHS if check_target_module_exists(made, path)}


def as_peft_takes(config: dict[str, Any]) -> dict[str, Any]:
    """Without what PEFT refuses: layers beside a regular expression, a pattern without layers."""
    if isinstance(config["target_modules"], str) or not config.get("layers_to_transform"):
        return {key: value for key, value in config.items() if not key.startswith("layers")}
    return config


@given(fields.map(as_peft_takes))
def test_modules_are_caught_as_in_peft(config: dict[str, Any]) -> None:
    assert {path for path in PATHS if targets.catches(config, path)} == caught(config)


@pytest.mark.parametrize(
    "config",
    [
        {"target_modules": ["q"], "layers_to_transform": [1]},
        {"target_modules": ["model.layers.0.q"], "layers_to_transform": [1]},  # a whole path is narrowed by nothing
        {"target_modules": ["layers.0.q"], "layers_to_transform": [1]},
        {"target_modules": ["q"], "layers_to_transform": 0},
        {"target_modules": ["q"], "layers_to_transform": [0], "layers_pattern": "layers"},
        {"target_modules": ["q"], "layers_to_transform": [0], "layers_pattern": ["h", "layers"]},
        {"target_modules": ["q"], "layers_to_transform": [0], "layers_pattern": ["h"]},
        {"target_modules": ["q", "k"], "exclude_modules": ["layers.0.q"]},
        {"target_modules": ["q", "k"], "exclude_modules": r".*\.0\.q"},
        {"target_modules": r".*\.[01]\.q"},
        {"target_modules": r"q"},
    ],
    ids=str,
)
def test_each_way_to_name_modules_catches_as_in_peft(config: dict[str, Any]) -> None:
    paths = [f"{prefix}layers.{i}.{leaf}" for prefix in ("model.", "") for i in (0, 1, 10) for leaf in ("q", "k", "xq")]
    made = LoraConfig(**config)
    peft = [path for path in paths if check_target_module_exists(made, path)]
    assert [path for path in paths if targets.catches(config, path)] == peft


def test_exact_expressions_are_short_and_in_the_order_of_numbers() -> None:
    paths = [f"l.{i}.{leaf}" for i in (10, 2, 1) for leaf in ("q", "k")] + ["l.3.q", "head"]
    assert targets.exactly(paths) == r"l\.(?:1|2|3|10)\.q|l\.(?:1|2|10)\.k|head"
    assert targets.exactly([f"l.{i}.{leaf}" for i in (10, 2) for leaf in "qk"]) == r"l\.(?:2|10)(?:\.q|\.k)"


@given(st.lists(fields.map(as_peft_takes), min_size=1, max_size=3))
def test_joined_fields_catch_what_any_catches_in_every_model(configs: list[dict[str, Any]]) -> None:
    joined = targets.joined(configs)
    if joined is not None:
        assert caught(joined) == set().union(*map(caught, configs))


@given(st.lists(st.sampled_from(PATHS), min_size=1, unique=True))
def test_exact_expressions_catch_these_and_nothing_else(paths: list[str]) -> None:
    assert caught({"target_modules": targets.exactly(paths)}) == set(paths)


@pytest.mark.parametrize("value", [3, {"q": 1}, ["q", 3], "", []])
def test_what_names_no_module_is_as_good_as_absent(value: Any) -> None:
    assert targets.joined([{"target_modules": value}] * 2) is None
    assert targets.joined([{"target_modules": ["q"], "exclude_modules": value}, {"target_modules": ["q"]}]) == {
        "target_modules": ["q"], "exclude_modules": None, "layers_to_transform": None, "layers_pattern": None,
    }  # fmt: skip


def merged(tmp_path: Path, configs: list[dict[str, Any]], **arguments: Any) -> dict[str, Any]:
    """The output's config for adapters of q and k in two layers, with those config fields."""
    tensors = {}
    for i in range(2):
        for name in ("q", "k"):
            tensors[f"{folders.PREFIX}layers.{i}.{name}.lora_A.weight"] = np.ones((2, 3), np.float32)
            tensors[f"{folders.PREFIX}layers.{i}.{name}.lora_B.weight"] = np.ones((3, 2), np.float32)
    paths = [folders.write(tmp_path / str(t), tensors, **config) for t, config in enumerate(configs)]
    merge_folders(paths, tmp_path / "out", "ta", **arguments)
    return json.loads((tmp_path / "out" / "adapter_config.json").read_text())


@pytest.mark.parametrize(
    "fields",
    [
        {"target_modules": ["q", "k"]},
        {"target_modules": r".*\.(q|k)"},
        {"target_modules": "all-linear"},
        {"target_modules": ["q", "k"], "exclude_modules": ["head"]},
        {"target_modules": ["q", "k"], "layers_to_transform": [0, 1], "layers_pattern": ["layers"]},
        {"target_modules": ["q", "k"], "ensure_weight_tying": True},
    ],
)
def test_fields_that_all_inputs_share_survive(fields: dict[str, Any], tmp_path: Path) -> None:
    config = merged(tmp_path, [fields, fields])
    assert {key: config[key] for key in fields} == fields


def test_lists_are_joined(tmp_path: Path) -> None:
    config = merged(tmp_path, [{"target_modules": ["k", "q"]}, {"target_modules": ["q", "layers.0.k", "k"]}])
    assert config["target_modules"] == ["k", "layers.0.k", "q"]


@pytest.mark.parametrize(
    "fields",
    [
        [{"target_modules": ["q", "k"]}, {"target_modules": ["q", "k"], "exclude_modules": ["head"]}],
        [{"target_modules": "("}, {"target_modules": ["q", "k"]}],
        [{"target_modules": ["q"]}, {"target_modules": ["q"]}],  # stale: says nothing of k
        [{"target_modules": None}, {"target_modules": None}],
        [{"target_modules": 3}, {"target_modules": {"q": 1}}],
    ],
)
def test_anything_else_is_written_out_exactly(fields: list[dict[str, Any]], tmp_path: Path) -> None:
    assert merged(tmp_path, fields)["target_modules"] == r"layers\.(?:0|1)(?:\.k|\.q)"


def test_modules_left_out_are_not_caught(tmp_path: Path) -> None:
    config = merged(tmp_path, [{"target_modules": ["q", "k"]}] * 2, exclude=["layers.0.q"])
    there = ["layers.0.q", "layers.0.k", "layers.1.q", "layers.1.k", "x.layers.0.k"]
    assert [p for p in there if targets.catches(config, p)] == ["layers.0.k", "layers.1.q", "layers.1.k"]


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("name", zoo.KINDS)
def test_the_output_adapts_the_union_of_the_inputs_modules(name: str, ragged: bool, tmp_path: Path) -> None:
    kind = zoo.KINDS[name]
    base = zoo.seeded(kind)
    paths = zoo.save_adapters(kind, base, tmp_path)
    with_base: dict[str, Any] = {}
    if "many" in name:
        with_base = {"base": tmp_path / "base.safetensors"}
        save_file(base.state_dict(), with_base["base"])
    merge_folders(paths, tmp_path / "out", "tsv", ragged=ragged, allow_missing=True, **with_base)
    inputs = [set(zoo.deltas(zoo.load(base, path))) for path in paths]
    assert set(zoo.deltas(zoo.load(base, tmp_path / "out"))) == set().union(*inputs)


def test_a_name_that_ends_others_catches_itself_alone(tmp_path: Path) -> None:
    kind = zoo.Kind(zoo.Mlp, [zoo.lora("a"), zoo.lora(["c"]), zoo.lora("a|b.c")], zoo.numbers(4, 6))  # type: ignore[arg-type]
    base = zoo.seeded(kind)
    merge_folders(zoo.save_adapters(kind, base, tmp_path), tmp_path / "out", "ta")
    assert set(zoo.deltas(zoo.load(base, tmp_path / "out"))) == {"a.weight", "b.c.weight"}


@pytest.mark.parametrize("name", ["ranks and alphas differ", "patterns", "modules differ", "embedding", "attention"])
def test_ranks_are_one_by_default_and_as_they_are_when_ragged(name: str, tmp_path: Path) -> None:
    kind = zoo.KINDS[name]
    base = zoo.seeded(kind)
    paths = zoo.save_adapters(kind, base, tmp_path)
    for ragged in (False, True):
        merge_folders(paths, tmp_path / str(ragged), "ta", ragged=ragged, dtype="float64", allow_missing=True)
    config = json.loads((tmp_path / "False" / "adapter_config.json").read_text())
    assert (config["rank_pattern"], config["alpha_pattern"], config["lora_alpha"]) == ({}, {}, config["r"])
    assert {module.rank for module in Adapter(tmp_path / "False").modules.values()} == {config["r"]}
    assert len({module.rank for module in Adapter(tmp_path / "True").modules.values()}) > 1
    even, ragged_ones = load(tmp_path / "False"), load(tmp_path / "True")
    for path, update in ragged_ones.items():
        assert torch.equal(torch.from_numpy(update.to_dense()), torch.from_numpy(even[path].to_dense()))
