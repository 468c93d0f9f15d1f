"""coremerge resize: every format gets the nearest update of each layer, as NumPy's SVD of the full matrix has it."""

import json
from pathlib import Path
from typing import Any

import adapter_folders as folders
import needs_torch  # noqa: F401
import numpy as np
import peft_zoo as zoo
import pytest
from gguf_files import gguf_file, gguf_tensors
from safetensors.numpy import load_file, save_file
from said import parts

from coremerge_ref.adapters import Adapter, resize_adapter
from coremerge_ref.adapters.verify import read_record
from coremerge_ref.errors import AdapterError, ParameterError
from coremerge_ref.testing import THRESHOLD, ratio

EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}


def updates(path: Path) -> dict[str, np.ndarray]:
    """ΔW of every module in float64, as its own reader has it, by path."""
    adapter = Adapter(path)
    held = adapter.load(adapter.modules).items()
    wide = {name: (one.scale * one.B.astype(np.float64), one.A.astype(np.float64)) for name, one in held}
    return {module.path: wide[name][0] @ wide[name][1] for name, module in adapter.modules.items()}


def check_nearest(got: np.ndarray, full: np.ndarray, k: int, eps: float) -> None:
    """`got` is of rank k at most, and as near to `full` as any such matrix: Eckart–Young, whatever the gaps."""
    S, after = (np.linalg.svd(X, compute_uv=False) for X in (full, got))
    size = float(np.linalg.norm(full))
    assert np.all(after[k:] <= THRESHOLD * eps * size)
    assert abs(np.linalg.norm(full - got) - np.linalg.norm(S[k:])) <= THRESHOLD * eps * size


def kohya(path: Path, seed: int = 0, dtype: Any = np.float32, alpha: float | None = 3.0) -> Path:
    rng = np.random.default_rng(seed)
    tensors = {}
    for i, (name, r) in enumerate((("lora_unet_a_to_q", 4), ("lora_unet_b_proj_in", 6), ("lora_unet_c_conv", 5))):
        ones, kernel = ((1, 1), (3, 3)) if i == 2 else ((1, 1), (1, 1)) if i == 1 else ((), ())
        down, up = rng.standard_normal((r, 8, *kernel)), rng.standard_normal((7, r, *ones))
        ends = ("lora_A", "lora_B") if alpha is None else ("lora_down", "lora_up")
        tensors[f"{name}.{ends[0]}.weight"] = down * np.geomspace(1, 0.01, r).reshape(-1, *(1,) * (down.ndim - 1))
        tensors[f"{name}.{ends[1]}.weight"] = up
        if alpha is not None:
            tensors[f"{name}.alpha"] = np.array(alpha)
    save_file({n: np.ascontiguousarray(t.astype(dtype)) for n, t in tensors.items()}, path, {"ss_network_module": "x"})
    return path


def mlx(folder: Path) -> Path:
    rng = np.random.default_rng(1)
    folder.mkdir()
    shapes = {
        "model.q.lora_a": (5, 3),
        "model.q.lora_b": (3, 4),
        "model.up.lora_a": (2, 3, 6),
        "model.up.lora_b": (2, 7, 3),
    }
    tensors = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(tensors, folder / "adapters.safetensors")
    parameters = {"rank": 3, "scale": 7.0, "dropout": 0.0}
    (folder / "adapter_config.json").write_text(json.dumps({"fine_tune_type": "lora", "lora_parameters": parameters}))
    return folder


MAKERS = {
    "peft": lambda p: folders.write(p / "in", folders.lora_tensors()),
    "kohya": lambda p: kohya(p / "in.safetensors"),
    "kohya float16": lambda p: kohya(p / "in.safetensors", dtype=np.float16),
    "no alphas": lambda p: kohya(p / "in.safetensors", alpha=None),
    "mlx": lambda p: mlx(p / "in"),
    "gguf": lambda p: gguf_file(p / "in.gguf", gguf_tensors(0, 3)),
    **{name: lambda p, kind=zoo.KINDS[name]: zoo.save_adapters(kind, zoo.seeded(kind), p)[0]
       for name in ("patterns", "rslora", "conv3d", "embedding", "attention", "vera of one size")},
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_every_format_at_a_rank(name: str, tmp_path: Path) -> None:
    k = 2
    given = MAKERS[name](tmp_path)
    out = tmp_path / f"out{given.suffix}"
    report = resize_adapter(given, out, rank=k)
    assert report.output == str(out)
    before, after = updates(given), updates(out)
    assert before.keys() == after.keys()
    adapter = Adapter(out)
    assert adapter.reader.family == Adapter(given).reader.family
    for module in adapter.modules.values():
        check_nearest(after[module.path], before[module.path], k, EPS[module.dtype])
        S = np.linalg.svd(before[module.path], compute_uv=False)
        facts = next(facts for path, facts in report.layers.items() if path in (module.path, module.name))
        want = float(np.linalg.norm(S[k:]) / np.linalg.norm(S))
        assert ratio(facts["error"], want, scale=1.0, eps=2.0**-52, kappa=10) <= THRESHOLD
    assert report.ranks == (min(k, max(module.rank for module in Adapter(given).modules.values())),) * 2


@pytest.mark.parametrize("name", ["kohya", "peft"])
def test_ranks_of_their_own(name: str, tmp_path: Path) -> None:
    given = MAKERS[name](tmp_path)
    out = tmp_path / f"out{given.suffix}"
    share = 0.9
    report = resize_adapter(given, out, retain=share)
    ranks = {module.path: module.rank for module in Adapter(out).modules.values()}
    for path, full in updates(given).items():
        S = np.linalg.svd(full, compute_uv=False)
        k = int(np.searchsorted(np.cumsum(S**2), share * np.sum(S**2))) + 1
        assert ranks[path] == k == report.layers[path]["rank"]
    assert len({*ranks.values()}) > 1
    assert any("--one-rank" in text for text in report.notes) == (name == "peft")
    padded = resize_adapter(given, tmp_path / f"one{given.suffix}", retain=share, one_rank=True)
    assert padded.ranks == (max(ranks.values()),) * 2
    for path, full in updates(tmp_path / f"one{given.suffix}").items():
        assert np.array_equal(full, updates(out)[path])


@pytest.mark.parametrize("name", ["mlx", "gguf", "no alphas"])
def test_formats_that_know_one_rank_get_one(name: str, tmp_path: Path) -> None:
    given = MAKERS[name](tmp_path)
    report = resize_adapter(given, tmp_path / f"out{given.suffix}", retain=0.9)
    kept = {facts["rank"] for facts in report.layers.values()}
    assert report.ranks == (max(kept),) * 2
    assert len(kept) == 1 or any("knows one rank" in text for text in report.notes)


def test_torch_gives_the_same(tmp_path: Path) -> None:
    given = MAKERS["peft"](tmp_path)
    for name in ("numpy", "torch"):
        resize_adapter(given, tmp_path / name, retain=0.9, backend=name, dtype="float64")
    one, two = updates(tmp_path / "numpy"), updates(tmp_path / "torch")
    for path, full in one.items():
        assert ratio(two[path], full, scale=float(np.linalg.norm(full)), eps=2.0**-52, kappa=10) <= THRESHOLD


def test_what_was_trained_beside_it_is_kept(tmp_path: Path) -> None:
    head = np.random.default_rng(5).standard_normal((3, 4)).astype(np.float32)
    tensors = folders.lora_tensors() | {f"{folders.PREFIX}score.weight": head}
    given = folders.write(tmp_path / "in", tensors, modules_to_save=["score"])
    report = resize_adapter(given, tmp_path / "out", rank=1)
    assert np.array_equal(
        load_file(tmp_path / "out" / "adapter_model.safetensors")[f"{folders.PREFIX}score.weight"], head
    )
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["modules_to_save"] == ["score"]
    assert [text for text in report.notes if "score" in text and "are kept as they are" in text]


def test_the_record_is_one_that_verify_reads(tmp_path: Path) -> None:
    given = MAKERS["peft"](tmp_path)
    resize_adapter(given, tmp_path / "out", retain=0.9, rank=2)
    record = read_record(tmp_path / "out" / "coremerge.json")
    assert record["rank"] == record["recipe"]["rank"] == {"rank": 2, "retain": 0.9}
    assert {path: facts["energy"] >= 0.5 for path, facts in record["layers"].items()} == dict.fromkeys(
        ["layers.0.q", "conv", "emb"], True
    )


def test_peft_loads_it_and_adds_the_nearest_update(tmp_path: Path) -> None:
    kind = zoo.KINDS["gpt2 conv1d"]
    base = zoo.seeded(kind)
    given = zoo.save_adapters(kind, base, tmp_path)[0]
    resize_adapter(given, tmp_path / "out", rank=1)
    want, got = (zoo.deltas(zoo.load(base, folder)) for folder in (given, tmp_path / "out"))
    for name, full in want.items():
        check_nearest(got[name].detach().numpy(), full.detach().numpy(), 1, 2.0**-23)


@pytest.mark.filterwarnings("ignore")
def test_lycoris_files_load_in_diffusers_as_the_nearest(tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    pytest.importorskip("lycoris.kohya")
    import torch
    from diffusers import UNet2DConditionModel
    from formats import test_lycoris_and_diffusers as real

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16, attention_head_dim=8,
    )  # fmt: skip
    for preset in ("unet-transformer-only", "unet-convblock-only"):
        given = tmp_path / f"{preset}.safetensors"
        real.kohya(unet, given, 1, preset, 4, 2.0, algo="lora", conv_dim=3, conv_alpha=1.0)
        out = tmp_path / f"{preset}-small.safetensors"
        resize_adapter(given, out, rank=2)
        want, got = real.fused(unet, given), real.fused(unet, out)
        assert want.keys() == got.keys()
        for name, change in want.items():
            flat = [part.numpy().reshape(part.shape[0], -1).astype(np.float64) for part in (got[name], change)]
            # fusing rounds W + ΔW to float32, so the weight's own size counts
            weight = float(torch.linalg.norm(unet.state_dict()[name])) / np.linalg.norm(flat[1])
            check_nearest(flat[0], flat[1], 2, 2.0**-23 * (1 + weight))


@pytest.mark.parametrize("name", ["peft", "kohya"])
def test_what_is_there_is_replaced_by_force_alone(name: str, tmp_path: Path) -> None:
    given = MAKERS[name](tmp_path)
    out = tmp_path / f"out{given.suffix}"
    resize_adapter(given, out, rank=2)
    with pytest.raises(AdapterError, match=parts(f"'{out}': … exists … --force")):
        resize_adapter(given, out, rank=1)
    assert {module.rank for module in Adapter(out).modules.values()} == {2}
    assert resize_adapter(given, out, rank=1, force=True).ranks == (1, 1)
    assert {module.rank for module in Adapter(out).modules.values()} == {1}


def test_it_is_written_in_the_dtype_that_is_asked_for(tmp_path: Path) -> None:
    given = MAKERS["peft"](tmp_path)
    for dtype in (None, "float16", "float64"):
        resize_adapter(given, tmp_path / str(dtype), rank=1, dtype=dtype)
        written = load_file(tmp_path / str(dtype) / "adapter_model.safetensors").values()
        assert {array.dtype.name for array in written} == {dtype or "float32"}


def test_progress_is_told_by_layers(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    resize_adapter(MAKERS["peft"](tmp_path), tmp_path / "out", rank=1, progress=lambda *words: told.append(words))
    assert {layer for _, _, layer in told} == {"layers.0.q", "conv", "emb"}
    assert told[-1][:2] == (3, 3)


def test_a_base_model_says_how_wide_modules_are(tmp_path: Path) -> None:
    given = folders.write(tmp_path / "in", folders.vera_tensors(), peft_type="VERA")
    save_file({f"{name}.weight": np.zeros((4, 3), np.float32) for name in "qk"}, tmp_path / "base.safetensors")
    assumed = resize_adapter(given, tmp_path / "assumed", rank=1)
    told = resize_adapter(given, tmp_path / "told", rank=1, base=tmp_path / "base.safetensors")
    assert ["--base" in " ".join(report.notes) for report in (assumed, told)] == [True, False]
    assert {full.shape for full in updates(tmp_path / "told").values()} == {(4, 3)}


@pytest.mark.parametrize(
    ("given", "error", "word"),
    [
        ({}, ParameterError, "give rank, retain, ratio or cumulative"),
        ({"rank": 0}, ParameterError, "rank"),
        ({"retain": 0.5, "cumulative": 0.5}, ParameterError, "one of retain, ratio, cumulative"),
        ({"rank": 1, "dtype": "int8"}, TypeError, "dtype"),
        ({"rank": 1, "backend": "nmpy"}, ParameterError, "nmpy"),
        ({"rank": 1, "device": "cuda:7"}, ParameterError, "cuda:7"),
    ],
)
def test_refusals(given: dict[str, Any], error: type[Exception], word: str, tmp_path: Path) -> None:
    path = folders.write(tmp_path / "in")
    with pytest.raises(error, match=word):
        resize_adapter(path, tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_what_is_no_product_is_refused_by_name(tmp_path: Path) -> None:
    path = folders.write(tmp_path / "in", use_dora=True)
    with pytest.raises(AdapterError, match="use_dora"):
        resize_adapter(path, tmp_path / "out", rank=1)
