"""A merge as a PEFT LoRA: factors at a rank, and a config that says what the inputs agree on."""

from pathlib import Path
from typing import Any

import adapter_folders as folders
import numpy as np
import pytest

from coremerge_ref.adapters import Adapter
from coremerge_ref.adapters.output import balanced, model_notes, padded, peft_config, shared, with_rank, without_null
from coremerge_ref.adapters.plan import planned

NAMES = ("layers.0.q", "conv", "emb")


def config(tmp_path: Path, given: list[dict[str, Any]], ranks: tuple[int, int, int] = (2, 2, 2)) -> dict[str, Any]:
    """Of a merge of adapters with these fields, whose layers have those ranks."""
    adapters = [Adapter(folders.write(tmp_path / str(i), **fields)) for i, fields in enumerate(given)]
    named = {folders.PREFIX + name: rank for name, rank in zip(NAMES, ranks, strict=True)}
    return peft_config(adapters, planned(adapters), named)


@pytest.mark.parametrize(
    ("field", "one", "other"),
    [
        ("revision", "main", "dev"),
        ("task_type", "CAUSAL_LM", "SEQ_2_SEQ_LM"),
        ("auto_mapping", {"base_model_class": "A"}, {"base_model_class": "B"}),
        ("ensure_weight_tying", True, False),
    ],
)
def test_what_all_inputs_say_the_output_says(field: str, one: Any, other: Any, tmp_path: Path) -> None:
    assert config(tmp_path / "alike", [{field: one}, {field: one}])[field] == one
    assert config(tmp_path / "unlike", [{field: one}, {field: other}]).get(field) is None
    assert config(tmp_path / "absent", [{field: one}, {}]).get(field) is None


@pytest.mark.parametrize(
    ("flags", "flag"), [([True, True], True), ([False, True], True), ([True, False], True), ([False, False], False)]
)
def test_one_input_of_conv1d_layers_makes_the_output_one(flags: list[bool], flag: bool, tmp_path: Path) -> None:
    assert config(tmp_path, [{"fan_in_fan_out": each} for each in flags])["fan_in_fan_out"] is flag


def test_the_base_is_that_of_the_first(tmp_path: Path) -> None:
    given = [{"base_model_name_or_path": name} for name in ("one", "two")]
    assert config(tmp_path, given)["base_model_name_or_path"] == "one"


@pytest.mark.parametrize(
    ("ranks", "r", "differing"),
    [
        ((3, 3, 3), 3, {}),
        ((3, 7, 3), 3, {"conv": 7}),
        ((5, 3, 5), 5, {"conv": 3}),
        ((4, 7, 5), 4, {"conv": 7, "emb": 5}),
    ],
)
def test_the_most_common_rank_is_the_rank_and_alpha_is_it_everywhere(
    ranks: tuple[int, int, int], r: int, differing: dict[str, int], tmp_path: Path
) -> None:
    """So that the scaling is 1."""
    made = config(tmp_path, [{"use_rslora": True, "alpha_pattern": {"conv": 9}}], ranks)
    assert (made["r"], made["lora_alpha"]) == (r, r)
    assert made["rank_pattern"] == made["alpha_pattern"]
    assert sorted(made["rank_pattern"].values()) == sorted(differing.values())
    for name, rank in differing.items():
        assert [value for key, value in made["rank_pattern"].items() if name in key] == [rank]


def test_what_is_merged_is_a_plain_lora(tmp_path: Path) -> None:
    made = config(tmp_path, [{"use_rslora": True, "lora_dropout": 0.5, "init_lora_weights": "gaussian"}])
    plain = {
        "peft_type": "LORA", "inference_mode": True, "lora_dropout": 0.0, "target_parameters": None, "bias": "none",
        "modules_to_save": None, "init_lora_weights": True, "use_rslora": False, "use_dora": False,
    }  # fmt: skip
    assert {name: made[name] for name in plain} == plain


@pytest.mark.parametrize(
    ("values", "value"), [([1], 1), ([1, 1], 1), ([1, 2], None), ([1, None], None), ([None], None)]
)
def test_a_value_that_all_have(values: list[Any], value: Any) -> None:
    assert shared(values) == value


def test_base_models_that_differ_are_named(tmp_path: Path) -> None:
    held = [
        Adapter(folders.write(tmp_path / str(i), base_model_name_or_path=name))
        for i, name in enumerate(("y", "x", "y"))
    ]
    assert model_notes([held[0], held[2]]) == []
    [note] = model_notes(held)
    assert "(x, y)" in note


def test_factors_at_a_higher_rank_have_the_same_product() -> None:
    rng = np.random.default_rng(0)
    B, A = rng.standard_normal((4, 2)), rng.standard_normal((2, 5))
    assert with_rank((B, A), 2) == (B, A)
    wide, tall = with_rank((B, A), 5)
    assert (wide.shape, tall.shape) == ((4, 5), (5, 5))
    np.testing.assert_array_equal(wide[:, :2], B)
    np.testing.assert_array_equal(tall[:2], A)
    assert not wide[:, 2:].any()
    assert not tall[2:].any()


@pytest.mark.parametrize(
    ("name", "shape", "wanted"),
    [
        ("x.lora_A.weight", (2, 5), (4, 5)),
        ("x.lora_A.weight", (2, 5, 3, 3), (4, 5, 3, 3)),
        ("x.lora_B.weight", (6, 2), (6, 4)),
        ("x.lora_B.weight", (6, 2, 1, 1), (6, 4, 1, 1)),
        ("x.lora_embedding_A", (2, 7), (4, 7)),
        ("x.lora_embedding_B", (3, 2), (3, 4)),
    ],
)
def test_tensors_are_padded_with_zero_directions(name: str, shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    tensor = np.random.default_rng(0).standard_normal(shape)
    made = padded(name, tensor, 4)
    assert made.shape == wanted
    np.testing.assert_array_equal(made[tuple(slice(side) for side in shape)], tensor)
    assert np.count_nonzero(made) == tensor.size


def test_stacked_experts_are_padded_each() -> None:
    """A: (experts · r, n), one after another. What they compute stays: the product, expert by expert."""
    A = np.random.default_rng(0).standard_normal((3 * 2, 5))
    made = padded("x.lora_A.weight", A, 4, 3).reshape(3, 4, 5)
    np.testing.assert_array_equal(made[:, :2], A.reshape(3, 2, 5))
    assert not made[:, 2:].any()


def test_directions_that_are_zero_in_either_factor_go() -> None:
    B, A = np.array([[1.0, 0.0, 2.0, 3.0]]), np.array([[1.0], [1.0], [0.0], [5.0]])
    left, right = without_null(B, A)
    assert (left.tolist(), right.tolist()) == ([[1.0, 3.0]], [[1.0], [5.0]])
    same = B[:, [0, 3]], A[[0, 3]]
    assert without_null(*same) == same


def test_factors_far_apart_in_size_meet_halfway_and_zeros_stay() -> None:
    B, A = np.array([[2.0**-20, 0.0, 3.0]]), np.array([[2.0**20], [1.0], [3.0]])
    left, right = balanced(B, A)
    assert (left.tolist(), right.tolist()) == ([[1.0, 0.0, 3.0]], [[1.0], [1.0], [3.0]])
