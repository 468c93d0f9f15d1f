"""Single files as kohya, LyCORIS, ComfyUI and diffusers spell them, by hand: what is read, and how it is written."""

import hashlib
import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from coremerge_ref.adapters import Adapter, merge_folders
from coremerge_ref.adapters.formats.spellings import SPELLINGS, Spelling
from coremerge_ref.adapters.modules import CONV
from coremerge_ref.errors import AdapterError
from coremerge_ref.testing import THRESHOLD, ratio

NAMED = Spelling(".lora_A.default.weight", ".lora_B.default.weight")


def draw(seed: int, *shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def dense(path: Path) -> dict[str, np.ndarray]:
    """ΔW of each module of a file of plain factors, from its tensors alone: alpha / r · up · down."""
    tensors = load_file(path)
    made = {}
    for spelling in (*SPELLINGS, NAMED):
        for name in [n for n in tensors if n.endswith(spelling.A)]:
            module = name.removesuffix(spelling.A)
            if module + spelling.B not in tensors or module in made:
                continue
            A, B = (tensors[module + end].astype(np.float64) for end in spelling)
            alpha = float(np.sum(tensors.get(f"{module}.alpha", np.array(len(A)))))
            made[module] = alpha / len(A) * B.reshape(len(B), -1) @ A.reshape(len(A), -1)
    return made


def pair(spelling: Spelling, module: str, seed: int, r: int, m: int = 6, n: int = 5) -> dict[str, np.ndarray]:
    return {module + spelling.A: draw(seed, r, n), module + spelling.B: draw(seed + 1, m, r)}


def check_sum(paths: list[Path], out: Path) -> None:
    each, got = [dense(path) for path in paths], dense(out)
    assert got.keys() == {name for part in each for name in part}
    for name, change in got.items():
        parts = [part[name] for part in each if name in part]
        size = sum(float(np.linalg.norm(part)) for part in parts)
        assert ratio(change, sum(parts), scale=size, eps=2.0**-23) <= THRESHOLD, name


@pytest.mark.parametrize("spelling", [*SPELLINGS, NAMED], ids=lambda s: s.A)
def test_every_spelling_is_read_and_kept(spelling: Spelling, tmp_path: Path) -> None:
    paths = []
    for t, r in enumerate((2, 3)):
        tensors = pair(spelling, "unet.blocks.0.attn", 10 * t, r) | pair(spelling, "unet.blocks.1.attn", 10 * t + 4, 2)
        if t:
            tensors["unet.blocks.0.attn.alpha"] = np.array(7, np.float16)
            tensors["unet.blocks.1.attn.alpha"] = np.array([2], np.float16)
        paths.append(tmp_path / f"{t}.safetensors")
        save_file(tensors, paths[-1])
    merge_folders(paths, tmp_path / "out.safetensors", "ta")
    check_sum(paths, tmp_path / "out.safetensors")
    assert {n for n in load_file(tmp_path / "out.safetensors") if n.endswith(spelling.A)} == {
        f"unet.blocks.{i}.attn{spelling.A}" for i in (0, 1)
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "0.safetensors",
        "1.safetensors",
        "out.coremerge.json",
        "out.safetensors",
    ]


def test_alphas_are_the_ranks_and_ragged_keeps_both(tmp_path: Path) -> None:
    kohya = SPELLINGS[0]
    tensors = pair(kohya, "a", 1, 2) | pair(kohya, "b", 3, 4) | {"a.alpha": np.array(1.0, np.float32)}
    save_file(tensors, tmp_path / "x.safetensors", {"ss_network_module": "networks.lora"})
    for ragged, ranks, dim in ((False, {4}, "4"), (True, {2, 4}, "Dynamic")):
        out = tmp_path / f"{ragged}.safetensors"
        merge_folders([tmp_path / "x.safetensors"], out, "ta", ragged=ragged)
        got = load_file(out)
        assert {float(got[f"{module}.alpha"]) for module in "ab"} == ranks
        assert {len(got[f"{module}{kohya.A}"]) for module in "ab"} == ranks
        assert got["a.alpha"].dtype == got["a" + kohya.A].dtype
        with safe_open(out, "numpy") as file:
            assert file.metadata()["ss_network_dim"] == dim
        check_sum([tmp_path / "x.safetensors"], out)


def test_convolutions_with_and_without_a_core(tmp_path: Path) -> None:
    tucker = {
        "c.lora_down.weight": draw(0, 3, 4, 1, 1),
        "c.lora_mid.weight": draw(1, 2, 3, 3, 3),
        "c.lora_up.weight": draw(2, 5, 2, 1, 1),
        "c.alpha": np.array(4.0, np.float32),
    }
    plain = {"c.lora_down.weight": draw(3, 2, 4, 3, 3), "c.lora_up.weight": draw(4, 5, 2, 1, 1)}
    save_file(tucker, tmp_path / "tucker.safetensors")
    save_file(plain, tmp_path / "plain.safetensors")
    merge_folders([tmp_path / "tucker.safetensors", tmp_path / "plain.safetensors"], tmp_path / "out.safetensors", "ta")
    down, mid, up = (tucker[f"c.lora_{part}.weight"].astype(np.float64) for part in ("down", "mid", "up"))
    whole = 4 / 3 * np.einsum("om,mnkl,nj->ojkl", up[:, :, 0, 0], mid, down[:, :, 0, 0])
    want = whole.reshape(5, -1) + dense(tmp_path / "plain.safetensors")["c"]
    got = load_file(tmp_path / "out.safetensors")
    assert got["c.lora_down.weight"].shape[1:] == (4, 3, 3)
    assert got["c.lora_up.weight"].shape[2:] == (1, 1)
    assert "c.lora_mid.weight" not in got
    size = float(np.linalg.norm(want))
    assert ratio(dense(tmp_path / "out.safetensors")["c"], want, scale=size, eps=2.0**-23) <= THRESHOLD


def test_a_projection_that_is_a_matrix_in_one_file_and_a_convolution_in_another(tmp_path: Path) -> None:
    matrix = pair(SPELLINGS[0], "proj_in", 0, 2)
    convolution = {n: a[:, :, None, None] for n, a in pair(SPELLINGS[0], "proj_in", 5, 3).items()}
    for name, tensors in (("m", matrix), ("c", convolution)):
        save_file({n: np.ascontiguousarray(a) for n, a in tensors.items()}, tmp_path / f"{name}.safetensors")
    paths = [tmp_path / "c.safetensors", tmp_path / "m.safetensors"]
    for order, trailing in ((paths, (1, 1)), (paths[::-1], ())):
        merge_folders(order, tmp_path / "out.safetensors", "ta", force=True)
        check_sum(paths, tmp_path / "out.safetensors")
        assert load_file(tmp_path / "out.safetensors")["proj_in.lora_up.weight"].shape[2:] == trailing


def test_shared_metadata_is_kept_and_hashes_are_of_the_output(tmp_path: Path) -> None:
    common = {"ss_base_model_version": "sdxl_base_v1-0", "ss_v2": "False", "modelspec.architecture": "sdxl", "own": "x"}
    paths = []
    for t in range(2):
        own = {
            "ss_network_module": "lycoris.kohya",
            "ss_network_args": "{}",
            "ss_output_name": f"n{t}",
            "sshs_model_hash": "1",
            "sshs_legacy_hash": "2",
        }
        paths.append(tmp_path / f"{t}.safetensors")
        save_file(pair(SPELLINGS[0], "lora_unet_a", t, 2), paths[-1], {**common, **own})
    merge_folders(paths, tmp_path / "out.safetensors", "ta")
    with safe_open(tmp_path / "out.safetensors", "numpy") as file:
        metadata = file.metadata()
    content = (tmp_path / "out.safetensors").read_bytes()
    digest = hashlib.sha256(content[8 + int.from_bytes(content[:8], "little") :]).hexdigest()
    assert metadata == {
        "format": "pt",
        **common,
        "ss_network_module": "networks.lora",
        "ss_network_dim": "4",
        "ss_network_alpha": "4",
        "sshs_model_hash": digest,
        "modelspec.hash_sha256": f"0x{digest}",
        "modelspec.merged_from": "0, 1",
    }


def peft_fields(**fields: Any) -> dict[str, str]:
    return {"lora_adapter_metadata": json.dumps({f"unet.{key}": value for key, value in fields.items()})}


def test_diffusers_metadata_says_the_scale_by_pefts_rules(tmp_path: Path) -> None:
    peft = SPELLINGS[4]
    tensors = pair(peft, "unet.a.to_q", 0, 2) | pair(peft, "unet.a.to_k", 2, 4)
    bare, described = tmp_path / "bare.safetensors", tmp_path / "described.safetensors"
    save_file(tensors, bare)
    save_file(tensors, described, peft_fields(r=4, lora_alpha=8, rank_pattern={"to_q": 2}, init_lora_weights=True))
    scales = {name: module.scale for name, module in Adapter(described).modules.items()}
    assert scales == {"unet.a.to_q": 4, "unet.a.to_k": 2}
    assert {module.scale for module in Adapter(bare).modules.values()} == {1}
    merge_folders([described], tmp_path / "out.safetensors", "ta", ragged=True)
    merge_folders([tmp_path / "out.safetensors", bare], tmp_path / "both.safetensors", "ta", ragged=True)
    want = {name: (1 + scales[name]) * change for name, change in dense(bare).items()}
    got = Adapter(tmp_path / "both.safetensors")
    for name, update in got.load(got.modules).items():
        size = float(np.linalg.norm(want[name]))
        assert ratio(update.to_dense(), want[name], scale=size, eps=2.0**-23) <= THRESHOLD
    with safe_open(tmp_path / "both.safetensors", "numpy") as file:
        fields = json.loads(file.metadata()["lora_adapter_metadata"])
    assert fields["unet.r"] == fields["unet.lora_alpha"]


def test_files_without_scales_are_padded_to_one_rank_even_if_ragged(tmp_path: Path) -> None:
    tensors = pair(SPELLINGS[4], "transformer.a", 0, 2) | pair(SPELLINGS[4], "transformer.b", 2, 4)
    save_file(tensors, tmp_path / "x.safetensors")
    merge_folders([tmp_path / "x.safetensors"], tmp_path / "out.safetensors", "ta", ragged=True)
    assert {len(a) for n, a in load_file(tmp_path / "out.safetensors").items() if n.endswith(".lora_A.weight")} == {4}


def test_folders_with_one_file_give_a_folder_with_one_file(tmp_path: Path) -> None:
    for t in range(2):
        (tmp_path / str(t)).mkdir()
        save_file(pair(SPELLINGS[0], "a", t, 2), tmp_path / str(t) / "any.safetensors")
    merge_folders([tmp_path / "0", tmp_path / "1"], tmp_path / "out", "ta")
    assert (tmp_path / "out" / "pytorch_lora_weights.safetensors").is_file()
    check_sum([tmp_path / "0/any.safetensors", tmp_path / "1/any.safetensors"], next((tmp_path / "out").glob("*.saf*")))
    assert Adapter(tmp_path / "out").modules


def test_a_kronecker_product_with_a_core_is_of_a_convolution(tmp_path: Path) -> None:
    w1, t2, w2_a, w2_b = draw(0, 2, 3), draw(1, 2, 2, 3, 5), draw(2, 2, 4), draw(3, 2, 7)
    tensors = {"lokr_w1": w1, "lokr_t2": t2, "lokr_w2_a": w2_a, "lokr_w2_b": w2_b}
    save_file({f"a.{role}": array for role, array in tensors.items()}, tmp_path / "x.safetensors")
    adapter = Adapter(tmp_path / "x.safetensors")
    module = adapter.modules["a"]
    assert (module.kind, module.shape, module.kernel) == (CONV, (8, 315), (21, 3, 5))
    wide = [array.astype(np.float64) for array in (w1, t2, w2_a, w2_b)]
    expected = np.einsum("ab,rskl,ro,si->aobikl", *wide).reshape(8, 315)
    update = adapter.load(["a"])["a"]
    found = float(update.scale) * (update.B.astype(np.float64) @ update.A.astype(np.float64))
    assert ratio(found, expected, scale=float(np.linalg.norm(expected)), eps=2.0**-23) <= THRESHOLD


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"a.alpha": np.array(0.0, np.float32)}, ["alpha", "sd-scripts"]),
        ({"a.alpha": np.array([1.0, 2.0], np.float32)}, ["one number", "(2,)"]),
        ({"a.alpha": np.array(np.nan, np.float32)}, ["alpha", "NaN"]),
        ({"a.alpha": np.array(1, np.int32)}, ["alpha", "I32"]),
        ({"a.dora_scale": draw(0, 6, 1)}, ["dora_scale", "DoRA"]),
        ({"a.diff_b": draw(0, 6)}, ["diff_b", "bias"]),
        ({"a.diff": draw(0, 6, 5)}, ["whole difference"]),
        ({"a.set_weight": draw(0, 6, 5)}, ["replaces"]),
        ({"a.oft_blocks": draw(0, 6, 5)}, ["multiplies"]),
        ({"bundle_emb.x.string_to_param.*": draw(0, 2, 2)}, ["embedding"]),
        ({"b.lora_up.weight": draw(0, 6, 2)}, ["both factors", "b.lora_up.weight"]),
        ({"b.alpha": np.array(1.0, np.float32)}, ["both factors", "b.alpha"]),
        ({"a.lora_up.weight": draw(0, 6, 3)}, ["(6, 3)"]),
        ({"a.lora_B.weight": draw(0, 6, 2)}, ["one spelling"]),
        ({"what": draw(0, 2)}, ["'what'", "unknown"]),
        ({"\x1b.lora_up.weight": draw(0, 2, 2)}, ["\\x1b"]),
        ({"a.lora_mid.weight": draw(0, 2, 2, 3, 3)}, ["lora_mid"]),
        ({"b.lokr_w1": draw(0, 2, 2), "b.lokr_w2": draw(1, 3, 3)}, ["full rank", "extract"]),
        ({"b.hada_w1_a": draw(0, 6, 2)}, ["hada_w1_a"]),
    ],
)
def test_what_is_no_product_is_refused_by_name(change: dict[str, np.ndarray], words: list[str], tmp_path: Path) -> None:
    save_file(pair(SPELLINGS[0], "a", 0, 2) | change, tmp_path / "x.safetensors")
    with pytest.raises(AdapterError) as caught:
        merge_folders([tmp_path / "x.safetensors"], tmp_path / "out.safetensors")
    assert all(word in str(caught.value) for word in ["x.safetensors", *words]), str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"lora_adapter_metadata": "{"}, ["JSON"]),
        ({"lora_adapter_metadata": "[]"}, ["JSON object"]),
        (peft_fields(r="x"), ["'r'"]),
        (peft_fields(r=3), ["rank r = 3"]),
        (peft_fields(r=2, use_dora=True), ["use_dora"]),
    ],
)
def test_metadata_that_is_wrong(metadata: dict[str, str], words: list[str], tmp_path: Path) -> None:
    save_file(pair(SPELLINGS[4], "unet.a", 0, 2), tmp_path / "x.safetensors", metadata)
    with pytest.raises(AdapterError) as caught:
        Adapter(tmp_path / "x.safetensors")
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_alphas_and_metadata_together(tmp_path: Path) -> None:
    tensors = pair(SPELLINGS[4], "unet.a", 0, 2) | {"unet.a.alpha": np.array(1.0, np.float32)}
    save_file(tensors, tmp_path / "x.safetensors", peft_fields(r=2))
    with pytest.raises(AdapterError, match="both"):
        Adapter(tmp_path / "x.safetensors")


def test_files_and_folders_that_are_something_else(tmp_path: Path) -> None:
    def message(path: Path) -> str:
        with pytest.raises(AdapterError) as caught:
            Adapter(path)
        return str(caught.value)

    save_file(pair(SPELLINGS[4], "base_model.model.a", 0, 2), tmp_path / "adapter_model.safetensors")
    assert "adapter_config.json" in message(tmp_path / "adapter_model.safetensors")
    save_file({"model.weight": draw(0, 2, 2)}, tmp_path / "model.safetensors")
    assert "is this an adapter" in message(tmp_path / "model.safetensors")
    assert "several files" in message(tmp_path)
    (tmp_path / "x.pt").write_bytes(b"\x80\x02")
    assert "pickled" in message(tmp_path / "x.pt")
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "x.ckpt").write_bytes(b"\x80\x02")
    assert "pickled" in message(tmp_path / "p")
    (tmp_path / "x.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n")
    assert "git lfs pull" in message(tmp_path / "x.safetensors")
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "give the folder" in message(tmp_path / "adapter_config.json")


def test_float8_is_named_with_advice_that_works(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file as save_torch

    tensors = {name: torch.from_numpy(a).to(torch.float8_e4m3fn) for name, a in pair(SPELLINGS[0], "a", 0, 2).items()}
    save_torch(tensors, tmp_path / "x.safetensors")
    with pytest.raises(AdapterError, match=r"F8_E4M3.*save the adapter in one of these"):
        Adapter(tmp_path / "x.safetensors")
    save_torch({name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()}, tmp_path / "y.safetensors")
    merge_folders([tmp_path / "y.safetensors"], tmp_path / "out.safetensors", "ta")
    got = load_file(tmp_path / "out.safetensors")
    assert got["a.lora_up.weight"].dtype == ml_dtypes.bfloat16


def test_single_files_and_peft_folders_do_not_mix(tmp_path: Path) -> None:
    from adapter_folders import write

    save_file(pair(SPELLINGS[0], "a", 0, 2), tmp_path / "x.safetensors")
    with pytest.raises(AdapterError, match="name modules differently"):
        merge_folders([write(tmp_path / "p"), tmp_path / "x.safetensors"], tmp_path / "out")


def test_an_existing_file_is_replaced_with_force_alone_and_never_an_input(tmp_path: Path) -> None:
    paths = [tmp_path / f"{t}.safetensors" for t in range(2)]
    for t, path in enumerate(paths):
        save_file(pair(SPELLINGS[0], "a", t, 2), path)
    (tmp_path / "out.safetensors").write_bytes(b"old")
    with pytest.raises(AdapterError, match="--force"):
        merge_folders(paths, tmp_path / "out.safetensors", "ta")
    assert (tmp_path / "out.safetensors").read_bytes() == b"old"
    with pytest.raises(AdapterError, match="is an input"):
        merge_folders(paths, paths[0], "ta", force=True)
    merge_folders(paths, tmp_path / "out.safetensors", "ta", force=True)
    check_sum(paths, tmp_path / "out.safetensors")


def test_what_any_form_writes_may_be_replaced_by_a_later_merge() -> None:
    from coremerge_ref.adapters.contents import WRITTEN
    from coremerge_ref.adapters.forms import FORMS

    assert {form.weights for form in FORMS.values()} <= WRITTEN


def test_compare_and_verify_take_the_files_that_merge_wrote(tmp_path: Path, capsys: Any) -> None:
    from coremerge_ref.cli import build
    from coremerge_ref.compare.reading import read

    for t, r in enumerate((4, 3)):
        tensors = pair(SPELLINGS[0], "lora_unet_a", t, r, 12, 16) | {"lora_unet_a.alpha": np.array(2, np.float32)}
        save_file(tensors, tmp_path / f"{t}.safetensors", {"ss_base_model_version": "sd_v1"})
    paths = [tmp_path / "0.safetensors", tmp_path / "1.safetensors"]
    merge_folders(paths, tmp_path / "m.safetensors", "tsv")
    updates, targets, _ = read(paths, tmp_path / "m.safetensors")
    assert updates.keys() == targets.keys() == {"lora_unet_a"}
    for name in ("m.safetensors", "folder"):
        if name == "folder":
            merge_folders(paths, tmp_path / name, "tsv")
        build()(["verify", str(tmp_path / name)], standalone_mode=False)
        assert "bit for bit" in capsys.readouterr().out
    card = (tmp_path / "folder" / "README.md").read_text()
    assert "library_name: diffusers" in card
    assert "base_model" not in card.partition("---\n<!--")[0]


def test_a_file_name_for_what_is_a_folder(tmp_path: Path) -> None:
    from adapter_folders import write

    with pytest.raises(AdapterError, match="name of a folder"):
        merge_folders([write(tmp_path / "p")], tmp_path / "out.safetensors")
    save_file(pair(SPELLINGS[0], "a", 0, 2), tmp_path / "x.safetensors")
    with pytest.raises(AdapterError, match="name of a folder"):
        merge_folders([tmp_path / "x.safetensors"], tmp_path / "out.gguf")


def test_one_file_may_mix_spellings(tmp_path: Path) -> None:
    tensors = {}
    for t, spelling in enumerate(SPELLINGS):
        tensors |= pair(spelling, f"m{t}.x", 2 * t, 2)
    save_file(tensors, tmp_path / "x.safetensors")
    merge_folders([tmp_path / "x.safetensors"], tmp_path / "out.safetensors", "ta")
    check_sum([tmp_path / "x.safetensors"], tmp_path / "out.safetensors")


@pytest.mark.parametrize("ragged", [True, False])
def test_an_alpha_that_bfloat16_does_not_have_is_written_wider(ragged: bool, tmp_path: Path) -> None:
    paths = []
    for t, r in enumerate((150, 151)):
        tensors = {n: a.astype(ml_dtypes.bfloat16) for n, a in pair(SPELLINGS[0], "a", t, r, 320, 310).items()}
        small = {n: a.astype(ml_dtypes.bfloat16) for n, a in pair(SPELLINGS[0], "b", t, 2).items()}
        paths.append(tmp_path / f"{t}.safetensors")
        save_file(tensors | small, paths[-1])
    merge_folders(paths, tmp_path / "out.safetensors", "ta", ragged=ragged)
    got = load_file(tmp_path / "out.safetensors")
    assert {module.scale for module in Adapter(tmp_path / "out.safetensors").modules.values()} == {1}
    assert got["a.lora_up.weight"].dtype == ml_dtypes.bfloat16
    assert float(got["a.alpha"]) == 301
