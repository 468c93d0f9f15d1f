"""Adapters whose files name the modules differently are merged as one, or refused; never apart in silence."""

import json
from pathlib import Path
from typing import Any

import adapter_folders as folders
import needs_torch  # noqa: F401
import numpy as np
import pytest
import renaming_tables
import torch
import vlm

from coremerge_ref.adapters import load, merge_folders
from coremerge_ref.adapters.aligning import aligned
from coremerge_ref.adapters.conversions import Table, tables
from coremerge_ref.adapters.modules import Module
from coremerge_ref.errors import AdapterError, ParameterError

PATHS = [f"model.layers.{i}.self_attn.{name}" for i in range(12) for name in ("q_proj", "v_proj")]


def adapter(folder: Path, seed: int, paths: list[str], prefix: str = folders.PREFIX, width: int = 5) -> Path:
    """A LoRA adapter of linear layers at those paths."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for path in paths:
        tensors[f"{prefix}{path}.lora_A.weight"] = rng.standard_normal((2, width)).astype(np.float32)
        tensors[f"{prefix}{path}.lora_B.weight"] = rng.standard_normal((4, 2)).astype(np.float32)
    return folders.write(folder, tensors, target_modules=None)


def sums(a: Path, b: Path, out: Path) -> float:
    """The largest error of the merged layers beside the sum of the inputs' layers, in order; in eps of float32."""
    got, one, two = (list(load(path).values()) for path in (out, a, b))
    errors = []
    for merged, x, y in zip(got, one, two, strict=True):
        want = x.to_dense().astype(float) + y.to_dense().astype(float)
        errors.append(np.linalg.norm(merged.to_dense() - want) / np.linalg.norm(want))
    return float(max(errors)) / 2.0**-23


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    ("how", "rename"),
    [
        ("wrappers", lambda path: f"_orig_mod.{path}"),
        ("wrappers", lambda path: path.replace("layers.", "layers._orig_mod.")),
        ("wrappers", lambda path: f"module.{path}"),
        ("wrappers", lambda path: f"module._orig_mod._fsdp_wrapped_module.{path}"),
        ("prefix 'model.'", lambda path: path.removeprefix("model.")),
        ("prefix 'thinker.'", lambda path: f"thinker.{path}"),
        ("transformers renames", lambda path: path.replace("model.", "language_model.model.", 1)),
    ],
)
def test_known_renamings_in_either_order(how: str, rename: Any, first: int, tmp_path: Path) -> None:
    plain = PATHS if "transformers" not in how else [p.replace("model.", "model.language_model.", 1) for p in PATHS]
    paths = [adapter(tmp_path / "a", 0, plain), adapter(tmp_path / "b", 1, [rename(path) for path in PATHS])]
    paths = paths[::-1] if first else paths
    report = merge_folders(paths, tmp_path / "out", "ta")
    assert report.layers == len(PATHS)
    assert len(report.notes) == 1
    assert how in report.notes[0]
    assert sums(*paths, tmp_path / "out") < 50
    record = json.loads((tmp_path / "out" / "coremerge.json").read_text())
    assert sum("renamed" in given for given in record["inputs"]) == 1


def test_the_prefix_may_be_missing_or_stand_within(tmp_path: Path) -> None:
    a = adapter(tmp_path / "a", 0, PATHS)
    for prefix in ("", "thinker.base_model.model."):
        b = adapter(tmp_path / f"b{len(prefix)}", 1, PATHS, prefix)
        report = merge_folders([a, b], tmp_path / f"out{len(prefix)}", "ta")
        assert report.layers == len(PATHS)
        assert any("base_model.model." in note for note in report.notes)
        assert sums(a, b, tmp_path / f"out{len(prefix)}") < 50


def test_adapters_that_share_no_module_are_refused(tmp_path: Path) -> None:
    a, b = adapter(tmp_path / "a", 0, ["x.q"]), adapter(tmp_path / "b", 1, ["y.k"])
    with pytest.raises(AdapterError, match=r"share no module.*'x\.q'.*'y\.k'.*--rename.*--allow-missing"):
        merge_folders([a, b], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    report = merge_folders([a, b], tmp_path / "out", "ta", allow_missing=True)
    assert report.layers == 2
    assert "a lacks 1" in report.notes[0]
    merge_folders([a, b], tmp_path / "one", "ta", rename=["^y.k$=x.q"])
    assert sums(a, b, tmp_path / "one") < 50


def test_adapters_that_share_modules_through_a_third_are_merged(tmp_path: Path) -> None:
    given = [["q"], ["k"], ["q", "k"]]
    paths = [adapter(tmp_path / str(i), i, names) for i, names in enumerate(given)]
    assert merge_folders(paths, tmp_path / "out", "ta").layers == 2


def test_nothing_is_renamed_where_shapes_say_no(tmp_path: Path) -> None:
    a, b = adapter(tmp_path / "a", 0, PATHS), adapter(tmp_path / "b", 1, [f"_orig_mod.{p}" for p in PATHS], width=7)
    with pytest.raises(AdapterError, match="share no module"):
        merge_folders([a, b], tmp_path / "out")


def test_two_ways_that_disagree_are_none(tmp_path: Path) -> None:
    towers = [f"{tower}.layers.0.q" for tower in ("text", "vision")]
    a, b = adapter(tmp_path / "a", 0, towers), adapter(tmp_path / "b", 1, ["layers.0.q"])
    with pytest.raises(AdapterError, match="share no module"):
        merge_folders([a, b], tmp_path / "out")
    assert merge_folders([a, b], tmp_path / "out", "ta", rename=["^layers=text.layers"]).layers == 2


def test_names_are_kept_where_all_agree(tmp_path: Path) -> None:
    wrapped = [f"_orig_mod.{path}" for path in PATHS]
    paths = [adapter(tmp_path / str(i), i, wrapped) for i in range(2)]
    assert merge_folders(paths, tmp_path / "out", "ta").notes == []
    assert load(tmp_path / "out").keys() == set(wrapped)


@pytest.mark.parametrize(
    ("rule", "words"), [("a", "OLD=NEW"), ("(=a", "regular"), ("=a", "OLD=NEW"), (r"q=\1", "regular")]
)
def test_renames_that_are_none(rule: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=words):
        merge_folders([adapter(tmp_path / "a", 0, ["q"])], tmp_path / "out", rename=[rule])


def test_renames_that_make_two_modules_one(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="two for one"):
        merge_folders([adapter(tmp_path / "a", 0, ["q", "k"])], tmp_path / "out", rename=["[qk]=v"])


def test_a_module_under_two_names_in_one_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {
        f"{prefix}q.lora_{x}.weight": rng.standard_normal((2, 2)).astype(np.float32)
        for prefix in ("", folders.PREFIX)
        for x in "AB"
    }
    with pytest.raises(AdapterError, match="two for one"):
        merge_folders([folders.write(tmp_path / "a", tensors)], tmp_path / "out")


def test_modules_that_some_lack_are_counted_and_named(tmp_path: Path) -> None:
    a, b = adapter(tmp_path / "a", 0, PATHS), adapter(tmp_path / "b", 1, PATHS[:20])
    (note,) = merge_folders([a, b], tmp_path / "out", "ta").notes
    assert note.startswith("4 of 24 layers are not in every adapter")
    assert f"{b} lacks 4 (model.layers.10.self_attn.q_proj …)" in note


@pytest.mark.parametrize("transformers", [False, True])
@pytest.mark.parametrize("ages", [("old", "new"), ("new", "old"), ("old", "old"), ("new", "new")])
def test_renamed_vision_language_models_load_everywhere(
    ages: tuple[str, str], transformers: bool, tmp_path: Path
) -> None:
    base = vlm.llava()
    new = [vlm.save(base, tmp_path / f"new{i}", i) for i in range(2)]
    merge_folders(new, tmp_path / "want", "ta")
    want = vlm.effect(base, tmp_path / "want")
    paths = [vlm.save(base, tmp_path / f"given{i}", i) for i in range(2)]
    for age, path in zip(ages, paths, strict=True):
        if age == "old":
            vlm.aged(path)
    merge_folders(paths, tmp_path / "out", "ta")
    got = vlm.effect(base, tmp_path / "out", transformers)
    assert torch.linalg.norm(want) > 0.1
    assert torch.linalg.norm(got - want) <= 50 * 2.0**-23 * torch.linalg.norm(want)


CLASSES = {
    "LlavaForConditionalGeneration": "llava",
    "Qwen2VLForConditionalGeneration": "qwen2_vl",
    "Gemma3ForConditionalGeneration": "gemma3",
    "ViTForImageClassification": "vit",
}


@pytest.mark.parametrize("name", CLASSES)
def test_tables_are_those_of_transformers(name: str) -> None:
    content = json.loads(renaming_tables.FILE.read_text())
    assert renaming_tables.steps(name, CLASSES[name]) in content["tables"].values()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("llava", "language_model.model.layers.0.mlp.up_proj", "model.language_model.layers.0.mlp.up_proj"),
        ("llava", "language_model.lm_head", "lm_head"),
        ("qwen2_vl", "model.layers.0.mlp.up_proj", "model.language_model.layers.0.mlp.up_proj"),
        ("qwen2_vl", "visual.blocks.0.attn.qkv", "model.visual.blocks.0.attn.qkv"),
        ("qwen2_vl", "model.language_model.layers.0.mlp.up_proj", "model.language_model.layers.0.mlp.up_proj"),
    ],
)
def test_a_table_renames_as_its_models_were(name: str, old: str, new: str) -> None:
    class_name = next(key for key, model_type in CLASSES.items() if model_type == name)
    content = json.loads(renaming_tables.FILE.read_text())["tables"]
    steps = renaming_tables.steps(class_name, name)
    owner = next(key for key, value in content.items() if value == steps)
    assert next(table for table in tables() if table.name == owner).rename(old) == new


def test_what_is_tried_does_not_grow_with_the_number_of_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    for count in (2, 200):
        modules = [
            {f"{top}.{i}.q": Module(f"{top}.{i}.q", "linear", (6, 5), 2, 1.0, "float32") for i in range(count)}
            for top in ("encoder.blocks", "decoder.h")
        ]
        calls = 0

        def counted(self: Table, path: str, rename: Any = Table.rename) -> str:
            nonlocal calls
            calls += 1
            return str(rename(self, path))

        with monkeypatch.context() as patch:
            patch.setattr(Table, "rename", counted)
            assert aligned(modules) == [None, None]
        tried.append(calls)
    assert tried[0] == tried[1]
