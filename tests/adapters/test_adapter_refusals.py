"""What is not a low-rank product, or no adapter at all, is refused by name in one line, and nothing is written."""

import json
import os
import struct
from pathlib import Path
from typing import Any

import adapter_folders as folders
import ml_dtypes
import numpy as np
import pytest

from coremerge_ref.adapters import Adapter, merge_folders
from coremerge_ref.errors import AdapterError, CoreMergeError, ParameterError

Q = f"{folders.PREFIX}layers.0.q."


def refused(folder: Path, *words: str, error: type[CoreMergeError] = AdapterError, **arguments: Any) -> None:
    """Merging `folder` raises one line holding all `words` and leaves no file behind."""
    before = sorted(folder.parent.iterdir())
    with pytest.raises(error) as caught:
        merge_folders([folder], folder.parent / "out", **arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    for word in words:
        assert word in message
    assert sorted(folder.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"use_dora": True}, ["use_dora", "DoRA", "merge_and_unload"]),
        ({"lora_bias": True}, ["lora_bias", "retrain"]),
        ({"bias": "all"}, ["bias", "'all'"]),
        ({"bias": "lora_only"}, ["bias", "'lora_only'"]),
        ({"modules_to_save": ["head"]}, ["modules_to_save"]),
        ({"trainable_token_indices": [1]}, ["trainable_token_indices"]),
        ({"target_parameters": ["experts.w"]}, ["target_parameters"]),
        ({"layer_replication": [[0, 2]]}, ["layer_replication"]),
        ({"use_qalora": True}, ["use_qalora"]),
        ({"alora_invocation_tokens": [1, 2]}, ["alora_invocation_tokens"]),
        ({"arrow_config": {"top_k": 3}}, ["arrow_config"]),
        ({"use_bdlora": {"nblocks": 2}}, ["use_bdlora"]),
        ({"kasa_config": {"beta": 1}}, ["kasa_config"]),
        ({"monteclora_config": {"num_samples": 8}}, ["monteclora_config"]),
        ({"velora_config": {"scale": 1}}, ["velora_config"]),
        ({"megatron_config": {"a": 1}}, ["megatron_config"]),
        ({"init_lora_weights": "pissa"}, ["pissa", "path_initial_model_for_weight_conversion"]),
        ({"init_lora_weights": "pissa_niter_4"}, ["pissa_niter_4"]),
        ({"init_lora_weights": "olora"}, ["olora"]),
        ({"init_lora_weights": "loftq"}, ["loftq"]),
        ({"init_lora_weights": "lora_ga"}, ["lora_ga"]),
        ({"init_lora_weights": "corda"}, ["corda"]),
        ({"init_lora_weights": "new"}, ["init_lora_weights", "new"]),
        ({"peft_type": "LOHA", "lora_alpha": None}, ["LOHA", "peft_type is another"]),
        ({"peft_type": "IA3"}, ["IA3", "merge_and_unload"]),
        ({"peft_type": "ADALORA"}, ["ADALORA", "not part of"]),
        ({"peft_type": 3}, ["peft_type", "unknown"]),
        ({"peft_type": None}, ["peft_type", "fine_tune_type", "none of them"]),
        ({"peft_type": "NEW"}, ["peft_type", "'NEW'", "unknown"]),
        ({"some_future_switch": True}, ["some_future_switch", "unknown"]),
        ({"r": "2"}, ["'r'", "integer"]),
        ({"r": True}, ["'r'"]),
        ({"r": 10**400}, ["'r'"]),
        ({"r": -1}, ["'r'"]),
        ({"r": 0}, ["at least 1"]),
        ({"lora_alpha": 10**400}, ["lora_alpha"]),
        ({"lora_alpha": "big"}, ["lora_alpha"]),
        ({"use_rslora": "yes"}, ["use_rslora"]),
        ({"rank_pattern": [1]}, ["rank_pattern"]),
        ({"rank_pattern": {"(": 3}}, ["'('", "regular expression"]),
        ({"alpha_pattern": {"q": None}}, ["alpha_pattern.q"]),
        ({"r": 3}, ["rank r = 3", "(2, 3, 3, 3)"]),
    ],
)
def test_configs(fields: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    refused(folders.write(tmp_path / "a", **fields), str(tmp_path / "a"), *words)


@pytest.mark.parametrize("init", [True, False, None, "gaussian", "eva", "orthogonal", "mica"])
def test_initializations_that_keep_the_base_are_accepted(init: Any, tmp_path: Path) -> None:
    assert Adapter(folders.write(tmp_path / "a", init_lora_weights=init)).modules


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        (Q + "lora_magnitude_vector", (4,), ["DoRA"]),
        (Q + "lora_B.bias", (4,), ["lora_bias"]),
        (Q + "bias", (4,), ["bias"]),
        (Q + "base_layer.bias", (4,), ["bias"]),
        (folders.PREFIX + "head.weight", (4, 4), ["modules_to_save"]),
        (folders.PREFIX + "head.modules_to_save.weight", (4, 4), ["modules_to_save"]),
        (folders.PREFIX + "emb.token_adapter.trainable_tokens_delta", (4, 4), ["token"]),
        (Q + "lora_E", (2, 1), ["AdaLoRA"]),
        (Q + "lora_A.default.weight", (2, 5), ["save_pretrained"]),
        (Q + "hada_w1_a", (2, 5), ["PEFT type"]),
        (Q + "vera_lambda_b", (4,), ["VeRA"]),
        ("what", (1,), ["unknown"]),
        ("\x1b[2J.lora_A.weight", (2, 5), ["\\x1b"]),
        (".lora_A.weight", (2, 5), ["not part of a LoRA product"]),
        (folders.PREFIX + "k.lora_A.weight", (2, 5), ["incomplete"]),
        (Q + "lora_embedding_A", (2, 5), ["incomplete"]),
        (folders.PREFIX + "emb.base_layer.weight", (7, 4), ["(7, 3)"]),
    ],
)
def test_tensor_names(name: str, shape: tuple[int, ...], words: list[str], tmp_path: Path) -> None:
    tensors = {**folders.lora_tensors(), name: np.ones(shape, np.float32)}
    refused(folders.write(tmp_path / "a", tensors), "adapter_model.safetensors", *words)


@pytest.mark.parametrize(
    ("factor", "array", "words"),
    [
        ("A", np.ones((2, 5), np.int32), ["lora_A", "I32"]),
        ("A", np.ones((2, 5), np.complex64), ["C64"]),
        ("A", np.ones((5, 2), np.float32), ["(5, 2)"]),
        ("A", np.ones(2, np.float32), ["(2,)"]),
        ("A", np.ones((2, 0), np.float32), ["(2, 0)"]),
        ("A", np.full((2, 5), np.nan, np.float32), ["lora_A", "NaN"]),
        ("B", np.full((4, 2), np.inf, np.float16), ["lora_B", "Inf"]),
        ("B", np.full((4, 2), np.inf, ml_dtypes.bfloat16), ["lora_B", "Inf"]),
        ("B", np.ones((4, 1), np.float32), ["(4, 1)"]),
    ],
)
def test_tensor_contents(factor: str, array: np.ndarray, words: list[str], tmp_path: Path) -> None:
    tensors = {**folders.lora_tensors(), f"{Q}lora_{factor}.weight": array}
    refused(folders.write(tmp_path / "a", tensors), "adapter_model.safetensors", *words)


def test_a_grouped_convolution(tmp_path: Path) -> None:
    tensors = {**folders.lora_tensors(), f"{folders.PREFIX}conv.lora_B.weight": np.ones((4, 1, 1, 1), np.float32)}
    refused(folders.write(tmp_path / "a", tensors), "grouped")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"base_model.vera_A": None}, ["vera_A", "save_projection"]),
        ({"base_model.vera_A": np.ones((3, 5))}, ["r = 2"]),
        ({f"{folders.PREFIX}q.vera_lambda_b": np.ones(9)}, ["at most 4"]),
        ({f"{folders.PREFIX}q.vera_lambda_d": None}, ["vera_lambda_d"]),
        ({f"{folders.PREFIX}q.bias": np.ones(4)}, ["bias"]),
        ({f"{folders.PREFIX}q.vera_lambda_b": np.ones(3)}, ["--base"]),  # two sizes: widths unknown
    ],
)
def test_vera(change: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    tensors = {n: a.astype(np.float32) for n, a in {**folders.vera_tensors(), **change}.items() if a is not None}
    refused(folders.write(tmp_path / "a", tensors, peft_type="VERA"), *words)


def test_vera_without_its_projections(tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "a", folders.vera_tensors(), peft_type="VERA", save_projection=False)
    refused(folder, "save_projection", "save_as_lora")


def header(entries: object, data: bytes = b"") -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


E = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 99) + b"{}",
        header({}),
        header({"a": E}, b"\0" * 3),
        header({"a": E}, b"\0" * 8),
        header({"a": E, "b": E}, b"\0" * 4),
        header({"a": {**E, "shape": [2**40, 2**40]}}, b"\0" * 4),
        header({"a": {**E, "shape": [-1]}}, b"\0" * 4),
        header({"a": {**E, "shape": [0, 2**62], "data_offsets": [0, 0]}}),
        header({"a": {**E, "data_offsets": [4, 0]}}, b"\0" * 4),
        header({"a": {**E, "dtype": "F4", "shape": [8]}}, b"\0" * 4),
        header({"a": {**E, "dtype": "F8_E4M3", "shape": [4]}}, b"\0" * 4),
        header({"a": {**E, "dtype": "Q7"}}, b"\0" * 4),
        header(b"[" * 10**5),
        header(b'{"a":' * 10**5),
        header(b'\xff\xfe{"a"'),
        header(b'{"\\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"\0" * 4),
        header(b'{"a":%s,"a":%s}' % (json.dumps(E).encode(), json.dumps(E).encode()), b"\0" * 4),
    ],
)
def test_hostile_safetensors(content: bytes, tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "a")
    (folder / "adapter_model.safetensors").write_bytes(content)
    refused(folder, "adapter_model.safetensors")


@pytest.mark.parametrize(
    "value",
    [
        None, 3, "F32", [], ["F32", [1], [0, 4]], {}, {"dtype": "F32", "data_offsets": [0, 4]},
        {"shape": [1], "data_offsets": [0, 4]}, {**E, "dtype": 32}, {**E, "dtype": None}, {**E, "shape": 1},
        {**E, "shape": None}, {**E, "shape": {"0": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_a_header_with_what_is_no_tensor_is_refused_by_its_name(value: object, tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "a")
    (folder / "adapter_model.safetensors").write_bytes(header({"first": E, "second": value}, b"\0" * 4))
    refused(folder, "adapter_model.safetensors", "'second'", "dtype, shape and data_offsets")


def test_a_header_of_the_largest_size_is_read_and_one_byte_more_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folders.write(tmp_path / "a")
    (size,) = struct.unpack("<Q", (folder / "adapter_model.safetensors").read_bytes()[:8])
    monkeypatch.setattr("coremerge_ref.adapters.tensors.HEADER_LIMIT", size)
    assert Adapter(folder).modules
    monkeypatch.setattr("coremerge_ref.adapters.tensors.HEADER_LIMIT", size - 1)
    refused(folder, "adapter_model.safetensors", f"at most {size - 1} bytes, got {size}")


@pytest.mark.parametrize(
    ("read", "rest", "expected"),
    [
        ("", '["a"]', "{"),
        ('{"a" ', "3}", ":"),
        (f'{{"a": {json.dumps(E)} ', '"b": 3}', ","),
        (f'{{"a": {json.dumps(E)}, ', "}", "a string"),
    ],
)
def test_what_a_header_lacks_is_said_and_where(read: str, rest: str, expected: str, tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "a")
    (folder / "adapter_model.safetensors").write_bytes(header((read + rest).encode()))
    refused(folder, "adapter_model.safetensors", f"expected {expected} at character {len(read)} of the header")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"peft_type": "LORA", "peft_type": "LORA"}',
        b'{"peft_type": "LORA", "r": NaN}',
        b'{"peft_type": "LORA", "r": ' + b"9" * 5000 + b"}",
        b'{"a":' * 10**5,
        b" " * (17 * 2**20),
    ],
)
def test_hostile_configs(content: bytes, tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "a")
    (folder / "adapter_config.json").write_bytes(content)
    refused(folder, "adapter_config.json")


def test_paths_that_are_no_adapter_folder(tmp_path: Path) -> None:
    refused(tmp_path / "missing", "nothing is there")
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file", "safetensors")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "adapter_config.json")
    os.symlink(tmp_path / "loop", tmp_path / "loop")
    refused(tmp_path / "loop", "symbolic links")
    refused(tmp_path / ("long" * 200), "too long")
    with pytest.raises(AdapterError, match="null"):
        Adapter("nul\0l")


def test_files_that_would_hang_or_never_end(tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "a")
    (folder / "adapter_model.safetensors").unlink()
    os.mkfifo(folder / "adapter_model.safetensors")
    refused(folder, "adapter_model.safetensors")
    (folder / "adapter_config.json").unlink()
    os.symlink("/dev/zero", folder / "adapter_config.json")
    refused(folder, "adapter_config.json")


def test_pickled_weights(tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "a")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    refused(folder, "adapter_model.bin", "pickled", "save_pretrained")


def test_adapters_that_do_not_fit_together(tmp_path: Path) -> None:
    one = folders.write(tmp_path / "one")
    wide = {**folders.lora_tensors(), f"{Q}lora_A.weight": np.ones((2, 6), np.float32)}
    turned = {n: t for n, t in folders.lora_tensors().items() if "conv" not in n}
    turned |= {f"{folders.PREFIX}conv.lora_A.weight": np.ones((2, 27), np.float32)}
    turned |= {f"{folders.PREFIX}conv.lora_B.weight": np.ones((4, 2), np.float32)}
    for tensors, words in ((wide, ["layers.0.q", "(4, 5)", "(4, 6)"]), (turned, ["conv", "linear"])):
        two = folders.write(tmp_path / "two", tensors)
        with pytest.raises(AdapterError) as caught:
            merge_folders([one, two], tmp_path / "out")
        assert all(word in str(caught.value) for word in [*words, str(one), str(two)])
        assert not (tmp_path / "out").exists()


def test_base_weights_that_differ(tmp_path: Path) -> None:
    name = f"{folders.PREFIX}emb.base_layer.weight"
    paths = [
        folders.write(tmp_path / str(i), {**folders.lora_tensors(i), name: np.full((7, 3), i, np.float32)})
        for i in range(2)
    ]
    with pytest.raises(AdapterError, match=r"emb.*differ"):
        merge_folders(paths, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_arguments_are_checked_before_any_folder_is_looked_at(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    refused(missing, "--rank", "--dense", error=ParameterError, method="ties", space="full")
    refused(missing, "rank", error=ParameterError, rank=0)
    refused(missing, "weights", "1", error=ParameterError, weights=[1, 2])
    refused(missing, "dtype", "int8", error=CoreMergeError, dtype="int8")
    refused(missing, "nope", error=ParameterError, method="nope")
    with pytest.raises(ParameterError, match="at least one"):
        merge_folders([], tmp_path / "out")


def test_backends_and_devices_that_are_not_there(tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "a")
    refused(folder, "backend", "mlx", error=ParameterError, backend="mlx")
    pytest.importorskip("torch")
    refused(folder, "device", "cuda:99", error=ParameterError, backend="torch", device="cuda:99")
    refused(folder, "device", "cuda", error=ParameterError, device="cuda")


def test_a_result_that_does_not_fit_its_dtype(tmp_path: Path) -> None:
    tensors = {n: (np.full_like(t, 6e4).astype(np.float16)) for n, t in folders.lora_tensors().items()}
    refused(folders.write(tmp_path / "a", tensors, lora_alpha=1e4), "float16", "--dtype")
    merge_folders([tmp_path / "a"], tmp_path / "wide", "ta", dtype="float32")
    huge = {n: np.full(t.shape, 1e300) for n, t in folders.lora_tensors().items()}
    refused(folders.write(tmp_path / "b", huge), "does not fit float64")
