"""MLX folders and GGUF adapters: orientation, scale, experts, and what is written, by hand and with gguf and mlx-lm."""

import json
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from gguf_files import ALPHA, gguf_file, gguf_tensors
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from coremerge_ref.adapters import Adapter, merge_folders
from coremerge_ref.errors import AdapterError
from coremerge_ref.testing import THRESHOLD, ratio

WEIGHTS = (1.0, -0.5)


def draw(seed: int, *shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def mlx_tensors(seed: int, r: int) -> dict[str, np.ndarray]:
    """A linear layer of 5 inputs and 4 outputs, and three experts of 6 inputs and 7 outputs."""
    return {
        "model.layers.0.q_proj.lora_a": draw(seed, 5, r),
        "model.layers.0.q_proj.lora_b": draw(seed + 1, r, 4),
        "model.layers.0.mlp.up_proj.lora_a": draw(seed + 2, 3, r, 6),
        "model.layers.0.mlp.up_proj.lora_b": draw(seed + 3, 3, 7, r),
    }


def mlx_folder(folder: Path, tensors: dict[str, np.ndarray], scale: Any, **fields: Any) -> Path:
    folder.mkdir()
    save_file({name: np.ascontiguousarray(a) for name, a in tensors.items()}, folder / "adapters.safetensors")
    rank = 2
    parameters = {"rank": rank, "scale": scale, "dropout": 0.1, "keys": ["self_attn.q_proj"]}
    config = {"fine_tune_type": "lora", "lora_parameters": parameters, "model": "m", "num_layers": 4, **fields}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def mlx_dense(folder: Path) -> dict[str, np.ndarray]:
    """scale · (a b)ᵀ, or scale · b a of each expert, as mlx-lm's fuse has them."""
    tensors = {name: a.astype(np.float64) for name, a in load_file(folder / "adapters.safetensors").items()}
    scale = json.loads((folder / "adapter_config.json").read_text())["lora_parameters"]["scale"]
    made = {}
    for name, a in tensors.items():
        module, found, _ = name.partition(".lora_a")
        if found:
            b = tensors[f"{module}.lora_b"]
            made[module] = scale * ((a @ b).T if a.ndim == 2 else b @ a)
    return made


def check(got: dict[str, np.ndarray], each: list[dict[str, np.ndarray]]) -> None:
    assert got.keys() == each[0].keys()
    for name, change in got.items():
        parts = [w * part[name] for w, part in zip(WEIGHTS, each, strict=True)]
        size = sum(float(np.linalg.norm(part)) for part in parts)
        assert ratio(change, sum(parts), scale=size, eps=2.0**-23) <= THRESHOLD, name


def test_mlx_folders_are_merged_into_one_that_mlx_loads(tmp_path: Path) -> None:
    paths = [
        mlx_folder(tmp_path / "a", mlx_tensors(0, 2), 10.0),
        mlx_folder(tmp_path / "b", mlx_tensors(9, 3), 2, num_layers=8),
    ]
    merge_folders(paths, tmp_path / "out", "ta", weights=WEIGHTS, ragged=True)
    check(mlx_dense(tmp_path / "out"), [mlx_dense(path) for path in paths])
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    ranks = {a.shape[1] for name, a in load_file(tmp_path / "out" / "adapters.safetensors").items() if "lora_a" in name}
    assert config == {
        "fine_tune_type": "lora",
        "lora_parameters": {"rank": 5, "scale": 1.0, "dropout": 0.0, "keys": ["self_attn.q_proj"]},
        "model": "m",
        "num_layers": 8,
    }
    assert ranks == {5}  # mlx-lm knows one rank
    with safe_open(tmp_path / "out" / "adapters.safetensors", "numpy") as file:
        assert file.metadata() is None


@pytest.mark.parametrize(
    ("fields", "tensors", "words"),
    [
        ({"fine_tune_type": "dora"}, {}, ["dora", "extract"]),
        ({"fine_tune_type": "full"}, {}, ["full", "extract"]),
        ({"lora_parameters": None}, {}, ["scale"]),
        ({"lora_parameters": {"scale": "x"}}, {}, ["scale"]),
        ({"lora_parameters": {"scale": True}}, {}, ["scale"]),
        ({}, {"model.layers.0.q_proj.m": draw(0, 4)}, ["DoRA"]),
        ({}, {"x.lora_a": draw(0, 5, 2)}, ["lora_a and lora_b"]),
        ({}, {"x.lora_a": draw(0, 5, 2), "x.lora_b": draw(0, 3, 4)}, ["(5, 2)", "(3, 4)"]),
        ({}, {"x.bias": draw(0, 5)}, ["bias"]),
    ],
)
def test_mlx_folders_that_are_no_product(fields: Any, tensors: Any, words: list[str], tmp_path: Path) -> None:
    folder = mlx_folder(tmp_path / "a", mlx_tensors(0, 2) | tensors, 1.0, **fields)
    with pytest.raises(AdapterError) as caught:
        merge_folders([folder], tmp_path / "out")
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_mlx_lm_itself_loads_and_fuses_the_output(tmp_path: Path) -> None:
    mx = pytest.importorskip("mlx.core")
    llama = pytest.importorskip("mlx_lm.models.llama")
    utils = pytest.importorskip("mlx_lm.tuner.utils")
    arguments = llama.ModelArgs(
        model_type="llama",
        hidden_size=16,
        num_hidden_layers=2,
        intermediate_size=24,
        num_attention_heads=2,
        rms_norm_eps=1e-5,
        vocab_size=19,
    )

    def model() -> Any:
        mx.random.seed(0)
        made = llama.Model(arguments)
        mx.eval(made.parameters())
        return made

    def effect(folder: Path) -> dict[str, np.ndarray]:
        loaded = utils.load_adapters(model(), str(folder))
        before = {name: np.array(layer.weight) for name, layer in model().named_modules() if name.endswith("_proj")}
        after = {n: m.fuse() if hasattr(m, "fuse") else m for n, m in loaded.named_modules() if n.endswith("_proj")}
        return {name: change for name in before if (change := np.array(after[name].weight) - before[name]).any()}

    keys = ["self_attn.q_proj", "mlp.down_proj"]
    paths = []
    for t, rank in enumerate((2, 3)):
        trained = model()
        utils.linear_to_lora_layers(trained, 2, {"rank": rank, "scale": 2.0 + t, "dropout": 0.0, "keys": keys})
        mx.random.seed(t)
        tensors = {name: mx.random.normal(a.shape) for name, a in flat(trained) if ".lora_" in name}
        folder = tmp_path / str(t)
        folder.mkdir()
        mx.save_safetensors(str(folder / "adapters.safetensors"), tensors)
        parameters = {"rank": rank, "scale": 2.0 + t, "dropout": 0.0, "keys": keys}
        config = {"fine_tune_type": "lora", "num_layers": 2, "lora_parameters": parameters}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        paths.append(folder)
    merge_folders(paths, tmp_path / "out", "ta", weights=WEIGHTS)
    got, each = effect(tmp_path / "out"), [effect(path) for path in paths]
    assert len(got) == 4
    check(got, each)


def flat(model: Any) -> Any:
    from mlx.utils import tree_flatten  # type: ignore[import-not-found]

    return tree_flatten(model.parameters())


def gguf_dense(tensors: dict[str, np.ndarray], alpha: float | None) -> dict[str, np.ndarray]:
    """s · b a, of the token embedding s · a bᵀ, as llama.cpp adds them."""
    made = {}
    for name, array in tensors.items():
        module, found, _ = name.partition(".lora_a")
        if found:
            a, b = array.astype(np.float64), tensors[f"{module}.lora_b"].astype(np.float64)
            s = alpha / b.shape[-1] if alpha else 1.0
            made[module] = s * (a @ b.T if module.startswith("token_embd") else b @ a)
    return made


def gguf_read(path: Path) -> tuple[dict[str, np.ndarray], float]:
    gguf = pytest.importorskip("gguf")
    reader = gguf.GGUFReader(path)
    tensors = {t.name: np.array(t.data).reshape(tuple(reversed(t.shape.tolist()))) for t in reader.tensors}
    return tensors, reader.fields["adapter.lora.alpha"].contents()


@pytest.mark.parametrize("alphas", [(ALPHA, 3.0), (0.0, None)])
def test_gguf_adapters_of_unlike_ranks_and_alphas(alphas: tuple[float | None, ...], tmp_path: Path) -> None:
    inputs = [gguf_tensors(0, 2), gguf_tensors(9, 3, np.float16)]
    paths = [gguf_file(tmp_path / f"{t}.gguf", inputs[t], alphas[t]) for t in range(2)]
    merge_folders(paths, tmp_path / "out.gguf", "ta", weights=WEIGHTS)
    tensors, alpha = gguf_read(tmp_path / "out.gguf")
    assert alpha == 5
    assert tensors.keys() == inputs[0].keys()
    check(gguf_dense(tensors, alpha), [gguf_dense(one, a) for one, a in zip(inputs, alphas, strict=True)])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.gguf", "1.gguf", "out.coremerge.json", "out.gguf"]


def test_quantized_gguf_is_read_as_the_numbers_it_holds(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    plain = {name: draw(3, 32, 64) for name in ("a.weight.lora_a", "a.weight.lora_b")}
    plain["a.weight.lora_b"] = draw(4, 8, 32)
    q8 = gguf.GGMLQuantizationType.Q8_0
    quantized = {name: (gguf.quants.quantize(array, q8), q8) for name, array in plain.items()}
    held = {name: gguf.quants.dequantize(data, kind) for name, (data, kind) in quantized.items()}
    update = Adapter(gguf_file(tmp_path / "q.gguf", quantized)).load(["a.weight"])["a.weight"]
    want = gguf_dense(held, ALPHA)["a.weight"]
    assert ratio(update.to_dense(), want, scale=float(np.linalg.norm(want)), eps=2.0**-23) <= THRESHOLD
    bf16 = gguf.GGMLQuantizationType.BF16
    half = {n: (a.astype(ml_dtypes.bfloat16).view(np.uint8), bf16) for n, a in plain.items()}
    update = Adapter(gguf_file(tmp_path / "b.gguf", half)).load(["a.weight"])["a.weight"]
    want = gguf_dense({n: a.astype(ml_dtypes.bfloat16).astype(np.float32) for n, a in plain.items()}, ALPHA)["a.weight"]
    assert ratio(update.to_dense(), want, scale=float(np.linalg.norm(want)), eps=2.0**-23) <= THRESHOLD


def test_gguf_keeps_what_all_inputs_share(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    paths = [
        gguf_file(tmp_path / f"{t}.gguf", gguf_tensors(t, 2), license="mit", description=f"d{t}") for t in range(2)
    ]
    (tmp_path / "folder").mkdir()
    paths[1].rename(tmp_path / "folder" / "only.gguf")
    merge_folders([paths[0], tmp_path / "folder"], tmp_path / "out", "ta")
    fields = gguf.GGUFReader(tmp_path / "out" / "adapter.gguf").fields
    assert fields["general.architecture"].contents() == "llama"
    assert fields["general.license"].contents() == "mit"
    assert fields["general.type"].contents() == "adapter"
    assert "general.description" not in fields


@pytest.mark.parametrize(
    ("tensors", "settings", "words"),
    [
        ({}, {"general_type": "model"}, ["'model'", "is it a model"]),
        ({}, {"adapter_type": "control_vector"}, ["control_vector"]),
        ({}, {"alpha": float("nan")}, ["alpha"]),
        ({"a.weight.lora_a": draw(0, 2, 5)}, {}, ["lora_a and lora_b"]),
        ({"a.weight.lora_a": draw(0, 2, 5), "a.weight.lora_b": draw(0, 4, 3)}, {}, ["(2, 5)", "(4, 3)"]),
        ({"output_norm.weight": draw(0, 5)}, {}, ["output_norm.weight"]),
        ({"a.weight.lora_a": np.full((2, 5), np.nan, np.float32), "a.weight.lora_b": draw(0, 4, 2)}, {}, ["NaN"]),
    ],
)
def test_gguf_files_that_are_no_product(tensors: Any, settings: Any, words: list[str], tmp_path: Path) -> None:
    path = gguf_file(tmp_path / "x.gguf", gguf_tensors(0, 2) | tensors, **settings)
    with pytest.raises(AdapterError) as caught:
        merge_folders([path], tmp_path / "out")
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_gguf_does_not_mix_with_others(tmp_path: Path) -> None:
    save_file({"a.lora_down.weight": draw(0, 2, 5), "a.lora_up.weight": draw(1, 4, 2)}, tmp_path / "x.safetensors")
    path = gguf_file(tmp_path / "x.gguf", gguf_tensors(0, 2))
    with pytest.raises(AdapterError, match="name modules differently"):
        merge_folders([path, tmp_path / "x.safetensors"], tmp_path / "out")


def test_a_header_without_metadata_as_mlx_writes_it(tmp_path: Path) -> None:
    folder = mlx_folder(tmp_path / "a", mlx_tensors(0, 2), 1.0)
    content = (folder / "adapters.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = {"__metadata__": None, **json.loads(content[8 : 8 + size])}
    text = json.dumps(header).encode()
    (folder / "adapters.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])
    assert len(Adapter(folder).modules) == 4


def test_without_the_gguf_package_the_message_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = gguf_file(tmp_path / "x.gguf", gguf_tensors(0, 2))
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(AdapterError, match="pip install gguf"):
        Adapter(path)


def test_a_result_that_gguf_cannot_hold_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    path = gguf_file(tmp_path / "x.gguf", gguf_tensors(0, 2))
    with pytest.raises(AdapterError, match="float32"):
        merge_folders([path], tmp_path / "out.gguf", "ta", scale=1e200, dtype="float64")
    assert [p.name for p in tmp_path.iterdir()] == ["x.gguf"]
