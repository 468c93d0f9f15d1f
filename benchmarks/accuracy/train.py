"""Trains one adapter a task with PEFT on the query, key, value and output projections of every layer."""

import json
import random
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.accuracy import model, store
from benchmarks.accuracy.tasks import Task

TARGETS = ["query", "key", "value", "attention.output.dense"]
MIXED = (4, 8, 16, 64)


@dataclass(frozen=True)
class Recipe:
    """How one set of adapters is trained; `ranks` are dealt to the tasks in turn."""

    name: str
    kind: str
    ranks: tuple[int, ...]
    learning_rate: float
    steps: int = 120
    batch: int = 16

    def shortened(self, steps: int) -> "Recipe":
        """The same recipe with fewer steps."""
        return replace(self, steps=steps)


RECIPES = {
    "r16": Recipe("r16", "lora", (16,), 2e-3),
    "mixed": Recipe("mixed", "lora", MIXED, 2e-3),
    "vera": Recipe("vera", "vera", (16,), 2e-2),
}


def config(recipe: Recipe, rank: int) -> Any:
    """PEFT's configuration: alpha = r, so ΔW = B A; VeRA's shared matrices come from one key and so are one pair."""
    from peft import LoraConfig, VeraConfig

    if recipe.kind == "vera":
        return VeraConfig(r=rank, target_modules=TARGETS, projection_prng_key=0, d_initial=0.1)
    return LoraConfig(r=rank, lora_alpha=rank, lora_dropout=0.0, target_modules=TARGETS)


def train(task: Task, recipe: Recipe, rank: int, seed: int, out: Path) -> dict[str, float]:
    """Trains and saves one PEFT folder at `out`, with its losses and its own accuracies beside it."""
    from peft import get_peft_model

    torch.manual_seed(seed)
    base = model.base()
    head = model.head(base, task)
    network: nn.Module = get_peft_model(base, config(recipe, rank)).eval()  # eval: no dropout, gradients all the same
    weights = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=recipe.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.steps, pct_start=0.1
    )
    rng = random.Random(seed)
    examples = task.splits["train"]
    order: list[tuple[str, int]] = []
    loss = torch.zeros(())
    for _ in range(recipe.steps):
        if len(order) < recipe.batch:
            order = rng.sample(examples, len(examples))
        chosen, order = order[: recipe.batch], order[recipe.batch :]
        with torch.autocast("cpu", torch.bfloat16):
            found = model.embed(network, model.encode([text for text, _ in chosen]))
        logits = model.TEMPERATURE * found.float() @ head.T
        loss = nn.functional.cross_entropy(logits, torch.tensor([label for _, label in chosen]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    scores = {"loss": loss.item(), "test": model.accuracy(network, head, model.batches(task.splits["test"]))}
    temporary = out.with_name(out.name + ".part")
    network.save_pretrained(str(temporary))
    (temporary / "scores.json").write_text(json.dumps({**scores, "data": task.fingerprint}))
    temporary.rename(out)
    return scores


def train_all(cache: Path, recipe: Recipe, names: list[str], seed: int, sizes: dict[str, int] | None = None) -> None:
    """Trains what is not in the cache yet, one line of progress an adapter."""
    for index, name in enumerate(names):
        out = store.adapter(cache, recipe.name, seed, name)
        if out.exists():
            continue
        rank = recipe.ranks[index % len(recipe.ranks)]
        start = time.perf_counter()
        twin = store.adapter(cache, "r16", seed, name)
        if recipe.kind == "lora" and (rank,) == RECIPES["r16"].ranks and twin.exists():
            shutil.copytree(twin, out)  # the same recipe and seed: the same adapter
            continue
        scores = train(store.task(cache, name, sizes), recipe, rank, seed, out)
        took = time.perf_counter() - start
        print(
            f"trained {recipe.name} seed {seed} {name} rank {rank}: test {scores['test']:.2f} % in {took:.0f} s",
            flush=True,
        )
