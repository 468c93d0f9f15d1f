"""Whatever does the work, processes, threads or jobs apart, the whole output is that of one process, byte for byte."""

import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lora_sets import LAYERS, SHAPES, write_adapter
from safetensors.numpy import load_file, save_file

import coremerge_ref as cm
from coremerge_ref.adapters import merge_folders

Ways = Callable[..., dict[str, bytes]]


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.fixture(scope="module")
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(3) as executor:
        yield executor


@pytest.mark.parametrize(
    "method", ["tsv", "dare+ties", cm.Ties(scope="model", density=0.4), "cart", "tsv+iso"], ids=str
)
def test_methods(method: Any, adapters: list[str], processes: Executor, in_every_way: Ways) -> None:
    in_every_way(adapters, processes, method)


@pytest.mark.parametrize(
    "how",
    [
        {"ragged": True},
        {"rank": 2},
        {"rank": {"retain": 0.9}, "ragged": True, "dtype": "bfloat16"},
        {"dense": True},
        {"dense": True, "space": "full", "method": "ties"},
        {"exclude": ["up"], "weights": [1, -0.5, 2]},
        {"weights": [{"match": "layers.1.*", "values": [1, 2, 3]}], "scale": 0.3},
        {"max_shard_size": "1kB"},
        {"max_shard_size": 4000, "ragged": True},
        {"max_shard_size": "4000B", "dense": True},
        {"max_shard_size": "2GB"},
    ],
    ids=str,
)
def test_settings(how: dict[str, Any], adapters: list[str], threads: Executor, in_every_way: Ways) -> None:
    in_every_way(adapters, threads, **how)


def test_shards_by_processes(adapters: list[str], processes: Executor, in_every_way: Ways) -> None:
    names = list(in_every_way(adapters, processes, "ta", max_shard_size="2kB"))
    assert "adapter_model-00002-of-00010.safetensors" in names
    assert "adapter_model.safetensors.index.json" in names
    assert "adapter_model.safetensors" not in names


def write_experts(folder: Path, seed: int, rank: int) -> Path:
    """Four fused experts in each of three layers (target_parameters), of two shapes, and a linear layer."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for layer in range(3):
        stem = f"base_model.model.layers.{layer}.experts"
        for name, m, n in ((f"{stem}.base_layer", 8, 6), (stem, 6, 4)):
            tensors[f"{name}.lora_A.weight"] = rng.standard_normal((4 * rank, n)).astype(np.float32)
            tensors[f"{name}.lora_B.weight"] = rng.standard_normal((m, 4 * rank)).astype(np.float32)
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "base_model_name_or_path": "tiny"}
    config |= {"target_modules": [], "target_parameters": ["experts.gate_up_proj", "experts.down_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def test_experts_whose_tensors_several_batches_fill(
    tmp_path: Path, adapters: list[str], threads: Executor, in_every_way: Ways
) -> None:
    for seed, name in enumerate(("x", "y")):
        write_experts(tmp_path / name, seed, 1 + seed)
    in_every_way(["x", "y"], threads, "tsv", ragged=True)
    in_every_way(["x", "y"], threads, "tsv", rank={"retain": 0.8}, max_shard_size=300)


def test_a_single_file(tmp_path: Path, adapters: list[str], threads: Executor, in_every_way: Ways) -> None:
    for seed in range(2):
        rng = np.random.default_rng(seed)
        tensors: dict[str, np.ndarray] = {}
        for i in range(5):
            name = f"lora_unet_blocks_{i}_to_q"
            tensors[f"{name}.lora_down.weight"] = rng.standard_normal((2 + seed, 7)).astype(np.float16)
            tensors[f"{name}.lora_up.weight"] = rng.standard_normal((9, 2 + seed)).astype(np.float16)
            tensors[f"{name}.alpha"] = np.array(1.0, np.float16)
        save_file(
            tensors, tmp_path / f"{seed}.safetensors", {"ss_network_module": "networks.lora", "sshs_model_hash": "x"}
        )
    in_every_way(["0.safetensors", "1.safetensors"], threads, "ties", output="merged.safetensors")
    in_every_way(["0.safetensors", "1.safetensors"], threads, "ties", rank={"retain": 0.9})


def test_what_lies_beside_the_update(
    tmp_path: Path, adapters: list[str], threads: Executor, in_every_way: Ways
) -> None:
    for name in adapters:
        tensors = load_file(tmp_path / name / "adapter_model.safetensors")
        tensors["base_model.model.head.weight"] = np.full((4, 3), ord(name), np.float32)
        save_file(tensors, tmp_path / name / "adapter_model.safetensors")
        config = json.loads((tmp_path / name / "adapter_config.json").read_text())
        (tmp_path / name / "adapter_config.json").write_text(json.dumps({**config, "modules_to_save": ["head"]}))
    in_every_way(adapters, threads, "ta", others="mean")
    in_every_way(adapters, threads, "ta", others="first", max_shard_size=1000)


def test_adapters_from_elsewhere(
    tmp_path: Path, adapters: list[str], processes: Executor, monkeypatch: pytest.MonkeyPatch, in_every_way: Ways
) -> None:
    """Relative paths mean what they mean here, not where the workers began; TRAINED@INITIAL too."""
    (tmp_path / "deeper").mkdir()
    monkeypatch.chdir(tmp_path / "deeper")
    config = json.loads((tmp_path / "c" / "adapter_config.json").read_text())
    write_adapter(tmp_path / "c0", 5, rank=2)
    for name in ("c", "c0"):
        (tmp_path / name / "adapter_config.json").write_text(json.dumps({**config, "init_lora_weights": "pissa"}))
    in_every_way(["../a", "../c@../c0"], processes, "ta")


def test_a_function_as_the_method(adapters: list[str], processes: Executor, threads: Executor) -> None:
    merge_folders(adapters, "out", lambda M: M.sum(0), executor=threads)
    with pytest.raises(cm.ParameterError, match=r"ProcessPoolExecutor cannot send the method.*top level"):
        merge_folders(adapters, "new", lambda M: M.sum(0), executor=processes)
    assert not Path("new").exists()


def test_progress_counts_layers(adapters: list[str], threads: Executor) -> None:
    told: list[tuple[int, int, str]] = []
    merge_folders(adapters, "out", executor=threads, progress=lambda *words: told.append(words))
    assert [total for _, total, _ in told] == [18] * len(told)
    assert sorted(done for done, _, _ in told) == [done for done, _, _ in told]
    assert told[-1][0] == 18


@pytest.mark.parametrize("wrong", [3, "threads"])
def test_what_is_no_executor(wrong: Any, adapters: list[str]) -> None:
    with pytest.raises(cm.ParameterError, match=r"executor: expected a concurrent\.futures executor"):
        merge_folders(adapters, "out", executor=wrong)


def write_base(folder: Path) -> Path:
    """A base model of the adapters' layers, in three files with an index."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    places = {}
    for i in range(3):
        names = LAYERS[6 * i : 6 * i + 6]
        tensors = {
            f"{name}.weight": rng.standard_normal(SHAPES[name.rpartition(".")[2]]).astype(np.float32) for name in names
        }
        tensors[f"norm.{i}.weight"] = np.ones(10, np.float32)
        file = f"model-{i + 1:05d}-of-00003.safetensors"
        save_file(tensors, folder / file, {"format": "pt"})
        places |= dict.fromkeys(tensors, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (folder / "config.json").write_text(json.dumps({"model_type": "tiny"}))
    return folder


@pytest.mark.parametrize("method", ["tsv", cm.Ties(scope="model")], ids=str)
def test_a_fused_model(
    method: Any, tmp_path: Path, adapters: list[str], processes: Executor, in_every_way: Ways
) -> None:
    write_base(tmp_path / "base")
    names = in_every_way(adapters, processes, method, into="base")
    assert "model-00002-of-00003.safetensors" in names


def test_a_fused_file(tmp_path: Path, adapters: list[str], threads: Executor, in_every_way: Ways) -> None:
    base = write_base(tmp_path / "base")
    tensors = {name: array for path in sorted(base.glob("*.safetensors")) for name, array in load_file(path).items()}
    save_file(tensors, tmp_path / "model.safetensors")
    in_every_way(adapters, threads, "ties", into="model.safetensors", output="fused.safetensors")
