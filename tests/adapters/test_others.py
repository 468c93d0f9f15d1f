"""What is trained beside the update: refused, taken, averaged or dropped, in PEFT's own adapters and as it loads."""

import copy
import json
from pathlib import Path
from typing import Any

import adapter_folders as folders
import needs_torch  # noqa: F401
import numpy as np
import peft_zoo as zoo
import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model
from safetensors.torch import load_file, save_file
from said import parts
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from coremerge_ref.adapters import merge_folders
from coremerge_ref.errors import AdapterError, ParameterError

TINY: dict[str, Any] = {
    "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 19,
    "max_position_embeddings": 16, "use_cache": False, "pad_token_id": 0,
}  # fmt: skip


def classifier() -> nn.Module:
    torch.manual_seed(5)
    return LlamaForSequenceClassification(LlamaConfig(**TINY, num_labels=3)).eval()


def language_model() -> nn.Module:
    torch.manual_seed(5)
    return LlamaForCausalLM(LlamaConfig(**TINY)).eval()


def trained(base: nn.Module, folder: Path, seed: int, **fields: Any) -> Path:
    """An adapter whose every trainable parameter got a random push, saved by PEFT."""
    torch.manual_seed(seed)
    with zoo.quiet():
        config = LoraConfig(**{"r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], **fields})
        model = get_peft_model(copy.deepcopy(base), config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter))
        model.save_pretrained(str(folder))
    return folder


def saved(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "adapter_config.json").read_text())


def test_heads_are_refused_by_default(tmp_path: Path) -> None:
    paths = [trained(classifier(), tmp_path / str(i), i, task_type=TaskType.SEQ_CLS) for i in range(2)]
    with pytest.raises(AdapterError, match="modules_to_save"):
        merge_folders(paths, tmp_path / "out", "ta")


@pytest.mark.parametrize("others", ["first", "mean"])
def test_heads_of_classifiers_land_where_peft_expects_them(others: str, tmp_path: Path) -> None:
    base = classifier()
    paths = [trained(base, tmp_path / str(i), i, task_type=TaskType.SEQ_CLS) for i in range(2)]
    report = merge_folders(paths, tmp_path / "out", "ta", others=others)
    assert any("score.weight" in note and others in note for note in report.notes)
    heads = [zoo.load(base, path).base_model.model.score.modules_to_save["default"].weight for path in paths]
    want = heads[0] if others == "first" else (heads[0] + heads[1]) / 2
    got = zoo.load(base, tmp_path / "out").base_model.model.score.modules_to_save["default"].weight
    assert torch.linalg.norm(got - want) <= 2 * 2.0**-24 * torch.linalg.norm(want)


def test_without_heads_the_update_still_loads(tmp_path: Path) -> None:
    base = classifier()
    paths = [trained(base, tmp_path / str(i), i, task_type=TaskType.SEQ_CLS) for i in range(2)]
    report = merge_folders(paths, tmp_path / "out", "ta", others="drop")
    assert any("dropped" in note and "score.weight" in note for note in report.notes)
    assert any("task_type" in note for note in report.notes)
    got = zoo.deltas(zoo.load(base, tmp_path / "out"))
    each = [zoo.deltas(zoo.load(base, path)) for path in paths]
    for name, delta in got.items():
        want = each[0][name] + each[1][name]
        assert torch.linalg.norm(delta - want) <= 50 * 2.0**-23 * sum(torch.linalg.norm(d[name]) for d in each)


def test_trained_biases_are_averaged_over_those_that_have_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = zoo.Mlp()
    fields = {"target_modules": ["a"]}
    paths = [trained(base, tmp_path / str(i), i, bias=bias, **fields) for i, bias in enumerate(["all", "all", "none"])]
    merge_folders(paths, tmp_path / "out", "ta", others="mean")
    merged = zoo.load(base, tmp_path / "out").base_model.model
    each = [zoo.load(base, path).base_model.model for path in paths[:2]]
    for name in ("a.base_layer.bias", "b.c.bias"):
        want = sum(model.get_parameter(name) for model in each) / 2
        assert torch.linalg.norm(merged.get_parameter(name) - want) <= 2.0**-23 * torch.linalg.norm(want)
    assert config(tmp_path / "out")["bias"] == "all"


def test_trained_tokens_are_joined_and_averaged_one_by_one(tmp_path: Path) -> None:
    base = language_model()
    tokens = [[1, 5], [5, 7]]
    paths = [trained(base, tmp_path / str(i), i, trainable_token_indices=rows) for i, rows in enumerate(tokens)]
    merge_folders(paths, tmp_path / "out", "ta", others="mean")
    name = next(key for key in saved(paths[0]) if key.endswith("trainable_tokens_delta"))
    a, b = (saved(path)[name] for path in paths)
    want = {1: a[0], 5: (a[1] + b[0]) / 2, 7: b[1]}
    rows = config(tmp_path / "out")["trainable_token_indices"]
    got = dict(zip(rows, saved(tmp_path / "out")[name], strict=True))
    assert got.keys() == want.keys()
    for token, row in want.items():
        assert torch.linalg.norm(got[token] - row) <= 2.0**-23 * torch.linalg.norm(row)
    embedding = zoo.load(base, tmp_path / "out").base_model.model.model.embed_tokens(torch.tensor([5, 2]))
    assert torch.linalg.norm(embedding[0] - want[5]) <= 2.0**-22 * torch.linalg.norm(want[5])
    assert torch.equal(embedding[1].float(), base.model.embed_tokens.weight[2])


def test_resized_embeddings_are_named_and_taken(tmp_path: Path) -> None:
    base = language_model()
    paths = []
    for i in range(2):
        path = trained(base, tmp_path / str(i), i)
        whole = torch.full((21, 8), float(i))
        save_file({**saved(path), "base_model.model.lm_head.weight": whole}, path / "adapter_model.safetensors")
        paths.append(path)
    with pytest.raises(AdapterError, match=r"lm_head\.weight"):
        merge_folders(paths, tmp_path / "out", "ta")
    merge_folders(paths, tmp_path / "out", "ta", others="mean")
    assert saved(tmp_path / "out")["base_model.model.lm_head.weight"].unique().tolist() == [0.5]


def test_heads_of_two_shapes_have_no_mean(tmp_path: Path) -> None:
    paths = []
    for i in range(2):
        path = trained(language_model(), tmp_path / str(i), i)
        whole = torch.ones(19 + i, 8)
        save_file({**saved(path), "base_model.model.lm_head.weight": whole}, path / "adapter_model.safetensors")
        paths.append(path)
    with pytest.raises(AdapterError, match=r"\(20, 8\).*--others first"):
        merge_folders(paths, tmp_path / "out", "ta", others="mean")
    merge_folders(paths, tmp_path / "out", "ta", others="first")
    assert saved(tmp_path / "out")["base_model.model.lm_head.weight"].shape == (19, 8)


@pytest.mark.parametrize("others", ["first", "mean", "drop"])
def test_what_rescales_the_update_is_never_an_other(others: str, tmp_path: Path) -> None:
    dora = trained(language_model(), tmp_path / "dora", 0, use_dora=True)
    bias = trained(language_model(), tmp_path / "bias", 0, lora_bias=True)
    for path in (dora, bias):
        with pytest.raises(AdapterError, match=r"use_dora|lora_bias"):
            merge_folders([path], tmp_path / "out", "ta", others=others)


def test_weights_beside_the_adapter_are_named(tmp_path: Path) -> None:
    paths = [trained(language_model(), tmp_path / str(i), i) for i in range(2)]
    for name in ("non_lora_trainables.bin", "optimizer.pt", "rng_state_0.pth", "training_args.bin", "README.md"):
        (paths[0] / name).write_bytes(b"x")
    notes = merge_folders(paths, tmp_path / "out", "ta").notes
    assert [note for note in notes if "beside" in note] == [
        f"{paths[0]}: non_lora_trainables.bin beside the adapter: not read and not merged"
    ]


def test_choices(tmp_path: Path) -> None:
    path = trained(language_model(), tmp_path / "a", 0)
    with pytest.raises(ParameterError, match="refuse, first, mean, drop"):
        merge_folders([path], tmp_path / "out", "ta", others="best")
    with pytest.raises(ParameterError, match="--dense"):
        merge_folders([path], tmp_path / "out", "ta", others="mean", dense=True)


def test_a_config_without_the_tokens_is_refused(tmp_path: Path) -> None:
    path = trained(language_model(), tmp_path / "a", 0, trainable_token_indices=[1, 2])
    broken = {**config(path), "trainable_token_indices": [1]}
    (path / "adapter_config.json").write_text(json.dumps(broken))
    with pytest.raises(AdapterError, match="expected 1 rows"):
        merge_folders([path], tmp_path / "out", "ta", others="first")
    assert not (tmp_path / "out").exists()


TOKENS = f"{folders.PREFIX}emb.token_adapter.trainable_tokens_delta"


def by_hand(folder: Path, shape: tuple[int, ...], indices: Any, name: str = TOKENS) -> Path:
    tensors = folders.lora_tensors() | {name: np.ones(shape, np.float32)}
    return folders.write(folder, tensors, trainable_token_indices=indices)


@pytest.mark.parametrize(
    ("shape", "indices", "message"),
    [
        ((2, 3), [1], "1 rows … got 2; save"),
        ((2, 3), {"emb": [1, 2, 3]}, "3 rows … got 2; save"),
        ((2, 3), {"other": [1, 2]}, "trainable_token_indices … none; save"),
        ((2, 3), [1, "2"], "trainable_token_indices … none; save"),
        ((2, 3), [True, False], "trainable_token_indices … none; save"),
        ((2, 3), 7, "trainable_token_indices … none; save"),
    ],
)
def test_tokens_that_do_not_fit_their_rows_name_the_adapter_and_the_tensor(
    shape: tuple[int, ...], indices: Any, message: str, tmp_path: Path
) -> None:
    path = by_hand(tmp_path / "a", shape, indices)
    with pytest.raises(AdapterError, match=parts(f"'{path}': tensor '{TOKENS}': … {message} the adapter again")):
        merge_folders([path], tmp_path / "out", "ta", others="mean")


@pytest.mark.parametrize("key", ["emb", "model.emb"])
def test_tokens_are_found_by_the_end_of_their_modules_name(key: str, tmp_path: Path) -> None:
    name = f"{folders.PREFIX}model.emb.token_adapter.trainable_tokens_delta"
    path = by_hand(tmp_path / "a", (2, 3), {"b": [0, 1, 2], key: [4, 6]}, name)
    merge_folders([path], tmp_path / "out", "ta", others="first")
    assert config(tmp_path / "out")["trainable_token_indices"] == {"model.emb": [4, 6]}


def test_things_of_one_name_and_two_shapes_name_both_adapters(tmp_path: Path) -> None:
    name = f"{folders.PREFIX}head.weight"
    paths = [
        folders.write(tmp_path / str(i), folders.lora_tensors() | {name: np.ones(shape)}, modules_to_save=["head"])
        for i, shape in enumerate([(3, 4), (4, 4)])
    ]
    wanted = f"'{name}': … (3, 4) … '{paths[0]}' … (4, 4) … '{paths[1]}' … --others first"
    with pytest.raises(AdapterError, match=parts(wanted)):
        merge_folders(paths, tmp_path / "out", "ta", others="mean")


@pytest.mark.parametrize("others", ["first", "mean", "drop"])
def test_the_note_names_three_tensors_and_three_adapters(others: str, tmp_path: Path) -> None:
    def heads(count: int) -> dict[str, Any]:
        names = [f"head{i}" for i in range(count)]
        arrays = {f"{folders.PREFIX}{name}.weight": np.ones((3, 4), np.float32) for name in names}
        return {"tensors": folders.lora_tensors() | arrays, "modules_to_save": names}

    paths = [folders.write(tmp_path / str(i), **heads(4)) for i in range(4)]
    [few] = merge_folders([folders.write(tmp_path / "few", **heads(3))], tmp_path / "o", "ta", others=others).notes
    [note] = merge_folders(paths, tmp_path / "out", "ta", others=others).notes
    names = "head0.weight, head1.weight, head2.weight"
    for word in ("4 tensors", f"({names} …)", f"{', '.join(map(str, paths[:3]))} … ", f"--others {others}"):
        assert word in note
    for word in ("3 tensors", f"({names})", f"{tmp_path / 'few'} "):
        assert word in few
    assert "…" not in few
    assert ("averaged" in note, "dropped" in note) == (others == "mean", others == "drop")
