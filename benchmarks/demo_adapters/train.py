"""Trains the encoder and the adapters that `coremerge demo` merges, and writes them to coremerge_ref/demo/data.

    python -m benchmarks.demo_adapters.train [FOLDER]

The base model learns to match a letter, printed in a random way, with a clean drawing of it, for the letters of five
alphabets that no task has. Each adapter then learns one task's ten signs in that task's print, against the task's fixed
class vectors, by LoRA on every linear layer of the blocks, trained and saved by peft; the base model stays as it is.
Seeds are fixed and all runs on one thread, so one machine gives the same weights every time. About five minutes on one
core. A base model that is in FOLDER already is kept: remove it to train it again.

README.md beside this file says which choices were tried.
"""

import copy
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.numpy import load_file, save_file

from benchmarks.demo_adapters.model import ADAPTED, Encoder
from benchmarks.demo_adapters.signs import PLAIN, SPLITS, classes, draw, drawings, pool, split
from coremerge_ref.demo.tasks import TASKS, seen

RANK, ALPHA = 4, 8
EACH, BASE_EPOCHS, BASE_BATCH, BASE_RATE = 30, 20, 256, 3e-3
ADAPTER_EPOCHS, ADAPTER_BATCH, ADAPTER_RATE = 5, 50, 2e-3
SHARPNESS = 20.0  # logits are this times the cosine
NOISE = 0.05
LINES, FRAME, RAMP, EDGES, SLANT, WAYS = 0, 1, 2, 3, 4, 8  # the other three of eight: as drawn


def fit(
    model: torch.nn.Module, loss: Callable[[torch.Tensor], torch.Tensor], examples: int, batch: int, epochs: int,
    rate: float, seed: int, every: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """AdamW with a one-cycle rate over the parameters that ask for a gradient; `every` runs before each epoch."""
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate, weight_decay=0.01)
    steps = examples // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * steps)
    for _ in range(epochs):
        every()
        for rows in torch.randperm(examples, generator=order)[: steps * batch].view(-1, batch):
            value = loss(rows)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
    model.eval()


def printed(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images (N, 8, 8) in [0, 1], each as it is or printed in one of five ways, whose strength and place are random."""
    images = images.copy()
    row, column = np.indices((8, 8))
    for image in images:
        way = rng.integers(WAYS)
        if way == LINES:
            lines, value = rng.choice(8, rng.integers(1, 4), replace=False), rng.integers(2)
            (image if rng.integers(2) else image.T)[lines] = value
        elif way == FRAME:
            for side in range(4):
                if rng.integers(4):
                    np.rot90(image, side)[0] = rng.uniform(0.5, 1)
        elif way == RAMP:
            down, along = rng.uniform(-0.07, 0.07, 2)
            ramp = down * (row - 3.5) + along * (column - 3.5) + rng.uniform(0, 0.4)
            image[:] = np.clip(rng.uniform(0.4, 0.8) * image + ramp, 0, 1)
        elif way == EDGES:
            image[:] = np.abs(image - np.roll(image, 1, axis=rng.integers(2))) * rng.uniform(0.6, 1)
        elif way == SLANT:
            image[:] = image[row, (column - np.floor(row * rng.uniform(-0.5, 0.5)).astype(int)) % 8]
    return images


def train_base() -> Encoder:
    """An encoder that puts a letter, however printed, nearest to the clean drawing of it, among all of the pool."""
    letters = pool()
    images, labels = drawings(letters, EACH, seed=1)
    clean = torch.from_numpy(np.stack([draw(letter, PLAIN) for letter in letters]).astype(np.float32) / 16)
    answers, rng, noise = torch.from_numpy(labels), np.random.default_rng(3), torch.Generator().manual_seed(4)
    torch.manual_seed(0)
    model, shown = Encoder(), torch.empty(0)

    def reprint() -> None:
        nonlocal shown
        shown = torch.from_numpy(printed(images.astype(np.float32) / 16, rng))

    def loss(rows: torch.Tensor) -> torch.Tensor:
        noisy = shown[rows] + NOISE * torch.randn(len(rows), 8, 8, generator=noise)
        vectors = model(torch.cat([noisy, clean]))
        return cross_entropy(vectors[: len(rows)], vectors[len(rows) :], answers[rows])

    fit(model, loss, len(labels), BASE_BATCH, BASE_EPOCHS, BASE_RATE, seed=2, every=reprint)
    return model.half().float()  # what is shipped is what the adapters are trained on


def cross_entropy(vectors: torch.Tensor, heads: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Of vectors (N, width) against class vectors (C, width)."""
    return torch.nn.functional.cross_entropy(SHARPNESS * vectors @ heads.T, answers)


@torch.no_grad()
def class_vectors(base: Encoder, task: str) -> torch.Tensor:
    """(10, width): the base model's embeddings of clean drawings."""
    return base(torch.from_numpy(classes(task).astype(np.float32) / 16))


def train_adapter(base: Encoder, task: str, images: np.ndarray, labels: np.ndarray, seed: int) -> PeftModel:
    """The base model with a LoRA for `task`."""
    heads, shown = class_vectors(base, task), torch.from_numpy(seen(task, images))
    answers = torch.from_numpy(labels.astype(np.int64))
    torch.manual_seed(seed)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(ADAPTED))
    model = get_peft_model(copy.deepcopy(base), config)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        return cross_entropy(model(shown[rows]), heads, answers[rows])

    fit(model, loss, len(labels), ADAPTER_BATCH, ADAPTER_EPOCHS, ADAPTER_RATE, seed)
    return model.half().float()


@torch.no_grad()
def accuracy(model: torch.nn.Module, heads: torch.Tensor, images: np.ndarray, labels: np.ndarray) -> float:
    """Fraction of `images`, as the model sees them, named rightly."""
    return float(((model(torch.from_numpy(images)) @ heads.T).argmax(-1).numpy() == labels).mean())


def tidy(adapter: Path) -> None:
    """Leaves what the adapter is, in an order that does not change: the same weights then make the same bytes."""
    (adapter / "README.md").unlink(missing_ok=True)
    config = adapter / "adapter_config.json"
    content = json.loads(config.read_text()) | {"target_modules": sorted(ADAPTED), "auto_mapping": None}
    config.write_text(json.dumps(content, indent=2) + "\n")


def main(folder: Path) -> None:
    """Trains all, prints accuracies on the test images, writes `folder`."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    shutil.rmtree(folder / "adapters", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    start, kept = time.perf_counter(), folder / "base.safetensors"
    if kept.exists():
        base = Encoder().eval()
        base.load_state_dict(
            {name: torch.from_numpy(array.astype(np.float32)) for name, array in load_file(kept).items()}
        )
    else:
        base = train_base()
        save_file({name: p.numpy().astype(np.float16) for name, p in base.state_dict().items()}, kept)
    print(f"base model ({time.perf_counter() - start:.0f} s)", flush=True)
    arrays = {}
    for seed, task in enumerate(TASKS, start=10):
        parts = split(task)
        arrays[f"{task}.classes.images"] = classes(task)
        for part in [part for part in SPLITS if part != "train"]:
            arrays[f"{task}.{part}.images"], arrays[f"{task}.{part}.labels"] = parts[part]
        images, labels = parts["test"]
        heads = class_vectors(base, task)
        before = accuracy(base, heads, seen(task, images), labels)
        model = train_adapter(base, task, *parts["train"], seed)
        after = accuracy(model, heads, seen(task, images), labels)
        took = time.perf_counter() - start
        print(f"{task:>10}: base {before:.3f}, adapted {after:.3f}  ({took:.0f} s)", flush=True)
        model.half().save_pretrained(folder / "adapters" / task)
        tidy(folder / "adapters" / task)
    save_file(arrays, folder / "signs.safetensors")
    for file in folder.rglob("*.safetensors"):
        file.chmod(0o644)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "coremerge_ref" / "demo" / "data")
