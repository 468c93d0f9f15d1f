"""Adapters in the current folder, and a merge done in every way."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

from lora_sets import check_same, taken, write_adapter


@pytest.fixture
def adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three adapters in the current folder, of ranks that differ; two layers make a batch."""
    from coremerge_ref.adapters import layer

    monkeypatch.setattr(layer, "BATCH_BYTES", 2 * 8 * 22 * 8)
    monkeypatch.chdir(tmp_path)
    write_adapter(tmp_path / "a", 0)
    write_adapter(tmp_path / "b", 1, {"layers.2.q": 1, "layers.4.up": 5})
    write_adapter(tmp_path / "c", 2, rank=2)
    return ["a", "b", "c"]


@pytest.fixture
def in_every_way(tmp_path: Path) -> Callable[..., dict[str, bytes]]:
    """Merges plainly and by what is given, into one name, and checks that the outputs are the same; what they are."""
    from coremerge_ref.adapters import join_parts, merge_folders

    def run(adapters: list[str], executor: Any, *words: Any, output: str = "out", **more: Any) -> dict[str, bytes]:
        merge_folders(adapters, output, *words, **more)
        plain = taken(Path(output))
        merge_folders(adapters, output, *words, **more, executor=executor)
        check_same(plain, taken(Path(output)))
        if "into" not in more:
            for i in (3, 1, 2):
                merge_folders(
                    adapters, f"part-{i}", *words, **more, layers=f"{i}/3", executor=executor if i == 2 else None
                )
            join_parts(["part-1", "part-3", "part-2"], output)
            for i in (1, 2, 3):
                shutil.rmtree(f"part-{i}")
            check_same(plain, taken(Path(output)))
        assert [name for name in os.listdir() if name.startswith(".")] == []
        return plain

    return run


@pytest.fixture
def run() -> Callable[..., Any]:
    """run("merge", …) → result with exit_code, stdout, stderr."""
    from coremerge_ref.cli import build

    return lambda *words: CliRunner().invoke(build(), [str(word) for word in words])


@pytest.fixture
def refused(run: Callable[..., Any], tmp_path: Path) -> Callable[..., str]:
    """refused("merge", …) → the one line on stderr; checks exit code 2, empty stdout, nothing written."""

    def refused(*words: Any) -> str:
        before = sorted(tmp_path.rglob("*"))
        result = run(*words)
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        assert sorted(tmp_path.rglob("*")) == before
        assert result.stderr.startswith("coremerge: error: ")
        assert result.stderr.count("\n") == 1
        return str(result.stderr)

    return refused
