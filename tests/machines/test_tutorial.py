"""The commands of the tutorial: a job array in a shell, a cluster of dask's own commands, each with the same result."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```bash\n(.*?)^```", (ROOT / "docs/tutorials/machines.md").read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "coremerge_ref/demo/data/adapters", tmp_path / "adapters")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bash(script: str, **environment: str) -> None:
    """Runs the script as it stands; what it leaves running is ended."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with open("said.txt", "w") as said:
        job = subprocess.Popen(
            ["bash", "-e", "-c", script],
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **environment},
            start_new_session=True,
            stdout=said,
            stderr=said,
        )
        try:
            job.wait(timeout=300)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)
    assert job.wait() == 0, Path("said.txt").read_text()


def tensors(folder: str) -> bytes:
    return Path(folder, "adapter_model.safetensors").read_bytes()


def test_the_job_array(place: Path) -> None:
    array, join, _ = BLOCKS
    count = int(array.partition("--array=1-")[2].split()[0])
    for i in range(1, count + 1):
        bash(array, SLURM_ARRAY_TASK_ID=str(i))
    bash(join)
    bash("coremerge merge adapters/* -o plain --method tsv")
    assert tensors("merged-in-parts") == tensors("plain")


def test_the_cluster(place: Path) -> None:
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    bash(BLOCKS[2].replace("8786 &", f"{port} --dashboard-address :0 &", 1).replace("8786", str(port)))
    bash("coremerge merge adapters/* -o plain --method tsv")
    assert tensors("merged-by-cluster") == tensors("plain")
