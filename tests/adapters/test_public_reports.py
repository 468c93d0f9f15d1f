"""Situations that people who merge adapters reported to other projects, rebuilt from random numbers.

The issues named are where the situation was described; what should happen is in the tests. Kinds of adapters, files and
refusals that have a test of their own (tests/adapters/formats, test_adapter_refusals, test_others, test_renaming) are
not repeated.
"""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import adapter_folders as folders
import needs_torch  # noqa: F401
import numpy as np
import peft_zoo as zoo
import pytest
import torch
import vlm
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.numpy import load_file, save_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

import coremerge_ref as cm
from coremerge_ref.adapters import load, merge_folders
from coremerge_ref.errors import AdapterError, ParameterError
from coremerge_ref.testing import THRESHOLD, ratio

EPS32, EPS64 = 2.0**-23, 2.0**-52


def lora(folder: Path, seed: int, shapes: dict[str, tuple[int, ...]], rank: int = 4, **fields: Any) -> Path:
    """A LoRA folder of random factors; shapes: (m, n) of linear layers, (m, c, k, k) of convolutions."""
    rng = np.random.default_rng(seed)
    dtype = fields.pop("dtype", np.float32)
    tensors = {}
    for name, (m, *rest) in shapes.items():
        tensors[f"{folders.PREFIX}{name}.lora_A.weight"] = rng.standard_normal((rank, *rest)).astype(dtype)
        up = (m, rank, *[1] * (len(rest) - 1))
        tensors[f"{folders.PREFIX}{name}.lora_B.weight"] = rng.standard_normal(up).astype(dtype)
    return folders.write(folder, tensors, r=rank, lora_alpha=rank, target_modules=list(shapes), **fields)


def dense(update: cm.LowRankUpdate) -> np.ndarray:
    return float(update.scale) * update.B.astype(float) @ update.A.astype(float)


def language_model() -> nn.Module:
    torch.manual_seed(2)
    config = LlamaConfig(
        hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, vocab_size=17, use_cache=False
    )
    return LlamaForCausalLM(config).eval()


def on_language_model(folder: Path, seed: int, **fields: Any) -> Path:
    return vlm.save(language_model(), folder, seed, **{"target_modules": ["q_proj", "v_proj"], **fields})


def test_more_adapters_than_outputs_do_not_merge_to_zero_in_silence(tmp_path: Path) -> None:
    """sd-webui-supermerger#412, fms-acceleration#138: five adapters, four rows; forty adapters of rank 1."""
    few = {"q": (16, 16), "conv_out": (4, 8, 3, 3), "router.gate": (4, 16)}
    paths = [lora(tmp_path / f"few{i}", i, few) for i in range(5)]
    many = [lora(tmp_path / f"many{i}", i, {"a": (32, 32)}, rank=1) for i in range(40)]
    for name, given in (("few", paths), ("many", many)):
        notes = merge_folders(given, tmp_path / name).notes
        zeros = [path for path, update in load(tmp_path / name).items() if not update.to_dense().any()]
        assert all(path in " ".join(notes) for path in zeros)


@pytest.mark.parametrize(("method", "weights"), [("ta", [0, 0]), ("dare", None)])
def test_a_zero_layer_is_named(method: str, weights: list[float] | None, tmp_path: Path) -> None:
    tensors = {name: np.ones_like(tensor) for name, tensor in folders.lora_tensors().items()}
    paths = [folders.write(tmp_path / str(i), tensors) for i in range(2)]
    stage = cm.Pipeline([cm.Dare(drop=0.999999, seed=1)]) if method == "dare" else method
    (note,) = merge_folders(paths, tmp_path / "out", stage, weights=weights).notes
    assert "the merged update is zero in 3 of 3 layers" in note
    assert all(name in note for name in ("layers.0.q", "conv", "emb"))


def test_untrained_layers_are_no_surprise(tmp_path: Path) -> None:
    tensors = {name: tensor * ("B" not in name[-12:]) for name, tensor in folders.lora_tensors().items()}
    paths = [folders.write(tmp_path / str(i), tensors) for i in range(2)]
    assert merge_folders(paths, tmp_path / "out", "ta").notes == []


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (r"base_model\.model\.model\.", "base_model.model."),  # trained on the model without its head
        (r"base_model\.model\.", "base_model.model._orig_mod."),  # torch.compile
        (r"base_model\.model\.", "base_model.model.module."),  # DistributedDataParallel
        (r"base_model\.model\.", "thinker.base_model.model."),  # saved with the model around it
        (r"base_model\.model\.", ""),  # transformers' save_peft_format=False
    ],
)
def test_names_that_peft_cannot_place(pattern: str, replacement: str, order: int, tmp_path: Path) -> None:
    """peft#1579, Automodel#3595, peft#2957, peft#1932: merged with a good adapter, the second one was lost."""
    base = language_model()
    good = [on_language_model(tmp_path / f"good{i}", i) for i in range(2)]
    merge_folders(good, tmp_path / "want", "ta")
    odd = vlm.renamed(shutil.copytree(good[1], tmp_path / "odd"), pattern, replacement)
    report = merge_folders([good[0], odd][::order], tmp_path / "out", "ta")
    assert report.layers == 4
    assert any("odd" in note for note in report.notes)
    want = vlm.effect(base, tmp_path / "want")
    for loader in (False, True):
        got = vlm.effect(base, tmp_path / "out", loader)
        assert torch.linalg.norm(got - want) <= THRESHOLD * EPS32 * torch.linalg.norm(want)


def test_a_truncated_adapter_is_named(tmp_path: Path) -> None:
    """peft#3584: half the layers were lost on saving."""
    whole, cut = (on_language_model(tmp_path / name, i) for i, name in enumerate(("whole", "cut")))
    tensors = load_file(cut / "adapter_model.safetensors")
    save_file({n: t for n, t in tensors.items() if ".layers.0." in n}, cut / "adapter_model.safetensors")
    (note,) = merge_folders([whole, cut], tmp_path / "out", "ta").notes
    assert "cut lacks 2" in note


def test_adapters_without_the_prefix_load_after_a_merge(tmp_path: Path) -> None:
    """Automodel#3595, #2120: none of them has PEFT's prefix; PEFT alone drops them, the merge does not."""
    base = language_model()
    paths = [on_language_model(tmp_path / f"bare{i}", i) for i in range(2)]
    merge_folders(paths, tmp_path / "want", "ta")
    for path in paths:
        vlm.renamed(path, r"^base_model\.model\.", "")
    (note,) = merge_folders(paths, tmp_path / "out", "ta").notes
    assert "the output" in note or "in the output" in note
    assert torch.equal(vlm.effect(base, tmp_path / "out"), vlm.effect(base, tmp_path / "want"))


def test_adapters_in_folders_of_their_names(tmp_path: Path) -> None:
    """peft#2252, peft#2699: save_pretrained under a name other than default, one that PEFT itself uses."""
    with zoo.quiet():
        model = get_peft_model(zoo.Mlp(), zoo.lora(["a", "c"]), adapter_name="lora")
        model.save_pretrained(str(tmp_path / "n1"))
    with pytest.raises(AdapterError, match=r"folder of adapters.*'lora'"):
        merge_folders([tmp_path / "n1"], tmp_path / "out")
    assert merge_folders([tmp_path / "n1" / "lora"], tmp_path / "out", "ta").layers == 3


def test_modules_whose_names_hold_weight_and_bias(tmp_path: Path) -> None:
    """peft#2772."""
    names = {"weight_net.bias_proj": (6, 5), "x.weight": (6, 5), "bias": (6, 5), "lora_A.q": (6, 5)}
    paths = [lora(tmp_path / str(i), i, names) for i in range(2)]
    assert merge_folders(paths, tmp_path / "out", "ta").layers == 4
    assert load(tmp_path / "out").keys() == names.keys()


def test_vocabularies_of_two_sizes(tmp_path: Path) -> None:
    """axolotl#2277, mergekit#328: refused by name, and merged without the head when asked."""
    paths = [lora(tmp_path / str(v), v, {"q": (12, 12), "lm_head": (v, 12)}) for v in (40, 42)]
    with pytest.raises(AdapterError, match=r"'lm_head'.*\(40, 12\).*\(42, 12\).*--exclude"):
        merge_folders(paths, tmp_path / "out", "ta")
    assert merge_folders(paths, tmp_path / "out", "ta", exclude=["lm_head"]).layers == 1


def test_a_grouped_convolution_is_left_out_when_asked(tmp_path: Path) -> None:
    """peft#2549, peft#2567, LyCORIS#285: PEFT cannot merge it either."""

    class Grouped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dw, self.pw = nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 6, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.pw(self.dw(x))

    paths = []
    for i in range(2):
        torch.manual_seed(i)
        with zoo.quiet():
            get_peft_model(Grouped(), zoo.lora(["dw", "pw"])).save_pretrained(str(tmp_path / str(i)))
        paths.append(tmp_path / str(i))
    with pytest.raises(AdapterError, match=r"'base_model\.model\.dw'.*grouped"):
        merge_folders(paths, tmp_path / "out", "ta")
    merge_folders(paths, tmp_path / "out", "ta", exclude=["dw"])
    assert set(zoo.deltas(zoo.load(Grouped(), tmp_path / "out"))) == {"pw.weight"}


def test_a_rank_pattern_beside_a_wider_alpha_pattern(tmp_path: Path) -> None:
    """peft#2194, axolotl#3673, peft#3582: exact beside PEFT's own update."""
    fields = {"r": 4, "lora_alpha": 6, "rank_pattern": {"q_proj": 2}, "alpha_pattern": {".*_proj": 9}}
    base = language_model()
    paths = [on_language_model(tmp_path / str(i), i, **fields) for i in range(2)]
    merge_folders(paths, tmp_path / "out", "ta")
    each, got = [zoo.deltas(zoo.load(base, path)) for path in paths], zoo.deltas(zoo.load(base, tmp_path / "out"))
    for name, delta in got.items():
        size = float(sum(torch.linalg.norm(d[name]) for d in each))
        assert ratio(delta.numpy(), (each[0][name] + each[1][name]).numpy(), size, EPS32) < THRESHOLD


@pytest.mark.parametrize("rank", [None, 8])
def test_readers_that_know_one_rank_and_one_alpha(rank: int | None, tmp_path: Path) -> None:
    """vllm#2847, llama.cpp#8332, diffusers#14409: alpha over the rows of the tensor is 1 everywhere, as meant."""
    paths = [
        on_language_model(tmp_path / "0", 0, r=8, target_modules=["q_proj", "o_proj"]),
        on_language_model(tmp_path / "1", 1, r=12, target_modules=["q_proj"]),
    ]
    for ragged in (False, True):
        merge_folders(paths, tmp_path / str(ragged), "ta", rank=rank, ragged=ragged)
    config = json.loads((tmp_path / "False" / "adapter_config.json").read_text())
    for name, tensor in load_file(tmp_path / "False" / "adapter_model.safetensors").items():
        assert config["lora_alpha"] / tensor.shape["lora_B" in name] == 1
    for path, update in load(tmp_path / "False").items():
        assert np.array_equal(update.to_dense(), load(tmp_path / "True")[path].to_dense())


def test_repeated_singular_values_and_wide_scales(tmp_path: Path) -> None:
    """LoRA-Optimizer#9, kohya_ss#1460: orthonormal equal factors, rank 1 stored at 64, float16 subnormals."""
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((32, 8)))[0]
    wide = np.zeros((64, 32))
    wide[0] = 1
    tiny = np.full((2, 32), 2.0**-20)
    cases = {"equal": (Q, Q.T), "stored wide": (wide.T[:, :64], wide), "subnormal": (tiny.T, tiny)}
    for name, (B, A) in cases.items():
        dtype = np.float16 if name == "subnormal" else np.float64
        tensors = {
            f"{folders.PREFIX}a.lora_A.weight": A.astype(dtype),
            f"{folders.PREFIX}a.lora_B.weight": B.astype(dtype),
        }
        rank = A.shape[0]
        paths = [folders.write(tmp_path / f"{name}{i}", tensors, r=rank, lora_alpha=rank) for i in range(2)]
        for method in ("ta", "tsv"):
            merge_folders(paths, tmp_path / f"{name} {method}", method, dtype="float64")
            got = load(tmp_path / f"{name} {method}")["a"].to_dense()
            size = np.linalg.norm(B.astype(dtype).astype(float)) * np.linalg.norm(A.astype(dtype).astype(float))
            want = 2 * B.astype(dtype).astype(float) @ A.astype(dtype).astype(float)
            if method == "ta":
                assert ratio(got, want, 2 * size, EPS64) < THRESHOLD
            assert np.all(np.isfinite(got))


def test_weights_one_and_zero_give_the_first_adapter_of_a_sum_only(tmp_path: Path) -> None:
    """peft#1155: a weight of 0 is not leaving an adapter out; the help says so."""
    paths = [lora(tmp_path / str(i), i, {"a": (12, 10)}) for i in range(5)]
    first = dense(load(paths[0])["a"])
    apart = {}
    for method in ("ta", "mean", "tsv", "ties"):
        merge_folders(paths, tmp_path / method, method, weights=[1, 0, 0, 0, 0], dtype="float64")
        got = load(tmp_path / method)["a"].to_dense()
        apart[method] = ratio(got, first, float(np.linalg.norm(first)), EPS64)
    assert max(apart["ta"], apart["mean"]) < THRESHOLD
    assert min(apart["tsv"], apart["ties"]) > 1e6


def test_negative_and_vanishing_weights(tmp_path: Path) -> None:
    """peft#2918, sd-scripts#839."""
    paths = [lora(tmp_path / str(i), i, {"a": (24, 20)}) for i in range(2)]
    a, b = (dense(load(path)["a"]) for path in paths)
    merge_folders(paths, tmp_path / "out", "ta", weights=[1, -0.5], dtype="float64")
    size = float(np.linalg.norm(a) + np.linalg.norm(b))
    assert ratio(load(tmp_path / "out")["a"].to_dense(), a - 0.5 * b, size, EPS64) < THRESHOLD
    merge_folders(paths, tmp_path / "zero", "ta", weights=[0, 0])
    assert not load(tmp_path / "zero")["a"].to_dense().any()
    with pytest.raises(ParameterError, match="sum to 0"):
        merge_folders(paths, tmp_path / "mean", "mean", weights=[1, -1])


def test_a_convolution_in_three_dimensions_with_kernel_one(tmp_path: Path) -> None:
    """peft#3768: right beside the forward pass, where PEFT's own merge fails."""

    class Volume(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c = nn.Conv3d(3, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.c(x)

    torch.manual_seed(0)
    base = Volume()
    with zoo.quiet():
        model = get_peft_model(copy.deepcopy(base), LoraConfig(r=2, target_modules=["c"], init_lora_weights=False))
        model.save_pretrained(str(tmp_path / "a"))
    merge_folders([tmp_path / "a"], tmp_path / "out", "ta")
    with zoo.quiet():
        merged = PeftModel.from_pretrained(copy.deepcopy(base), str(tmp_path / "out"))
    x = torch.randn(2, 3, 4, 4, 4)
    with torch.no_grad():
        want = model(x) - base(x)
        got = merged(x) - base(x)
    assert torch.linalg.norm(got - want) <= THRESHOLD * EPS32 * torch.linalg.norm(want)


def test_paths_of_every_kind(tmp_path: Path) -> None:
    """Snapshots of symlinks, Unicode, brackets, a trailing slash: merged; what is no folder: one line naming it."""
    real = lora(tmp_path / "blobs", 0, {"q": (6, 5)})
    snapshot = tmp_path / "snäpshot [1] 模型"
    snapshot.mkdir()
    for entry in real.iterdir():
        os.symlink(entry, snapshot / entry.name)
    report = merge_folders([f"{snapshot}/", real], tmp_path / "oüt [2]", "ta")
    assert (report.layers, load(tmp_path / "oüt [2]").keys()) == (1, {"q"})
    os.symlink(tmp_path / "oüt [2]", tmp_path / "link")
    for bad, word in ((tmp_path / "link", "link"), (tmp_path / "no" / "parent", "parent")):
        with pytest.raises(AdapterError, match=word):
            merge_folders([real], bad, "ta", force=True)


@pytest.mark.parametrize("backend", ["torch", "jax", "cupy"])
def test_a_merge_is_the_same_twice_and_on_every_library(backend: str, tmp_path: Path) -> None:
    paths = [lora(tmp_path / str(i), i, {"q": (24, 20), "k": (24, 20)}) for i in range(3)]
    for name in ("one", "two"):
        merge_folders(paths, tmp_path / name, "tsv")
    files = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]
    merge_folders(paths, tmp_path / backend, "tsv", backend=backend, dtype="float64")
    merge_folders(paths[::-1], tmp_path / "reversed", "tsv", dtype="float64")
    merge_folders(paths, tmp_path / "wide", "tsv", dtype="float64")
    for path, want in load(tmp_path / "wide").items():
        dense = want.to_dense()
        for other in (backend, "reversed"):
            assert (
                ratio(load(tmp_path / other)[path].to_dense(), dense, float(np.linalg.norm(dense)), EPS64, 1e3)
                < THRESHOLD
            )


def test_one_thread_or_many_give_the_same_bytes(tmp_path: Path) -> None:
    paths = [str(lora(tmp_path / str(i), i, {f"l.{k}.q": (24 + k, 20) for k in range(6)})) for i in range(3)]
    script = (
        "import sys, coremerge_ref.adapters.backends as b; b._processors = lambda: int(sys.argv[1]);"
        "from coremerge_ref.adapters import merge_folders; merge_folders(sys.argv[3:], sys.argv[2], 'tsv')"
    )
    for count in ("1", "3"):
        subprocess.run([sys.executable, "-c", script, count, str(tmp_path / f"out{count}"), *paths], check=True)
    files = [(tmp_path / f"out{count}" / "adapter_model.safetensors").read_bytes() for count in ("1", "3")]
    assert files[0] == files[1]


def test_a_config_in_another_encoding(tmp_path: Path) -> None:
    """LlamaFactory#7016: a Chinese Windows wrote GBK; a byte order mark."""
    path = lora(tmp_path / "a", 0, {"q": (6, 5)}, base_model_name_or_path="模型")
    config = json.loads((path / "adapter_config.json").read_text())
    (path / "adapter_config.json").write_bytes(json.dumps(config, ensure_ascii=False).encode("gbk"))
    with pytest.raises(AdapterError, match=r"adapter_config\.json.*utf-8"):
        merge_folders([path], tmp_path / "out")
    (path / "adapter_config.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(config).encode())
    with pytest.raises(AdapterError, match=r"adapter_config\.json.*BOM"):
        merge_folders([path], tmp_path / "out")


def test_an_adapter_in_shards(tmp_path: Path) -> None:
    """Large adapters are saved over several files with an index: merged as the one file is."""
    path = lora(tmp_path / "a", 0, {"q": (6, 5), "k": (6, 5)})
    merge_folders([path], tmp_path / "want", "ta")
    tensors = load_file(path / "adapter_model.safetensors")
    places = {name: f"adapter_model-0000{1 + ('.k.' in name)}-of-00002.safetensors" for name in tensors}
    for file in set(places.values()):
        save_file({n: t for n, t in tensors.items() if places[n] == file}, path / file)
    (path / "adapter_model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (path / "adapter_model.safetensors").unlink()
    report = merge_folders([path], tmp_path / "out", "ta")
    assert report.notes == []
    files = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("want", "out")]
    assert files[0] == files[1]


def test_a_pointer_in_place_of_the_file(tmp_path: Path) -> None:
    """kohya_ss#968: git without lfs."""
    path = lora(tmp_path / "a", 0, {"q": (6, 5)})
    (path / "adapter_model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    )
    with pytest.raises(AdapterError, match=r"git-lfs pointer.*git lfs pull"):
        merge_folders([path], tmp_path / "out")


def test_a_base_model_in_four_bits(tmp_path: Path) -> None:
    """trl#4973, litgpt#771: weights packed into one column say nothing of how wide a layer is."""
    vera = folders.vera_tensors()
    vera[f"{folders.PREFIX}k.vera_lambda_b"] = np.ones(3, np.float32)
    path = folders.write(tmp_path / "a", vera, peft_type="VERA")
    save_file({f"{name}.weight": np.zeros((10, 1), np.uint8) for name in "qk"}, tmp_path / "base.safetensors")
    with pytest.raises(AdapterError, match=r"quantized|4-bit|packed"):
        merge_folders([path], tmp_path / "out", base=tmp_path / "base.safetensors")
