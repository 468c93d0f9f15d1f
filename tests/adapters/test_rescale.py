"""One adapter times a number, in its own format: ΔW is exactly that, and what need not change does not."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adapter_folders as folders
import ml_dtypes
import numpy as np
import pytest
from gguf_files import gguf_file, gguf_tensors
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import coremerge_ref as cm
from coremerge_ref.adapters import load, merge_folders
from coremerge_ref.adapters.formats.spellings import KOHYA, SPELLINGS
from coremerge_ref.adapters.rescale import ScalableAdapter
from coremerge_ref.errors import AdapterError
from coremerge_ref.testing import THRESHOLD, ratio

FACTORS = (0.4, 2**-0.5, 1.0, 3.0)


def draw(seed: int, *shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def peft(path: Path) -> Path:
    return folders.write(path / "merged", alpha_pattern={"conv": 3})


def rslora(path: Path) -> Path:
    return folders.write(path / "merged", use_rslora=True, lora_alpha=None)


def with_head(path: Path) -> Path:
    head = {f"{folders.PREFIX}head.weight": draw(3, 3, 4)}
    return folders.write(path / "merged", folders.lora_tensors() | head, modules_to_save=["head"])


def vera(path: Path) -> Path:
    return folders.write(path / "merged", folders.vera_tensors(), peft_type="VERA", lora_alpha=None)


def mlx(path: Path) -> Path:
    folder = path / "merged"
    folder.mkdir()
    save_file({"q.lora_a": draw(0, 5, 2), "q.lora_b": draw(1, 2, 4)}, folder / "adapters.safetensors")
    config = {"fine_tune_type": "lora", "lora_parameters": {"rank": 2, "scale": 20.0, "dropout": 0.0}}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def gguf(path: Path) -> Path:
    return gguf_file(path / "merged.gguf", gguf_tensors(0, 2))


def gguf_without_alpha(path: Path) -> Path:
    return gguf_file(path / "merged.gguf", gguf_tensors(0, 2), alpha=None)


def kohya(path: Path) -> Path:
    tensors = {f"lora_unet_a{KOHYA.A}": draw(0, 2, 5), f"lora_unet_a{KOHYA.B}": draw(1, 4, 2)}
    tensors |= {f"lora_unet_b{KOHYA.A}": draw(2, 3, 5), f"lora_unet_b{KOHYA.B}": draw(3, 4, 3)}
    tensors["lora_unet_a.alpha"] = np.array(3, ml_dtypes.bfloat16)
    metadata = {"ss_network_alpha": "3", "ss_network_dim": "Dynamic", "sshs_model_hash": "0" * 64, "ss_tag": "x"}
    save_file(tensors, path / "merged.safetensors", metadata)
    return path / "merged.safetensors"


def diffusers(path: Path) -> Path:
    ends = SPELLINGS[2]
    save_file({f"unet.a{ends.A}": draw(0, 2, 5), f"unet.a{ends.B}": draw(1, 4, 2)}, path / "merged.safetensors")
    return path / "merged.safetensors"


def with_metadata(path: Path) -> Path:
    fields = {"unet.r": 2, "unet.lora_alpha": 4, "unet.peft_type": "LORA", "unet.alpha_pattern": {"b": 6}}
    tensors = {
        f"unet.{m}.lora_{f}.weight": draw(i, *((2, 5) if f == "A" else (4, 2)))
        for i, m in enumerate("ab")
        for f in "AB"
    }
    save_file(tensors, path / "merged.safetensors", {"lora_adapter_metadata": json.dumps(fields)})
    return path / "merged.safetensors"


def loha_without_alpha(path: Path) -> Path:
    shapes = {"w1_a": (4, 2), "w1_b": (2, 5), "w2_a": (4, 2), "w2_b": (2, 5)}
    tensors = {f"lora_unet_a.hada_{role}": draw(i, *shape) for i, (role, shape) in enumerate(shapes.items())}
    save_file(tensors, path / "merged.safetensors")
    return path / "merged.safetensors"


KINDS = (
    peft, rslora, with_head, vera, mlx, gguf, gguf_without_alpha, kohya, diffusers, with_metadata, loha_without_alpha,
)  # fmt: skip
EXACT = {"peft", "rslora", "with_head", "mlx", "gguf", "with_metadata"}  # no tensor changes
NARROW_ALPHA = 2.0**-24  # of the product alpha · factor where the format has float32 for it


def dense(path: Path, made: Callable[..., Path]) -> dict[str, np.ndarray]:
    if made is with_head:
        from coremerge_ref.adapters.accepting import Accepting
        from coremerge_ref.adapters.folder import Adapter

        adapter = Adapter(Accepting(path, True, ()))
        return {name: _dense(update) for name, update in adapter.load(adapter.modules).items()}
    return {name: _dense(update) for name, update in load(path).items()}


def _dense(update: cm.LowRankUpdate) -> np.ndarray:
    return float(update.scale) * (update.B.astype(np.float64) @ update.A.astype(np.float64))


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("made", KINDS, ids=lambda made: made.__name__)
def test_the_update_is_multiplied(made: Callable[[Path], Path], factor: float, tmp_path: Path) -> None:
    source = made(tmp_path)
    before, bytes_before = dense(source, made), {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with ScalableAdapter(source) as adapter:
        (tmp_path / "trial").mkdir()
        trial = adapter.write_trial(tmp_path / "trial", factor)
        adapter.write(tmp_path / f"best{source.suffix}", factor)
    assert trial.is_file() == source.is_file()
    for path in (trial, tmp_path / f"best{source.suffix}"):
        after = dense(path, made)
        assert after.keys() == before.keys()
        for name, change in before.items():
            eps = 2.0**-52 if made.__name__ in EXACT - {"gguf"} else NARROW_ALPHA
            assert ratio(after[name], factor * change, scale=float(np.linalg.norm(change)), eps=eps) <= THRESHOLD
    assert {path: path.read_bytes() for path in bytes_before} == bytes_before
    if made.__name__ in EXACT and made is not gguf:
        tensors = [
            load_file(next(p for p in (path, *path.glob("*.safetensors")) if p.is_file())) for path in (source, trial)
        ]
        assert all(np.array_equal(tensors[0][name], tensors[1][name]) for name in {**tensors[0], **tensors[1]})


def test_a_config_keeps_all_else(tmp_path: Path) -> None:
    source = folders.write(
        tmp_path / "merged", my_field=None, task_type="CAUSAL_LM", target_modules=["q", "conv", "emb"]
    )
    with ScalableAdapter(source) as adapter:
        adapter.write(tmp_path / "best", 0.5)
    before, after = (json.loads((tmp_path / name / "adapter_config.json").read_text()) for name in ("merged", "best"))
    assert (before.pop("lora_alpha"), after.pop("lora_alpha")) == (4, 2)
    assert isinstance(json.loads((tmp_path / "best" / "adapter_config.json").read_text())["lora_alpha"], int)
    assert before == after


def test_hashes_in_the_header_are_of_the_new_tensors(tmp_path: Path) -> None:
    with ScalableAdapter(kohya(tmp_path)) as adapter:
        adapter.write(tmp_path / "best.safetensors", 0.4)
    content = (tmp_path / "best.safetensors").read_bytes()
    with safe_open(tmp_path / "best.safetensors", "numpy") as file:
        metadata = file.metadata()
    size = int.from_bytes(content[:8], "little")
    assert metadata["sshs_model_hash"] == hashlib.sha256(content[8 + size :]).hexdigest()
    assert float(metadata["ss_network_alpha"]) == 3 * 0.4
    assert metadata["ss_tag"] == "x"


def test_alphas_in_the_header_are_multiplied_and_all_else_there_is_kept(tmp_path: Path) -> None:
    fields = {
        "unet.r": 2, "unet.lora_alpha": 4, "unet.peft_type": "LORA", "unet.alpha_pattern": {"b": 6, "c": 3},
        "text_encoder.r": 3, "text_encoder.lora_alpha": 6, "text_encoder.rank_pattern": {"l": 2},
    }  # fmt: skip
    metadata = {
        "lora_adapter_metadata": json.dumps(fields), "sshs_legacy_hash": "1" * 8, "modelspec.hash_sha256": "0x1",
        "ss_network_alpha": "Dynamic", "format": "pt",
    }  # fmt: skip
    names = ["unet.a", "unet.b", "text_encoder.l"]
    tensors = {f"{name}.lora_{f}.weight": draw(0, *((2, 5) if f == "A" else (4, 2))) for name in names for f in "AB"}
    save_file(tensors, tmp_path / "merged.safetensors", metadata)
    with ScalableAdapter(tmp_path / "merged.safetensors") as adapter:
        adapter.write(tmp_path / "best.safetensors", 0.5)
    content = (tmp_path / "best.safetensors").read_bytes()
    with safe_open(tmp_path / "best.safetensors", "numpy") as file:
        after = file.metadata()
    made = json.loads(after.pop("lora_adapter_metadata"))
    alphas = {
        "unet.lora_alpha": 2, "unet.alpha_pattern": {"b": 3, "c": 1.5}, "text_encoder.lora_alpha": 3,
        "text_encoder.alpha_pattern": {},
    }  # fmt: skip
    assert made == fields | alphas
    digest = hashlib.sha256(content[8 + int.from_bytes(content[:8], "little") :]).hexdigest()
    assert after == {"modelspec.hash_sha256": f"0x{digest}", "ss_network_alpha": "Dynamic", "format": "pt"}
    best = load_file(tmp_path / "best.safetensors")
    assert best.keys() == tensors.keys()
    assert all(np.array_equal(best[name], array) for name, array in tensors.items())


def test_a_merge_times_a_number_is_the_merge_at_that_scale(tmp_path: Path) -> None:
    """Its record says so, and merging again by it gives the same update."""
    inputs = [folders.write(tmp_path / name, folders.lora_tensors(seed)) for seed, name in enumerate("ab")]
    merge_folders(inputs, tmp_path / "merged", "ties", scale=0.5)
    with ScalableAdapter(tmp_path / "merged") as adapter:
        assert adapter.scale == 0.5
        adapter.write(tmp_path / "best", 0.4, about={"sweep": {"alphas": [0.4]}})
    record = json.loads((tmp_path / "best" / "coremerge.json").read_text())
    assert (record["scale"], record["recipe"]["scale"], record["sweep"]) == (0.2, 0.2, {"alphas": [0.4]})
    merge_folders(inputs, tmp_path / "again", "ties", scale=0.2)
    best, again = load(tmp_path / "best"), load(tmp_path / "again")
    for name, update in again.items():
        size = float(np.linalg.norm(_dense(update)))
        assert ratio(_dense(best[name]), _dense(update), scale=size, eps=2.0**-23) <= THRESHOLD


def test_what_is_no_merge_gets_a_record_of_the_number_and_the_files(tmp_path: Path) -> None:
    source = folders.write(tmp_path / "a")
    with ScalableAdapter(source) as adapter:
        assert (adapter.scale, adapter.is_file) == (1.0, False)
        adapter.write(tmp_path / "best", 0.4, about={"sweep": 3})
        assert adapter.notes == []
    record = json.loads((tmp_path / "best" / "coremerge.json").read_text())
    names = ("adapter_config.json", "adapter_model.safetensors")
    digests = [
        {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
        for folder in (source, tmp_path / "best")
    ]
    assert record["scaled"] == {"path": str(source), "sha256": digests[0]}
    assert (record["by"], record["outputs"], record["sweep"]) == (0.4, digests[1], 3)
    assert not (tmp_path / "best" / "README.md").exists()


def test_a_merge_keeps_its_recipe_and_card_at_the_new_place(tmp_path: Path) -> None:
    inputs = [folders.write(tmp_path / name, base_model_name_or_path="org/base") for name in "ab"]
    merge_folders(inputs, tmp_path / "merged", "ta", scale=0.5)
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "coremerge.json").write_text("{}")
    (tmp_path / "best" / "mine.txt").write_text("mine")
    with ScalableAdapter(tmp_path / "merged") as adapter:
        adapter.write(tmp_path / "best", 3, force=True)
        assert any("mine.txt" in note for note in adapter.notes)
    record = json.loads((tmp_path / "best" / "coremerge.json").read_text())
    assert record["recipe"]["output"] == str(tmp_path / "best")
    assert "scaled" not in record
    card = (tmp_path / "best" / "README.md").read_text()
    for line in ("base_model: org/base", "library_name: peft", "scale: 1.5"):
        assert f"\n{line}\n" in card


def test_what_is_first_written_as_a_lora_is_gone_afterwards(tmp_path: Path) -> None:
    with ScalableAdapter(vera(tmp_path)) as adapter:
        unit = adapter.adapter.path
        assert unit.is_dir()
        assert any(str(tmp_path / "merged") in note and "LoRA" in note for note in adapter.notes)
    assert not unit.exists()
    assert not unit.parent.exists()


def test_what_was_edited_since_is_refused(tmp_path: Path) -> None:
    merge_folders([folders.write(tmp_path / "a")], tmp_path / "merged", "ta")
    config = tmp_path / "merged" / "adapter_config.json"
    config.write_text(config.read_text().replace('"r"', '"r" '))
    with pytest.raises(AdapterError, match="is not the file"):
        ScalableAdapter(tmp_path / "merged")


def test_an_output_that_may_not_be_written(tmp_path: Path) -> None:
    source = peft(tmp_path)
    with ScalableAdapter(source) as adapter:
        for output, text in ((source, "already exists"), (tmp_path / "x.safetensors", "name of a folder")):
            with pytest.raises(AdapterError, match=text):
                adapter.write(output, 1.0)
        with pytest.raises(AdapterError, match="is an input"):
            adapter.write(source, 1.0, force=True)


def test_what_leaves_the_range_of_its_dtype_is_refused(tmp_path: Path) -> None:
    ends = SPELLINGS[2]
    tensors = {f"unet.a{ends.A}": draw(0, 2, 5, dtype=np.float16), f"unet.a{ends.B}": np.full((4, 2), 6e4, np.float16)}
    save_file(tensors, tmp_path / "x.safetensors")
    with ScalableAdapter(tmp_path / "x.safetensors") as adapter, pytest.raises(AdapterError, match="does not fit"):
        adapter.write(tmp_path / "y.safetensors", 2.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.safetensors"]


def test_a_trial_of_files_that_are_links_holds_the_files(tmp_path: Path) -> None:
    """The hub's cache is made of relative links."""
    source, cache = folders.write(tmp_path / "blobs"), tmp_path / "snapshots" / "commit"
    cache.mkdir(parents=True)
    for file in source.iterdir():
        (cache / file.name).symlink_to(Path("../../blobs") / file.name)
    (tmp_path / "deep" / "trial").mkdir(parents=True)
    with ScalableAdapter(cache) as adapter:
        trial = adapter.write_trial(tmp_path / "deep" / "trial", 0.5)
    assert not any(file.is_symlink() for file in trial.iterdir())
    for name, update in load(trial).items():
        np.testing.assert_array_equal(_dense(update), 0.5 * _dense(load(source)[name]))
