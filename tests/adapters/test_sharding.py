"""Outputs in several files: cut where Hugging Face's libraries cut, indexed as they index, and read back."""

import json
from pathlib import Path
from typing import Any

import adapter_folders
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from coremerge_ref.adapters import Adapter, convert_adapter, load, merge_folders
from coremerge_ref.adapters.sharding import bytes_of, laid_out, shard_names
from coremerge_ref.compare.reading import read
from coremerge_ref.errors import ParameterError


@given(st.lists(st.integers(0, 12), max_size=12), st.integers(1, 20))
def test_the_layout_is_that_of_huggingface_hub(sizes: list[int], most: int) -> None:
    split = pytest.importorskip("huggingface_hub").split_state_dict_into_shards_factory
    named = {f"t{i}": size for i, size in enumerate(sizes)}
    theirs = split(
        named,
        get_storage_size=lambda size: size,
        filename_pattern="adapter_model{suffix}.safetensors",
        max_shard_size=most,
    )
    ours = laid_out(named, most)
    names = shard_names("adapter_model.safetensors", len(ours))
    assert {name: list(held) for name, held in zip(names, ours, strict=True) if held} == theirs.filename_to_tensors


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (None, None),
        (7, 7),
        ("7", 7),
        ("2GB", 2 * 10**9),
        ("2 gb", 2 * 10**9),
        ("1.5KiB", 1536),
        ("3B", 3),
        ("1TB", 10**12),
    ],
)
def test_sizes(text: Any, count: int | None) -> None:
    assert bytes_of(text) == count


@pytest.mark.parametrize("text", ["", "GB", "2 GBs", "-1", -1, 0, "0.1", 1.5, True, "1e9", "2GB/3", [1]])
def test_what_is_no_size(text: Any) -> None:
    with pytest.raises(ParameterError, match="max_shard_size: expected"):
        bytes_of(text)


def test_an_adapter_in_shards(tmp_path: Path) -> None:
    """The same update as in one file, read back, converted to one file, merged on, and replaced by one."""
    for seed, name in enumerate("ab"):
        adapter_folders.write(tmp_path / name, adapter_folders.lora_tensors(seed))
    inputs = [tmp_path / "a", tmp_path / "b"]
    merge_folders(inputs, tmp_path / "one", "tsv")
    report = merge_folders(inputs, tmp_path / "many", "tsv", max_shard_size=300)
    whole = load_file(tmp_path / "one" / "adapter_model.safetensors")
    index = json.loads((tmp_path / "many" / "adapter_model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(array.nbytes for array in whole.values())
    assert index["weight_map"].keys() == whole.keys()
    parts = {name: load_file(tmp_path / "many" / name) for name in sorted(set(index["weight_map"].values()))}
    assert list(parts) == [f"adapter_model-{i:05d}-of-{len(parts):05d}.safetensors" for i in range(1, len(parts) + 1)]
    assert len(parts) > 1
    for name, array in whole.items():
        np.testing.assert_array_equal(parts[index["weight_map"][name]][name], array, strict=True)
    assert {path.name for path in Adapter(tmp_path / "many").files} >= set(parts)
    assert any("peft, which knows one file" in note for note in report.notes)
    assert report.load == ""

    ours, theirs = load(tmp_path / "one"), load(tmp_path / "many")
    assert all(np.array_equal(ours[name].to_dense(), theirs[name].to_dense()) for name in ours)
    convert_adapter(tmp_path / "many", tmp_path / "converted", "peft")
    converted = load_file(tmp_path / "converted" / "adapter_model.safetensors")
    assert all(np.array_equal(converted[name], whole[name]) for name in whole)
    merge_folders([tmp_path / "many", tmp_path / "a"], tmp_path / "next", "ta")
    merge_folders([tmp_path / "one", tmp_path / "a"], tmp_path / "same", "ta")
    tensors = [load_file(tmp_path / name / "adapter_model.safetensors") for name in ("next", "same")]
    assert all(np.array_equal(tensors[0][name], tensors[1][name]) for name in whole)

    merge_folders(inputs, tmp_path / "many", "tsv", force=True)
    assert {path.name for path in (tmp_path / "many").iterdir()} == {path.name for path in (tmp_path / "one").iterdir()}


def test_what_fits_one_file_is_one_file(tmp_path: Path) -> None:
    adapter_folders.write(tmp_path / "a")
    merge_folders([tmp_path / "a"], tmp_path / "out", "ta", max_shard_size="1MB")
    assert (tmp_path / "out" / "adapter_model.safetensors").exists()
    assert not list((tmp_path / "out").glob("*-of-*"))


def test_full_size_output_in_shards(tmp_path: Path) -> None:
    adapter_folders.write(tmp_path / "a")
    merge_folders([tmp_path / "a"], tmp_path / "one", "ta", dense=True)
    merge_folders([tmp_path / "a"], tmp_path / "many", "ta", dense=True, max_shard_size=100)
    index = json.loads((tmp_path / "many" / "delta_weights.safetensors.index.json").read_text())["weight_map"]
    whole = load_file(tmp_path / "one" / "delta_weights.safetensors")
    assert index.keys() == whole.keys()
    (one, _), (many, _) = (
        (targets, notes) for _, targets, notes in (read([tmp_path / "a"], tmp_path / name) for name in ("one", "many"))
    )
    assert one.keys() == many.keys()
    for name, file in index.items():
        np.testing.assert_array_equal(load_file(tmp_path / "many" / file)[name], whole[name], strict=True)
