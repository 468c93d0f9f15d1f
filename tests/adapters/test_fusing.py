"""merge --into: the fused model is what PEFT's own merge gives, in the base's files, layout and dtypes."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import adapter_folders as folders
import ml_dtypes
import needs_torch  # noqa: F401
import numpy as np
import peft_zoo as zoo
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from coremerge_ref.adapters import merge_folders
from coremerge_ref.errors import AdapterError, ParameterError
from coremerge_ref.testing import THRESHOLD, ratio

TOKENS = torch.tensor([[3, 1, 4, 1, 5]])


def llama(**fields: Any) -> Any:
    torch.manual_seed(11)
    config = LlamaConfig(
        **{"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
           "vocab_size": 19, "max_position_embeddings": 16, "use_cache": False, **fields}
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def gpt2() -> Any:
    torch.manual_seed(12)
    config = GPT2Config(n_layer=2, n_embd=12, n_head=2, vocab_size=23, n_positions=8, use_cache=False)
    config.bos_token_id = config.eos_token_id = 0
    return GPT2LMHeadModel(config).eval()


def trained(base: Any, folder: Path, seed: int, targets: list[str], **fields: Any) -> Path:
    """An adapter of random factors, saved by PEFT."""
    torch.manual_seed(seed)
    with zoo.quiet():
        config = {"r": 2, "lora_alpha": 3, "target_modules": targets, "init_lora_weights": False, **fields}
        model = get_peft_model(copy.deepcopy(base), LoraConfig(**config))
        model.save_pretrained(str(folder))
    return folder


def logits(model: Any) -> np.ndarray:
    with torch.no_grad():
        return model.double()(TOKENS).logits.numpy()


def unmerged(base: Any, folder: Path) -> np.ndarray:
    """What PEFT computes with the adapter on the base, unmerged."""
    with zoo.quiet():
        return logits(PeftModel.from_pretrained(copy.deepcopy(base), str(folder)).eval())


def check(got: np.ndarray, want: np.ndarray) -> None:
    """Weights of float32 through a few layers."""
    assert ratio(got, want, scale=float(np.linalg.norm(want)), eps=2.0**-23, kappa=10) <= THRESHOLD


@pytest.mark.parametrize(
    ("make", "targets"),
    [(llama, ["q_proj", "down_proj", "embed_tokens", "lm_head"]), (gpt2, ["c_attn", "c_proj", "c_fc"])],
)
def test_transformers_loads_it_and_computes_what_merge_and_unload_does(make: Any, targets: Any, tmp_path: Path) -> None:
    base = make()
    base.save_pretrained(tmp_path / "base", max_shard_size="4KB")
    adapter = trained(base, tmp_path / "a", 1, targets, fan_in_fan_out=make is gpt2)
    report = merge_folders([adapter], tmp_path / "out", "ta", into=tmp_path / "base")
    assert report.ranks is None
    fused = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    assert fused.dtype == torch.float32
    with zoo.quiet():
        peft = PeftModel.from_pretrained(copy.deepcopy(base), str(adapter)).merge_and_unload()
    check(logits(fused), logits(peft))
    # the base's own layout: the same tensors in the same files, and every other file
    for file in (tmp_path / "base").glob("*.safetensors"):
        with safe_open(file, "np") as before, safe_open(tmp_path / "out" / file.name, "np") as after:
            assert set(before.keys()) == set(after.keys())
            assert before.metadata() == after.metadata()
    for name in ("model.safetensors.index.json", "config.json"):
        assert json.loads((tmp_path / "out" / name).read_text()) == json.loads((tmp_path / "base" / name).read_text())
    assert len(list((tmp_path / "out").glob("*.safetensors"))) > 1
    assert (tmp_path / "out" / "generation_config.json").exists()


def test_a_merge_of_several_and_alpha(tmp_path: Path) -> None:
    base = llama()
    base.save_pretrained(tmp_path / "base")
    paths = [trained(base, tmp_path / str(t), t, ["q_proj", "up_proj"], r=t + 1) for t in range(3)]
    merge_folders(paths, tmp_path / "merged", "tsv", scale=0.7, dtype="float64")
    merge_folders(paths, tmp_path / "out", "tsv", scale=0.7, into=tmp_path / "base")
    fused = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    check(logits(fused), unmerged(base.double(), tmp_path / "merged"))


@pytest.mark.parametrize(
    "targets", [["embed_tokens"], ["lm_head"], ["embed_tokens", "lm_head"], ["lm_head", "q_proj"]], ids="+".join
)
@pytest.mark.parametrize("said", [True, None], ids=["config says tied", "config says nothing"])
def test_tied_weights_get_their_own_updates(targets: list[str], said: bool | None, tmp_path: Path) -> None:
    """As the adapter computes on the base: merging it in PEFT would change both by what one of them gets."""
    base = llama(tie_word_embeddings=True)
    base.save_pretrained(tmp_path / "base")
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    assert "lm_head.weight" not in load_file(tmp_path / "base" / "model.safetensors")
    if said is None:
        config.pop("tie_word_embeddings")
        (tmp_path / "base" / "config.json").write_text(json.dumps(config))
    adapter = trained(base, tmp_path / "a", 2, targets)
    report = merge_folders([adapter], tmp_path / "out", "ta", into=tmp_path / "base")
    assert any("tied" in text for text in report.notes)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is False
    fused = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    check(logits(fused), unmerged(base, adapter))


def test_both_tied_weights_in_the_file(tmp_path: Path) -> None:
    base = llama(tie_word_embeddings=True)
    base.save_pretrained(tmp_path / "base")
    tensors = load_file(tmp_path / "base" / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()
    save_file(tensors, tmp_path / "base" / "model.safetensors", {"format": "pt"})
    for targets in (["lm_head"], ["embed_tokens"]):
        adapter = trained(base, tmp_path / targets[0], 2, targets)
        out = tmp_path / f"out-{targets[0]}"
        merge_folders([adapter], out, "ta", into=tmp_path / "base")
        check(logits(AutoModelForCausalLM.from_pretrained(out).eval()), unmerged(base, adapter))


def test_one_update_for_both_keeps_them_tied(tmp_path: Path) -> None:
    base = llama(tie_word_embeddings=True)
    base.save_pretrained(tmp_path / "base", max_shard_size="2KB")
    adapter = trained(base, tmp_path / "a", 2, ["embed_tokens", "q_proj"], ensure_weight_tying=True)
    merge_folders([adapter], tmp_path / "out", "ta", into=tmp_path / "base")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is True
    fused = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    assert fused.lm_head.weight is fused.model.embed_tokens.weight
    check(logits(fused), unmerged(base, adapter))


def test_square_conv1d_weights_whatever_the_config_says(tmp_path: Path) -> None:
    """PEFT sets fan_in_fan_out by the last module it wraps: a linear head says false of Conv1D layers before it."""
    base = gpt2()
    base.save_pretrained(tmp_path / "base")
    adapter = trained(base, tmp_path / "a", 3, ["c_attn", "c_proj", "lm_head"])
    config = json.loads((adapter / "adapter_config.json").read_text())
    want = unmerged(base, adapter)
    for flag in (True, False):
        (adapter / "adapter_config.json").write_text(json.dumps({**config, "fan_in_fan_out": flag}))
        merge_folders([adapter], tmp_path / str(flag), "ta", into=tmp_path / "base")
        check(logits(AutoModelForCausalLM.from_pretrained(tmp_path / str(flag)).eval()), want)


def test_a_checkpoint_without_the_prefix(tmp_path: Path) -> None:
    base = gpt2()
    base.transformer.save_pretrained(tmp_path / "base")
    assert "h.0.attn.c_attn.weight" in load_file(tmp_path / "base" / "model.safetensors")
    adapter = trained(base, tmp_path / "a", 3, ["c_attn", "c_proj"], fan_in_fan_out=True)
    merge_folders([adapter], tmp_path / "out", "ta", into=tmp_path / "base")
    check(logits(GPT2LMHeadModel.from_pretrained(tmp_path / "out").eval()), unmerged(base, adapter))


def by_hand(folder: Path, tensors: dict[str, np.ndarray], config: dict[str, Any] | None = None) -> Path:
    """A base model of one file."""
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", {"format": "pt", "by": "hand"})
    (folder / "config.json").write_text(json.dumps(config or {"model_type": "none"}))
    return folder


def hand_tensors(dtype: Any = np.float32) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(9)
    shapes = {"layers.0.q.weight": (4, 5), "conv.weight": (4, 3, 3, 3), "emb.weight": (7, 3), "norm.weight": (4,)}
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.float32, np.float64])
def test_each_sum_is_rounded_once_and_the_rest_is_bit_for_bit(dtype: Any, tmp_path: Path) -> None:
    tensors = hand_tensors(dtype) | {"ids": np.arange(5), "mask": np.array([True, False]), "small": np.ones(3, np.int8)}
    base = by_hand(tmp_path / "base", tensors)
    given = folders.lora_tensors()
    adapter = folders.write(tmp_path / "a", given)
    merge_folders([adapter], tmp_path / "out", "ta", into=base)
    with safe_open(tmp_path / "out" / "model.safetensors", "numpy") as file:
        assert file.metadata() == {"format": "pt", "by": "hand"}
    after = load_file(tmp_path / "out" / "model.safetensors")
    wide = {name.removeprefix(folders.PREFIX): tensor.astype(np.float64) for name, tensor in given.items()}
    added = {
        "layers.0.q.weight": 2 * wide["layers.0.q.lora_B.weight"] @ wide["layers.0.q.lora_A.weight"],
        "conv.weight": 2
        * np.einsum("or,rckl->ockl", wide["conv.lora_B.weight"][:, :, 0, 0], wide["conv.lora_A.weight"]),
        "emb.weight": 2 * (wide["emb.lora_embedding_B"] @ wide["emb.lora_embedding_A"]).T,
    }
    assert after.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert after[name].dtype == tensor.dtype
        if name not in added:
            assert np.array_equal(after[name], tensor)
            continue
        want = tensor.astype(np.float64) + added[name]
        eps = float(ml_dtypes.finfo(dtype).eps)
        # one rounding is half an eps of each entry; what is summed before it is float64
        assert np.all(np.abs(after[name].astype(np.float64) - want) <= 0.5 * eps * np.abs(want) + 1e-14)


def test_every_other_file_is_copied_and_other_weights_are_named(tmp_path: Path) -> None:
    base = by_hand(tmp_path / "base", hand_tensors())
    for name in ("tokenizer.json", "modeling_own.py", "README.md", "pytorch_model.bin", ".hidden"):
        (base / name).write_text(name)
    (base / "original").mkdir()
    adapter = folders.write(tmp_path / "a")
    report = merge_folders([adapter], tmp_path / "out", "ta", into=base)
    names = {entry.name for entry in (tmp_path / "out").iterdir()}
    own = {"README.md", "coremerge.json", "config.json", "model.safetensors"}
    assert names == own | {"tokenizer.json", "modeling_own.py"}
    assert "base_model_relation: merge" in (tmp_path / "out" / "README.md").read_text()
    assert any("original, pytorch_model.bin" in text for text in report.notes)
    record = json.loads((tmp_path / "out" / "coremerge.json").read_text())
    assert record["base"]["path"] == str(base)
    assert record["base"]["sha256"].keys() == {"model.safetensors"}
    assert record["outputs"].keys() == names - {"README.md", "coremerge.json"}


@pytest.mark.parametrize(
    ("config", "library"), [({"model_type": "llama"}, "transformers"), ({"_class_name": "UNet"}, "diffusers")]
)
def test_the_card_names_the_library_that_loads_the_model(config: Any, library: str, tmp_path: Path) -> None:
    base = by_hand(tmp_path / "base", hand_tensors(), config)
    merge_folders([folders.write(tmp_path / "a")], tmp_path / "out", "ta", into=base)
    assert f"\nlibrary_name: {library}\n" in (tmp_path / "out" / "README.md").read_text()


def test_neither_the_base_file_nor_an_input_is_the_output(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base.safetensors", folders.write(tmp_path / "a")
    save_file(hand_tensors(), base)
    before = base.read_bytes()
    for output in (base, adapter / "adapter_model.safetensors"):
        with pytest.raises(AdapterError, match="is an input"):
            merge_folders([adapter], output, "ta", into=base, force=True)
    assert base.read_bytes() == before


@pytest.mark.parametrize(
    ("method", "space"), [("ties", "full"), ("ties", "core"), ("dare+ties", "full"), ("tsv", "knots")]
)
def test_it_is_the_base_and_what_dense_output_says(method: str, space: str, tmp_path: Path) -> None:
    base = by_hand(tmp_path / "base", hand_tensors(np.float64))
    paths = [folders.write(tmp_path / str(t), folders.lora_tensors(t)) for t in range(2)]
    merge_folders(paths, tmp_path / "dense", method, space, dense=True, dtype="float64", base=base)
    merge_folders(paths, tmp_path / "out", method, space, into=base)
    dense, after = (
        load_file(tmp_path / "dense" / "delta_weights.safetensors"),
        load_file(tmp_path / "out" / "model.safetensors"),
    )
    for name, change in dense.items():
        want = hand_tensors(np.float64)[name] + change
        assert ratio(after[name], want, scale=float(np.linalg.norm(want)), eps=2.0**-52) <= THRESHOLD


def test_methods_that_look_at_the_whole_model_see_all_shards(tmp_path: Path) -> None:
    import coremerge_ref as cm

    base = llama()
    base.save_pretrained(tmp_path / "base", max_shard_size="2KB")
    base.save_pretrained(tmp_path / "one")
    paths = [trained(base, tmp_path / str(t), t, ["q_proj", "up_proj"], r=t + 1) for t in range(2)]
    for name in ("base", "one"):
        merge_folders(paths, tmp_path / f"out-{name}", cm.Ties(scope="model", density=0.3), into=tmp_path / name)
    shards = [load_file(file) for file in (tmp_path / "out-base").glob("*.safetensors")]
    whole = load_file(tmp_path / "out-one" / "model.safetensors")
    assert len(shards) > 1
    for name, tensor in ((n, t) for shard in shards for n, t in shard.items()):
        assert np.array_equal(tensor, whole[name])


def test_one_file_into_one_file(tmp_path: Path) -> None:
    """A checkpoint as image models have it, and a LoRA whose names have a _ for every dot."""
    rng = np.random.default_rng(4)
    weights = {
        "model.diffusion_model.blocks.0.to_q.weight": (6, 8),
        "model.diffusion_model.proj_in.weight": (6, 8, 1, 1),
    }
    tensors = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in weights.items()}
    save_file(tensors, tmp_path / "base.safetensors", {"modelspec.title": "x"})
    B, A = rng.standard_normal((6, 2)).astype(np.float32), rng.standard_normal((2, 8)).astype(np.float32)
    lora = {}
    for name in ("blocks_0_to_q", "proj_in"):
        ones = (1, 1) if name == "proj_in" else ()
        lora[f"lora_unet_{name}.lora_up.weight"] = B.reshape(6, 2, *ones)
        lora[f"lora_unet_{name}.lora_down.weight"] = A.reshape(2, 8, *ones)
        lora[f"lora_unet_{name}.alpha"] = np.array(1.0, np.float32)
    save_file(lora, tmp_path / "lora.safetensors")
    merge_folders(
        [tmp_path / "lora.safetensors"], tmp_path / "out.safetensors", "ta", into=tmp_path / "base.safetensors"
    )
    after = load_file(tmp_path / "out.safetensors")
    assert (tmp_path / "out.coremerge.json").exists()
    for name, tensor in tensors.items():
        want = tensor + 0.5 * (B.astype(np.float64) @ A).reshape(tensor.shape)
        assert ratio(after[name], want, scale=float(np.linalg.norm(want)), eps=2.0**-23) <= THRESHOLD


def test_memory_is_bounded_by_a_shard(tmp_path: Path) -> None:
    """Twelve shards of 16 MB are fused in a child process that takes the memory of one, twice at most."""
    words = [sys.executable, str(Path(__file__).parent / "measuring_fusion.py"), str(tmp_path), "2048", "12"]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    ran = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    taken, shard, whole = json.loads(ran.stdout)
    assert whole == 12 * shard
    assert taken <= 2 * shard + 2**25  # and some rows in float64


def test_progress_counts_every_tensor_of_the_model(tmp_path: Path) -> None:
    base, adapter = by_hand(tmp_path / "base", hand_tensors()), folders.write(tmp_path / "a")
    told: list[tuple[int, int, str]] = []
    merge_folders([adapter], tmp_path / "out", "ta", into=base, progress=lambda *given: told.append(given))
    assert [(done, total) for done, total, _ in told] == [(i, 4) for i in range(1, 5)]
    assert {name for _, _, name in told} == hand_tensors().keys()


def test_torch_fuses_the_same(tmp_path: Path) -> None:
    base = by_hand(tmp_path / "base", hand_tensors(np.float64))
    adapters = [folders.write(tmp_path / str(t), folders.lora_tensors(t)) for t in range(2)]
    for name in ("numpy", "torch"):
        merge_folders(adapters, tmp_path / name, "tsv", into=base, backend=name)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("numpy", "torch"))
    for name, tensor in one.items():
        assert ratio(two[name], tensor, scale=float(np.linalg.norm(tensor)), eps=2.0**-52, kappa=10) <= THRESHOLD


def test_a_killed_run_leaves_nothing_behind_for_long(tmp_path: Path) -> None:
    """Its hidden folder, with shards and files of the base, is removed by the next run to the same place."""
    base = by_hand(tmp_path / "base", hand_tensors())
    (base / "tokenizer.json").write_text("{}")
    adapter = folders.write(tmp_path / "a")
    script = (
        "import os, signal, sys\n"
        "from coremerge_ref.adapters import fused_files, merge_folders\n"
        "real = fused_files.FusedFiles._write_others\n"
        "def killed(*given):\n    real(*given)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "fused_files.FusedFiles._write_others = killed\n"
        "merge_folders([sys.argv[1]], sys.argv[2], 'ta', into=sys.argv[3])"
    )
    words = [sys.executable, "-c", script, str(adapter), str(tmp_path / "out"), str(base)]
    assert subprocess.run(words, check=False).returncode < 0
    assert len(list(tmp_path.glob(".out.coremerge-*"))) == 1
    merge_folders([adapter], tmp_path / "out", "ta", into=base)
    assert sorted(os.listdir(tmp_path)) == ["a", "base", "out"]


@pytest.mark.parametrize("seed", range(40))
def test_damaged_bases_are_fused_or_refused_in_one_line(seed: int, tmp_path: Path) -> None:
    base = by_hand(tmp_path / "base", hand_tensors())
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(hand_tensors(), "model.safetensors")}
    (base / "model.safetensors.index.json").write_text(json.dumps(index))
    rng = np.random.default_rng(seed)
    file = base / ["model.safetensors", "model.safetensors.index.json", "config.json"][seed % 3]
    content = bytearray(file.read_bytes())
    for at in rng.integers(0, min(len(content), 600), rng.integers(1, 4)):
        content[at] = rng.integers(0, 256)
    file.write_bytes(content[: rng.integers(len(content) // 2, len(content))] if seed % 5 == 0 else content)
    adapter = folders.write(tmp_path / "a")
    told = ""
    try:
        merge_folders([adapter], tmp_path / "out", "ta", into=base)
    except AdapterError as error:
        told = str(error)
    assert "\n" not in told
    assert sorted(os.listdir(tmp_path)) == (["a", "base"] if told else ["a", "base", "out"])


def _quantised(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return tensors | {
        "layers.0.q.weight": np.zeros((10, 1), np.uint8),
        "layers.0.q.weight.absmax": np.ones(1, np.float32),
    }


@pytest.mark.parametrize(
    ("change", "config", "word"),
    [
        (lambda t: t, {"quantization_config": {"quant_method": "bitsandbytes"}}, "quantised base model is refused"),
        (_quantised, None, "quantised|quantized"),
        (lambda t: t | {"layers.0.q.weight_scale": np.ones(1, np.float32)}, None, "quantised"),
        (lambda t: {n: a for n, a in t.items() if "q" not in n}, None, r"layers\.0\.q.*expected its weight"),
        (lambda t: t | {"layers.0.q.weight": np.zeros((4, 6), np.float32)}, None, r"layers\.0\.q.*\(4, 6\)"),
        (lambda t: t | {"emb.weight": np.zeros((8, 3), np.float32)}, None, r"emb.*\(8, 3\).*--exclude"),
        (lambda t: t | {"conv.weight": np.zeros((4, 3, 2, 3), np.float32)}, None, r"conv.*\(4, 3, 2, 3\)"),
        (lambda t: t | {"layers.0.q.weight": np.full((4, 5), np.nan, np.float32)}, None, "NaN"),
        (lambda t: t | {"layers.0.q.weight": np.full((4, 5), 6.55e4).astype(np.float16)}, None, "does not fit float16"),
    ],
)  # fmt: skip
def test_bases_that_do_not_fit(change: Any, config: Any, word: str, tmp_path: Path) -> None:
    base = by_hand(tmp_path / "base", change(hand_tensors()), config)
    adapter = folders.write(tmp_path / "a", {n: 40 * np.abs(t) for n, t in folders.lora_tensors().items()})
    with pytest.raises(AdapterError, match=word) as caught:
        merge_folders([adapter], tmp_path / "out", "ta", into=base)
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["a", "base"]


def test_places_that_are_no_base(tmp_path: Path) -> None:
    adapter = folders.write(tmp_path / "a")
    (tmp_path / "empty").mkdir()
    (tmp_path / "pickled.bin").write_bytes(b"\x80\x04")
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes(40))
    two = by_hand(tmp_path / "two", hand_tensors())
    save_file(hand_tensors(), two / "other.safetensors")
    (tmp_path / "lacking").mkdir()
    index = {"weight_map": {"q.weight": "model-00001-of-00002.safetensors"}}
    (tmp_path / "lacking" / "model.safetensors.index.json").write_text(json.dumps(index))
    for name, word in (("nowhere", "nowhere"), ("empty", "safetensors"), ("pickled.bin", "safetensors"),
                       ("x.gguf", "safetensors"), ("two", "no index"), ("lacking", "index.json.* names")):  # fmt: skip
        with pytest.raises(AdapterError, match=word):
            merge_folders([adapter], tmp_path / "out", "ta", into=tmp_path / name)


def test_arguments_that_do_not_go_with_it(tmp_path: Path) -> None:
    base, adapter = by_hand(tmp_path / "base", hand_tensors()), folders.write(tmp_path / "a")
    for given, word in (({"dense": True}, "dense"), ({"dtype": "float32"}, "dtype"), ({"others": "first"}, "--into"),
                        ({"force": True}, "replaces no folder")):  # fmt: skip
        with pytest.raises(ParameterError, match=word):
            merge_folders([adapter], tmp_path / "out", "ta", into=base, **given)
    with pytest.raises(AdapterError, match="already exists"):
        merge_folders([adapter], base, "ta", into=base)


def test_fused_experts_are_refused(tmp_path: Path) -> None:
    name = f"{folders.PREFIX}mlp.experts"
    tensors = {
        f"{name}.lora_A.weight": np.ones((6, 5), np.float32),
        f"{name}.lora_B.weight": np.ones((4, 6), np.float32),
    }
    adapter = folders.write(tmp_path / "a", tensors, target_parameters=["mlp.experts.up_proj"], target_modules=[])
    base = by_hand(tmp_path / "base", {"mlp.experts.up_proj": np.ones((3, 4, 5), np.float32)})
    with pytest.raises(AdapterError, match="target_parameters"):
        merge_folders([adapter], tmp_path / "out", "ta", into=base)


def test_an_mlx_adapter_into_the_model_it_names(tmp_path: Path) -> None:
    base = by_hand(tmp_path / "base", {"model.layers.0.q_proj.weight": np.ones((4, 5), np.float32)})
    a, b = np.full((5, 2), 0.5, np.float32), np.full((2, 4), 0.25, np.float32)
    (tmp_path / "mlx").mkdir()
    save_file(
        {"model.layers.0.q_proj.lora_a": a, "model.layers.0.q_proj.lora_b": b}, tmp_path / "mlx/adapters.safetensors"
    )
    parameters = {"fine_tune_type": "lora", "lora_parameters": {"rank": 2, "scale": 10.0, "dropout": 0.0}}
    (tmp_path / "mlx" / "adapter_config.json").write_text(json.dumps(parameters))
    merge_folders([tmp_path / "mlx"], tmp_path / "out", "ta", into=base)
    after = load_file(tmp_path / "out" / "model.safetensors")["model.layers.0.q_proj.weight"]
    assert ratio(after, 1 + 10 * (a @ b).T, scale=float(np.linalg.norm(after)), eps=2.0**-23) <= THRESHOLD


def test_attention_is_refused(tmp_path: Path) -> None:
    kind = zoo.KINDS["attention"]
    model = zoo.seeded(kind)
    adapter = zoo.save_adapters(kind, model, tmp_path)[0]
    base = by_hand(tmp_path / "base", {name: tensor.numpy() for name, tensor in model.state_dict().items()})
    with pytest.raises(AdapterError, match="MultiheadAttention"):
        merge_folders([adapter], tmp_path / "out", "ta", into=base)


@pytest.mark.filterwarnings("ignore")
def test_a_kohya_file_into_a_unet_is_what_diffusers_fuses(tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    pytest.importorskip("lycoris.kohya")
    from diffusers import UNet2DConditionModel
    from formats import test_lycoris_and_diffusers as real

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16, attention_head_dim=8,
    )  # fmt: skip
    unet.save_pretrained(tmp_path / "unet")
    for preset in ("unet-transformer-only", "unet-convblock-only"):
        path = tmp_path / f"{preset}.safetensors"
        real.kohya(unet, path, 1, preset, 4, 2.0, algo="lora", conv_dim=2, conv_alpha=1.0)
        merge_folders([path], tmp_path / preset, "ta", into=tmp_path / "unet")
        after = UNet2DConditionModel.from_pretrained(tmp_path / preset).state_dict()
        want = real.fused(unet, path)
        for name, weight in unet.state_dict().items():
            expected = weight + want.get(name, 0)
            size = float(torch.linalg.norm(expected.double()))
            assert ratio(after[name].numpy(), expected.numpy(), scale=size, eps=2.0**-23) <= THRESHOLD, name
