"""Files that LyCORIS and diffusers write are merged, and load in diffusers as the sum of what they were.

The effect of a file is what diffusers adds to the weights of a tiny UNet when it fuses the file; of LyCORIS' LoHa and
LoKr, what their own forward pass does.
"""

import copy
import warnings
from pathlib import Path
from typing import Any

import needs_torch  # noqa: F401
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from coremerge_ref.adapters import Adapter, merge_folders
from coremerge_ref.testing import THRESHOLD, ratio

diffusers = pytest.importorskip("diffusers")
lycoris = pytest.importorskip("lycoris.kohya")

# Importing and calling these packages warns of things that are not ours.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def unet() -> Any:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return diffusers.UNet2DConditionModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            layers_per_block=1,
            block_out_channels=(32, 64),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=8,
        )


def kohya(unet: Any, path: Path, seed: int, preset: str, rank: int, alpha: float, **options: Any) -> Any:
    """A network on a copy of the UNet with random weights, saved by LyCORIS; returns (copy, network)."""
    torch.manual_seed(seed)
    model = copy.deepcopy(unet)
    network = lycoris.create_network(1.0, rank, alpha, None, None, model, preset=preset, **options)
    network.apply_to(None, model, False, True)
    for _, parameter in network.named_parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    network.save_weights(str(path), torch.float32, {"ss_base_model_version": "sd_v1", "ss_output_name": path.stem})
    return model, network


def fused(unet: Any, path: Path) -> dict[str, torch.Tensor]:
    """What diffusers adds to each weight."""
    model = copy.deepcopy(unet)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    loader = diffusers.StableDiffusionPipeline
    if metadata and "lora_adapter_metadata" in metadata:
        state, alphas, described = loader.lora_state_dict(
            str(path.parent), weight_name=path.name, unet_config=model.config, return_lora_metadata=True
        )
    else:
        state, alphas, described = loader.lora_state_dict(tensors, unet_config=model.config, return_lora_metadata=True)
    loader.load_lora_into_unet(state, alphas, model, adapter_name="a", metadata=described)
    model.fuse_lora()
    before = unet.state_dict()
    after = {name.replace(".base_layer", ""): weight for name, weight in model.state_dict().items()}
    return {name: change for name in before if (change := after[name] - before[name]).any()}


def check_sum(unet: Any, paths: list[Path], out: Path, weights: tuple[float, ...]) -> int:
    """The output's effect is the weighted sum of its inputs', layer by layer; returns how many layers there are."""
    each, got = [fused(unet, path) for path in paths], fused(unet, out)
    assert got.keys() == {name for part in each for name in part}
    for name, change in got.items():
        parts = [w * part[name] for w, part in zip(weights, each, strict=True) if name in part]
        # fusing rounds W + ΔW to float32, so the weight's own size counts
        size = float(sum(torch.linalg.norm(part) for part in parts) + torch.linalg.norm(unet.state_dict()[name]))
        assert ratio(change.numpy(), sum(parts).numpy(), scale=size, eps=2.0**-23) <= THRESHOLD, name
    return len(got)


@pytest.mark.parametrize("preset", ["unet-transformer-only", "unet-convblock-only"])
def test_kohya_files_of_unlike_ranks_and_alphas(preset: str, unet: Any, tmp_path: Path) -> None:
    paths = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    kohya(unet, paths[0], 1, preset, 4, 2.0, algo="lora", conv_dim=2, conv_alpha=1.0)
    kohya(unet, paths[1], 2, preset, 2, 3.0, algo="lora", conv_dim=3, conv_alpha=2.0)
    report = merge_folders(paths, tmp_path / "out.safetensors", "ta", weights=(0.7, -0.4))
    assert check_sum(unet, paths, tmp_path / "out.safetensors", (0.7, -0.4)) == report.layers > 10


def test_locon_with_a_core(unet: Any, tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    model, _ = kohya(unet, path, 1, "unet-convblock-only", 4, 2.0, algo="lora", conv_dim=2, use_tucker=True)
    adapter = Adapter(path)
    assert any("mid" in found.roles for found in adapter.reader.found.values())  # type: ignore[attr-defined]
    merge_folders([path], tmp_path / "out.safetensors", "ta")
    same_forward(unet, model, fused(unet, tmp_path / "out.safetensors"))


@pytest.mark.parametrize(
    ("algo", "options"), [("loha", {}), ("lokr", {"factor": 4}), ("lokr", {"factor": 4, "decompose_both": True})]
)
def test_loha_and_lokr_become_lora_that_diffusers_loads(
    algo: str, options: dict[str, Any], unet: Any, tmp_path: Path
) -> None:
    path = tmp_path / "one.safetensors"
    model, _ = kohya(unet, path, 1, "unet-transformer-only", 2, 1.0, algo=algo, **options)
    save_file(unet.state_dict(), tmp_path / "base.safetensors")  # which projections are convolutions
    merge_folders([path], tmp_path / "out.safetensors", "ta", base=tmp_path / "base.safetensors")
    same_forward(unet, model, fused(unet, tmp_path / "out.safetensors"))


def same_forward(unet: Any, trained: Any, added: dict[str, torch.Tensor]) -> None:
    """The UNet with `added` on its weights does what LyCORIS' own network does."""
    plain = copy.deepcopy(unet)
    with torch.no_grad():
        for name, change in added.items():
            plain.get_parameter(name).add_(change)
        torch.manual_seed(9)
        given = torch.randn(1, 4, 8, 8), torch.tensor([3]), torch.randn(1, 5, 16)
        want, base, got = (model.eval()(*given).sample for model in (trained, unet, plain))
    effect = float(torch.linalg.norm(want - base))
    assert effect > 0.01 * float(torch.linalg.norm(base))
    # some thirty layers of float32, each of which may lose a few eps of what passes through it
    assert ratio(got.numpy(), want.numpy(), scale=float(torch.linalg.norm(want)), eps=2.0**-23, kappa=30) <= THRESHOLD


@pytest.mark.parametrize("described", [True, False])
def test_diffusers_own_files(described: bool, unet: Any, tmp_path: Path) -> None:
    from diffusers.training_utils import _collate_lora_metadata
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    paths = []
    for t, (r, alpha, pattern) in enumerate([(4, 8, {"to_q": 2}), (3, 3, {})]):
        model = copy.deepcopy(unet)
        torch.manual_seed(t)
        targets = ["to_q", "to_k", "conv1"] if t == 0 or described else ["to_q"]
        model.add_adapter(
            LoraConfig(
                r=r,
                lora_alpha=alpha,
                rank_pattern=pattern if described else {},
                target_modules=targets,
                init_lora_weights=False,
            )
        )
        folder = tmp_path / str(t)
        diffusers.StableDiffusionPipeline.save_lora_weights(
            str(folder),
            unet_lora_layers=get_peft_model_state_dict(model),
            **(_collate_lora_metadata({"unet": model}) if described else {}),
        )
        paths.append(folder / "pytorch_lora_weights.safetensors")
    merge_folders(paths, tmp_path / "out", "ta", weights=(1.0, 0.5))
    check_sum(unet, paths, tmp_path / "out" / "pytorch_lora_weights.safetensors", (1.0, 0.5))


def test_old_attention_processor_names_load_in_diffusers(unet: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    block = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor"
    paths = []
    for t in range(2):
        tensors = {
            f"{block}.{part}_lora.{end}.weight": torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
            for part in ("to_q", "to_k", "to_v", "to_out")
            for end, shape in (("down", (4, 32)), ("up", (32, 4)))
        }
        paths.append(tmp_path / f"{t}.safetensors")
        save_file(tensors, paths[-1])
    merge_folders(paths, tmp_path / "out.safetensors", "ta")
    assert check_sum(unet, paths, tmp_path / "out.safetensors", (1.0, 1.0)) == 4
