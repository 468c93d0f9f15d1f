"""Trains one adapter a task with PEFT on the query, key, value and output projections of every layer."""

import random
import shutil
import time
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.accuracy import model, store
from benchmarks.accuracy.features import Features
from benchmarks.accuracy.model import MINILM, MPNET, Family

MIXED = (4, 8, 16, 64)


@dataclass(frozen=True)
class Recipe:
    """How one set of adapters is trained; `ranks` are dealt to the tasks in turn."""

    name: str
    kind: str
    ranks: tuple[int, ...]
    learning_rate: float
    steps: int = 100
    batch: int = 16
    family: Family = MINILM

    def shortened(self, steps: int) -> "Recipe":
        """The same recipe with fewer steps."""
        return replace(self, steps=steps)


RECIPES = {
    "r16": Recipe("r16", "lora", (16,), 2e-3),
    "mixed": Recipe("mixed", "lora", MIXED, 2e-3),
    "vera": Recipe("vera", "vera", (16,), 2e-2),
    "family": Recipe("family", "lora", (16,), 2e-3, family=MPNET),
}


def config(recipe: Recipe, rank: int) -> Any:
    """PEFT's configuration: alpha = r, so ΔW = B A; VeRA's shared matrices come from one key and so are one pair."""
    from peft import LoraConfig, VeraConfig

    targets = list(recipe.family.projections)
    if recipe.kind == "vera":
        return VeraConfig(r=rank, target_modules=targets, projection_prng_key=0, d_initial=0.1)
    return LoraConfig(r=rank, lora_alpha=rank, lora_dropout=0.0, target_modules=targets)


def train(features: Features, recipe: Recipe, rank: int, seed: int, out: Path) -> float:
    """Trains and saves one PEFT folder at `out`; the last loss."""
    from peft import get_peft_model

    torch.manual_seed(zlib.crc32(f"{features.task.name} {seed}".encode()))  # each adapter starts from an A of its own
    network: nn.Module = get_peft_model(
        recipe.family.top(), config(recipe, rank)
    ).eval()  # no dropout, gradients all the same
    weights = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=recipe.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.steps, pct_start=0.1
    )
    rng = random.Random(f"{features.task.name} {seed}")
    data = features.splits["train"]
    order: list[int] = []
    loss = torch.zeros(())
    for _ in range(recipe.steps):
        if len(order) < recipe.batch:
            order = rng.sample(range(len(data.labels)), len(data.labels))
        rows, order = order[: recipe.batch], order[recipe.batch :]
        found = nn.functional.normalize(network(data.hidden[rows].float(), data.mask[rows]), dim=-1)
        loss = nn.functional.cross_entropy(model.TEMPERATURE * found @ features.head.T, data.labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    temporary = out.with_name(out.name + ".part")
    network.save_pretrained(str(temporary))
    temporary.rename(out)
    return loss.item()


def train_all(cache: Path, recipe: Recipe, features: dict[str, Features], seed: int) -> None:
    """Trains what is not in the cache yet, one line of progress an adapter."""
    for index, name in enumerate(features):
        out = store.adapter(cache, recipe.name, seed, name)
        if out.exists():
            continue
        rank = recipe.ranks[index % len(recipe.ranks)]
        start = time.perf_counter()
        twin = store.adapter(cache, "r16", seed, name)
        if recipe.name == "mixed" and (rank,) == RECIPES["r16"].ranks and twin.exists():
            shutil.copytree(twin, out)  # the same recipe and seed: the same adapter
            continue
        loss = train(features[name], recipe, rank, seed, out)
        took = time.perf_counter() - start
        print(f"trained {recipe.name} seed {seed} {name} rank {rank}: loss {loss:.3f} in {took:.0f} s", flush=True)
