"""Adapters looked at or converted for their updates alone: what was trained beside these is told, and left out."""

import hashlib
import json
from pathlib import Path
from typing import Any

import adapter_folders as folders
import numpy as np
import pytest
from safetensors.numpy import load_file
from said import parts

from coremerge_ref.adapters import convert_adapter
from coremerge_ref.adapters.beside import beside, open_one, open_updates
from coremerge_ref.errors import AdapterError, ParameterError

HEADS = ["classifier.weight", "head.weight", "score.weight", "zz.weight"]


def with_heads(folder: Path, count: int, **fields: Any) -> Path:
    """An adapter with so many heads, the last in the alphabet first."""
    names = HEADS[:count]
    heads = {f"{folders.PREFIX}{name}": np.ones((2, 4), np.float32) for name in reversed(names)}
    modules = [name.removesuffix(".weight") for name in names] or None
    return folders.write(folder, folders.lora_tensors() | heads, modules_to_save=modules, **fields)


@pytest.mark.parametrize(
    ("count", "much", "names"),
    [
        (1, "1 tensor ", "(classifier.weight)"),
        (2, "2 tensors ", "(classifier.weight, head.weight)"),
        (3, "3 tensors ", "(classifier.weight, head.weight, score.weight)"),
        (4, "4 tensors ", "(classifier.weight, head.weight, score.weight …)"),
    ],
)
def test_what_is_beside_the_update_is_counted_and_named(count: int, much: str, names: str, tmp_path: Path) -> None:
    path = with_heads(tmp_path / "a", count)
    (adapter, place) = open_one(path, "drop")
    said = beside(adapter, place, " END")
    assert said.startswith(f"{path}: {much}")
    assert said.endswith(f"{names} END")
    assert "--others" in beside(adapter, place)
    assert adapter.modules.keys() == {f"{folders.PREFIX}{name}" for name in ("layers.0.q", "conv", "emb")}


def test_nothing_is_said_where_nothing_is_beside(tmp_path: Path) -> None:
    assert beside(*open_one(folders.write(tmp_path / "a"), "drop")) == ""


def test_to_look_at_adapters_none_is_refused_and_each_is_told_of(tmp_path: Path) -> None:
    paths = [with_heads(tmp_path / name, count) for name, count in (("a", 0), ("b", 1), ("c", 2))]
    adapters, notes = open_updates(paths)
    assert [adapter.path for adapter in adapters] == paths
    assert [note.split(" trained")[0] for note in notes] == [f"{paths[1]}: 1 tensor", f"{paths[2]}: 2 tensors"]


@pytest.mark.parametrize("others", ["first", "mean", "some", None])
def test_one_adapter_has_no_first_and_no_mean(others: Any, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=parts(f"others: … refuse … drop … {others!r}")):
        open_one(folders.write(tmp_path / "a"), others)


def test_a_conversion_refuses_what_is_beside_or_leaves_it_out_and_says_so(tmp_path: Path) -> None:
    path = with_heads(tmp_path / "a", 1, task_type="CAUSAL_LM")
    with pytest.raises(AdapterError, match="modules_to_save"):
        convert_adapter(path, tmp_path / "out", "peft")
    report = convert_adapter(path, tmp_path / "out", "peft", others="drop")
    [note] = report.notes
    assert note.startswith(f"{path}: 1 tensor ")
    assert note.endswith("(classifier.weight) left out")
    assert load_file(tmp_path / "out" / "adapter_model.safetensors").keys() == folders.lora_tensors().keys()
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (config["task_type"], config.get("modules_to_save")) == ("CAUSAL_LM", None)
    assert report.as_json() == {
        "output": str(tmp_path / "out"), "to": "peft", "modules": 3, "computed": 0, "notes": report.notes,
    }  # fmt: skip


@pytest.mark.parametrize("task", ["SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS"])
def test_a_task_whose_head_is_left_out_is_left_out_too(task: str, tmp_path: Path) -> None:
    """PEFT would look for the head on loading."""
    path = with_heads(tmp_path / "a", 1, task_type=task)
    report = convert_adapter(path, tmp_path / "out", "peft", others="drop")
    assert [task in note for note in report.notes] == [False, True]
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["task_type"] is None
    plain = folders.write(tmp_path / "b", task_type=task)
    assert convert_adapter(plain, tmp_path / "plain", "peft", others="drop").notes == []
    assert json.loads((tmp_path / "plain" / "adapter_config.json").read_text())["task_type"] == task


def test_the_record_of_a_conversion_has_all_hashes(tmp_path: Path) -> None:
    path = folders.write(tmp_path / "a")
    convert_adapter(path, tmp_path / "out", "peft")
    record = json.loads((tmp_path / "out" / "coremerge.json").read_text())
    names = ("adapter_config.json", "adapter_model.safetensors")
    inputs, outputs = (
        {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
        for folder in (path, tmp_path / "out")
    )
    assert record["converted"] == {"path": str(path), "sha256": inputs}
    assert (record["outputs"], record["to"]) == (outputs, "peft")


def test_a_conversion_replaces_with_force_and_says_what_it_kept(tmp_path: Path) -> None:
    path, out = folders.write(tmp_path / "a"), tmp_path / "out"
    convert_adapter(path, out, "peft")
    (out / "mine.txt").write_text("x")
    with pytest.raises(AdapterError, match=parts(f"'{out}': … --force")):
        convert_adapter(path, out, "peft")
    assert any("mine.txt" in note for note in convert_adapter(path, out, "peft", force=True).notes)
    with pytest.raises(AdapterError, match="an input"):
        convert_adapter(path, path, "peft", force=True)


@pytest.mark.parametrize("entry", [7e4, -7e4])
def test_factors_that_do_not_fit_their_dtype_are_refused_by_name(entry: float, tmp_path: Path) -> None:
    """LoHa's product of two pairs, of float16, is computed: 7e4 is beyond that."""
    rng = np.random.default_rng(0)
    pairs = {"w1_a": (4, 1), "w1_b": (1, 5), "w2_a": (4, 1), "w2_b": (1, 5)}
    tensors = {f"{folders.PREFIX}q.hada_{name}": rng.uniform(1, 2, shape) for name, shape in pairs.items()}
    tensors[f"{folders.PREFIX}q.hada_w1_a"] *= 200.0
    tensors[f"{folders.PREFIX}q.hada_w2_a"] *= entry / 200
    tensors = {name: array.astype(np.float16) for name, array in tensors.items()}
    path = folders.write(
        tmp_path / "a", tensors, peft_type="LOHA", r=1, alpha=1, target_modules=["q"], lora_alpha=None,
        use_rslora=None, fan_in_fan_out=None, bias=None,
    )  # fmt: skip
    with pytest.raises(AdapterError, match=parts(f"'{path}': … 'q': … float16")):
        convert_adapter(path, tmp_path / "out", "peft")
    assert not (tmp_path / "out").exists()
