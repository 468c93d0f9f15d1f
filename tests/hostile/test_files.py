"""Every kind of file × every lie: refused in one line or read right, in a second and 200 MB."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import adapter_folders
import gguf_lies
import lies
import numpy as np
import pytest
from bounded import MORE, Outcome
from safetensors.numpy import save_file
from test_damage import gguf, mlx, single

CONFIG, WEIGHTS, SHIPPED = "adapter_config.json", "adapter_model.safetensors", "coremerge.json"
Ask = Callable[..., Outcome]
# kind of file → (its path, commands that read it)
KINDS: dict[str, tuple[str, list[list[str]]]] = {
    "config": ("a/" + CONFIG, [["inspect", "a"]]),
    "weights": ("a/" + WEIGHTS, [["merge", "a", "b", "-o", "out"]]),
    "settings": ("merge.yaml", [["merge", "a", "b", "-o", "out", "--config", "merge.yaml", "--dry-run"]]),
    "base model": ("model.safetensors", [["merge", "vera", "-o", "out", "--base", "model.safetensors"]]),
    "full-size update": ("delta.safetensors", [["compare", "a", "delta.safetensors", "--method", "ta"]]),
    "single file": ("single/a/adapter_model.safetensors", [["inspect", "single/a/adapter_model.safetensors"]]),
    "GGUF file": ("gguf/a/adapter_model.safetensors", [["inspect", "gguf/a/adapter_model.safetensors"]]),
    "MLX weights": ("mlx/a/adapters.safetensors", [["inspect", "mlx/a"]]),
    "index of shards": ("shards/adapter_model.safetensors.index.json", [["inspect", "shards"]]),
    "record": ("merged/" + SHIPPED, [["inspect", "merged"]]),
    "expected failures": (
        "failures.txt",
        [["conformance", "os:getpid", "--only", "no such case", "--expected-failures", "failures.txt"]],
    ),
}
SPECIAL = {
    "weights": lies.SAFETENSORS,
    "base model": lies.SAFETENSORS,
    "full-size update": lies.SAFETENSORS,
    "single file": lies.SAFETENSORS,
    "MLX weights": lies.SAFETENSORS,
    "GGUF file": gguf_lies.GGUF,
    "index of shards": {
        f"{field}: {name}": lies.field(field, value)
        for field in ("weight_map", "metadata")
        for name, value in lies.VALUES.items()
    },
    "settings": lies.YAML,
    "config": {
        f"{field}: {name}": lies.field(field, value)
        for field in (*adapter_folders.CONFIG, "init_lora_weights", "modules_to_save", "auto_mapping", "odd\x1b[2J")
        for name, value in lies.VALUES.items()
    },
}
RANDOM = 4 * MORE
TURNS = 4 if MORE == 1 else 1  # in CI every kind of file gets a fourth of the lies, each another


def told(table: Mapping[str, Any], turn: int) -> list[str]:
    """The lies of a table that are told in this turn."""
    return list(table)[turn % TURNS :: TURNS]


ANY = [(kind, lie) for turn, kind in enumerate(KINDS) for lie in told(lies.ANY, turn)]
SPECIALS = [(kind, lie) for turn, kind in enumerate(SPECIAL) for lie in told(SPECIAL[kind], turn)]


@pytest.fixture
def files(folder: Path, coremerge: Ask) -> Path:
    """The folder with a file of each kind, as it should be."""
    rng = np.random.default_rng(0)
    for name in ("single", "gguf"):
        (folder / name).mkdir()
    (folder / "merge.yaml").write_text("method: ties\nset: {ties: {density: 0.5}}\nweights: [1, -2]\nscale: 0.5\n")
    save_file({f"{name}.weight": rng.normal(size=(4, 5)) for name in "qk"}, folder / "model.safetensors")
    save_file({"layers.0.q.weight": rng.normal(size=(4, 5)).astype(np.float32)}, folder / "delta.safetensors")
    single(folder / "single")
    gguf(folder / "gguf")
    mlx(folder / "mlx")
    shards = adapter_folders.write(folder / "shards")
    (shards / "adapter_model.safetensors").rename(shards / "one.safetensors")
    places = dict.fromkeys(adapter_folders.lora_tensors(), "one.safetensors")
    (shards / "adapter_model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (folder / "failures.txt").write_text("# none\nties=because\n")
    adapter_folders.write(folder / "merged")
    (folder / "merged" / SHIPPED).write_text('{"coremerge_ref": "0.1.0"}')
    return folder


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def check(kind: str, lie: lies.Lie, folder: Path, coremerge: Ask) -> None:
    """The lie is told, the commands are run, and nothing but a merge's output is new."""
    path, commands = KINDS[kind]
    try:
        lie(folder / path)
    except OSError as error:
        pytest.skip(f"cannot be made here: {error}")
    before = names(folder)
    for words in commands:
        refused = coremerge(*words).code == 2
        new = names(folder) - before
        assert not new or not refused, new
        assert all(name.partition("/")[0] == "out" for name in new), new


def test_whole_files_are_read(files: Path, coremerge: Ask) -> None:
    for kind, (_, commands) in KINDS.items():
        for words in commands:
            outcome = coremerge(*words)
            shutil.rmtree(files / "out", ignore_errors=True)
            assert outcome.code == 0 or kind == "expected failures", (kind, outcome)


@pytest.mark.parametrize(("kind", "lie"), ANY)
def test_any(kind: str, lie: str, files: Path, coremerge: Ask) -> None:
    check(kind, lies.ANY[lie], files, coremerge)


@pytest.mark.parametrize(("kind", "lie"), SPECIALS)
def test_special(kind: str, lie: str, files: Path, coremerge: Ask) -> None:
    check(kind, SPECIAL[kind][lie], files, coremerge)


@pytest.mark.parametrize("seed", range(RANDOM))
@pytest.mark.parametrize("kind", KINDS)
def test_random_damage(kind: str, seed: int, files: Path, coremerge: Ask) -> None:
    check(kind, lies.damaged(seed), files, coremerge)
