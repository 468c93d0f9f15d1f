"""A `coremerge` that runs under limits, and the adapters that strangers' files are put into."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "adapters"))
sys.path.insert(0, str(Path(__file__).parents[1] / "adapters" / "formats"))

import adapter_folders
from bounded import CEILING, SECONDS, Outcome

Ask = Callable[..., Outcome]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    """Answers requests, see bounded_server."""
    place = tmp_path_factory.mktemp("warm")
    adapter_folders.write(place / "a")
    commands = ["inspect a", "merge a -o out", "compare a out --method ta", "explain a --method ta", "verify out"]
    warm = {"folder": str(place), "commands": [command.split() for command in commands]}
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "bounded_server.py"), json.dumps(warm)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdin
        assert process.stdout
        line = process.stdout.readline()
        assert line == "ready\n", line

        def ask(request: dict[str, Any]) -> dict[str, Any]:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            answer: dict[str, Any] = json.loads(process.stdout.readline())
            return answer

        yield ask
        process.stdin.close()


@pytest.fixture
def coremerge(server: Callable[[dict[str, Any]], dict[str, Any]], folder: Path) -> Ask:
    """coremerge("inspect", "a") → Outcome, run in `folder`, within the ceilings."""

    def run(
        *words: object, seconds: int = SECONDS, ceiling: float = CEILING, place: Path = folder, **more: Any
    ) -> Outcome:
        """more: "user" id, "umask", "stdout", "kill" before which call to the file system; then nothing is checked."""
        request = {"words": [str(word) for word in words], "folder": str(place), "seconds": seconds, **more}
        outcome = Outcome(**server(request))
        if "kill" not in more:
            outcome.check(CEILING)
        return outcome

    return run


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with whole adapters, to be copied."""
    place = tmp_path_factory.mktemp("good")
    adapter_folders.write(place / "a")
    adapter_folders.write(place / "b", adapter_folders.lora_tensors(1))
    adapter_folders.write(place / "vera", adapter_folders.vera_tensors(), peft_type="VERA")
    return place


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    """A copy of the whole adapters a, b and vera, where commands run."""
    shutil.copytree(good, tmp_path / "place")
    return tmp_path / "place"
