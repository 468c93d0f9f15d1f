"""Trains the transformer and the adapters that `coremerge demo` merges, and writes them to coremerge_ref/demo/data.

    python -m benchmarks.demo_adapters.train [FOLDER]

The base model learns to read upright digits. Each adapter then learns to read them through one distortion, by LoRA on
every linear layer of the blocks, trained and saved by peft; the base model and its head stay as they are. Data:
scikit-learn's digits (1797 images), split into training, validation (for α) and test images. Seeds are fixed and all
runs on one thread, so one machine gives the same weights every time. About three minutes on one core.

The eight distortions were taken from about forty candidates by the base model's accuracy alone, between a fifth and a
half, no two of a kind; harder ones, tried before, left every merge close to the base model. The adapters' learning rate
and epochs are modest, as in fine-tuning, and were not searched.
"""

import copy
import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.numpy import save_file
from sklearn.datasets import load_digits

from benchmarks.demo_adapters.model import ADAPTED, DigitTransformer
from coremerge_ref.demo.tasks import TASKS, seen

VALIDATION, TEST = 80, 300  # images; the rest (1417) is for training
RANK, ALPHA = 4, 8
BASE_EPOCHS, ADAPTER_EPOCHS, BATCH = 15, 30, 64
BASE_RATE, ADAPTER_RATE = 2e-3, 2e-3


def split() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images (N, 8, 8) and labels (N,), 8-bit, of the three parts."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    cuts = np.split(order, [VALIDATION, VALIDATION + TEST])
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    return {part: (images[i], labels[i]) for part, i in zip(("validation", "test", "train"), cuts, strict=True)}


def fit(model: torch.nn.Module, images: np.ndarray, labels: np.ndarray, epochs: int, rate: float, seed: int) -> None:
    """AdamW with a one-cycle rate on cross-entropy, over the parameters that ask for a gradient."""
    x, y = torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64))
    draw = torch.Generator().manual_seed(seed)
    chosen = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(chosen, lr=rate, weight_decay=0.01)
    steps = epochs * (len(y) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(y), generator=draw)[: len(y) // BATCH * BATCH].view(-1, BATCH):
            loss = torch.nn.functional.cross_entropy(model(x[batch]), y[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()


@torch.no_grad()
def accuracy(model: torch.nn.Module, images: np.ndarray, labels: np.ndarray) -> float:
    """Fraction of `images` named rightly."""
    return float((model(torch.from_numpy(images)).argmax(-1).numpy() == labels).mean())


def train_base(images: np.ndarray, labels: np.ndarray) -> DigitTransformer:
    """A model that reads upright digits, also a pixel off either way, less bright, and with a little noise."""
    torch.manual_seed(0)
    model = DigitTransformer()
    draw = np.random.default_rng(1)
    upright = images.astype(np.float32) / 16
    varied = np.concatenate([np.roll(upright, s, axis=a) for s, a in ((0, 1), (1, 1), (-1, 1), (1, 2), (-1, 2))])
    varied = varied * draw.uniform(0.6, 1, (len(varied), 1, 1)) + draw.normal(0, 0.05, varied.shape)
    fit(model, varied.astype(np.float32), np.tile(labels, 5), BASE_EPOCHS, BASE_RATE, seed=2)
    return model.half().float()  # what is shipped is what the adapters are trained on


def train_adapter(base: DigitTransformer, task: str, images: np.ndarray, labels: np.ndarray, seed: int) -> PeftModel:
    """The base model with a LoRA that reads `task`."""
    torch.manual_seed(seed)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(ADAPTED))
    model = get_peft_model(copy.deepcopy(base), config)
    fit(model, seen(task, images), labels, ADAPTER_EPOCHS, ADAPTER_RATE, seed)
    return model.half().float()


def tidy(adapter: Path) -> None:
    """Drops the empty model card, and sorts what peft keeps as a set, so that every run writes the same bytes."""
    (adapter / "README.md").unlink(missing_ok=True)
    config = adapter / "adapter_config.json"
    content = json.loads(config.read_text()) | {"target_modules": sorted(ADAPTED), "auto_mapping": None}
    config.write_text(json.dumps(content, indent=2) + "\n")


def main(folder: Path) -> None:
    """Trains all, prints accuracies on the test images, writes `folder`."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    parts, start = split(), time.perf_counter()
    base = train_base(*parts["train"])
    test_images, test_labels = parts["test"]
    print(f"upright: base {accuracy(base, test_images.astype(np.float32) / 16, test_labels):.3f}")
    save_file({n: p.numpy().astype(np.float16) for n, p in base.state_dict().items()}, folder / "base.safetensors")
    save_file(
        {f"{part}.{kind}": array for part in ("validation", "test")
         for kind, array in zip(("images", "labels"), parts[part], strict=True)},
        folder / "digits.safetensors",
    )  # fmt: skip
    for seed, task in enumerate(TASKS, start=10):
        shown = seen(task, test_images)
        before = accuracy(base, shown, test_labels)
        model = train_adapter(base, task, *parts["train"], seed)
        print(f"{task:>10}: base {before:.3f}, adapted {accuracy(model, shown, test_labels):.3f}"
              f"  ({time.perf_counter() - start:.0f} s)", flush=True)  # fmt: skip
        model.half().save_pretrained(folder / "adapters" / task)
        tidy(folder / "adapters" / task)
    for file in folder.rglob("*.safetensors"):
        file.chmod(0o644)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "coremerge_ref" / "demo" / "data")
