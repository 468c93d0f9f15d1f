"""The cache folder: task data, adapters and measurements, each written whole or not at all: a run can resume."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.accuracy import tasks

DEFAULT = Path(os.environ.get("COREMERGE_CACHE", "~/.cache/coremerge_ref")).expanduser() / "accuracy"


def write(path: Path, value: Any) -> None:
    """JSON at `path`, by way of a temporary file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(path.suffix + ".part")
    temporary.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    temporary.replace(path)


def once(path: Path, make: Callable[[], Any]) -> Any:
    """What `path` holds; made and written first where it is not there."""
    if not path.exists():
        write(path, make())
    return json.loads(path.read_text(encoding="utf-8"))


def task(cache: Path, name: str, sizes: dict[str, int] | None = None) -> tasks.Task:
    """The task, from the cache where it is there."""
    found = once(cache / "tasks" / f"{name}.json", lambda: asdict(tasks.load(name, sizes)))
    splits = {split: [(text, label) for text, label in rows] for split, rows in found["splits"].items()}
    return tasks.Task(found["name"], tuple(found["labels"]), tuple(found["prompts"]), splits)


def adapter(cache: Path, recipe: str, seed: int, task: str) -> Path:
    """Where an adapter lies."""
    return cache / "adapters" / recipe / f"seed{seed}" / task
