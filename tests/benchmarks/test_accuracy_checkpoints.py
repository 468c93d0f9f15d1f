"""The script for the paper's checkpoints, on small adapters laid out as those on the hub."""

from pathlib import Path

import needs_torch  # noqa: F401
import numpy as np
import pytest
import torch

from benchmarks.accuracy import checkpoints

transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft's, not ours


def clip() -> torch.nn.Module:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.CLIPVisionConfig(image_size=32, patch_size=16, **shape)
    return transformers.CLIPVisionModel(config).eval()


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """Eight rank-2 adapters under the hub's names, with the target modules and alpha = r of the originals."""
    for seed, name in enumerate(checkpoints.repositories("ViT-B-32")):
        config = peft.LoraConfig(
            r=2, lora_alpha=2, lora_dropout=0.1, target_modules=["q_proj", "k_proj", "v_proj", "out_proj"]
        )
        torch.manual_seed(seed)
        model = peft.get_peft_model(clip(), config)
        for parameter in model.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.1)
        model.save_pretrained(str(tmp_path / "hub" / name.split("/")[1]))
    return tmp_path / "hub"


def test_merges_eight_local_folders(hub: Path, tmp_path: Path) -> None:
    checkpoints.main([str(tmp_path / "out"), "--local", str(hub), "--methods", "ta", "dare+ties", "tsv+iso"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dare+ties-core", "ta-core", "tsv+iso-core"]


def test_the_sum_of_eight_adapters_loads_in_peft_and_adds_up(hub: Path, tmp_path: Path) -> None:
    checkpoints.main([str(tmp_path / "out"), "--local", str(hub), "--methods", "ta"])
    merged = peft.PeftModel.from_pretrained(clip(), str(tmp_path / "out" / "ta-core")).merge_and_unload()
    before, after = clip().state_dict(), merged.state_dict()
    name = next(key for key in before if key.endswith("layers.1.self_attn.v_proj.weight"))
    parts = []
    for repository in checkpoints.repositories("ViT-B-32"):
        alone = peft.PeftModel.from_pretrained(clip(), str(hub / repository.split("/")[1])).merge_and_unload()
        parts.append((alone.state_dict()[name] - before[name]).numpy())
    error = np.linalg.norm((after[name] - before[name]).numpy() - sum(parts)) / np.linalg.norm(sum(parts))
    assert error < 1e-5  # float32 weights are added up by PEFT


def test_download_asks_the_hub_for_safetensors_alone(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def snapshot_download(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, tuple(allow_patterns)))
        return str(hub / name.split("/")[1])

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    folders = checkpoints.download(checkpoints.repositories("ViT-B-32"))
    assert len(folders) == 8
    assert asked[0] == (
        "hoffman-lab/KnOTS-ViT-B-32_lora_R16_stanford_cars",
        ("adapter_config.json", "adapter_model.safetensors"),
    )


def test_full_space_writes_dense_updates(hub: Path, tmp_path: Path) -> None:
    folders = [hub / name.split("/")[1] for name in checkpoints.repositories("ViT-B-32")]
    report = checkpoints.merge(folders, tmp_path / "full", "ties", "full", 0.3)
    assert (report.layers, report.ranks) == (8, None)
