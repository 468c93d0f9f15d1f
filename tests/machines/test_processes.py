"""`--workers`: processes of this machine that are killed, interrupted, or find other files than were meant."""

import errno
import hashlib
import multiprocessing
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lora_sets import check_same, taken
from methods_for_workers import FOLDER, SLOW, total

from coremerge_ref.adapters import merge_folders, spreading
from coremerge_ref.adapters.assembling import Shard
from coremerge_ref.adapters.prepared import PreparedFolders
from coremerge_ref.adapters.ready import Options
from coremerge_ref.errors import AdapterError


def limited(size: int) -> None:
    """No file of this process may be larger: the next that is gives an OSError."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@contextmanager
def processes(count: int = 2, **more: Any) -> Iterator[Executor]:
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"), **more) as executor:
        yield executor


def test_the_command_line(adapters: list[str], run: Callable[..., Any]) -> None:
    result = run("merge", *adapters, "-o", "out", "--max-shard-size", "2kB")
    assert result.exit_code == 0
    (advice,) = re.findall(r"coremerge (convert .* --to peft) makes one", " ".join(result.stderr.split()))
    done = run(*shlex.split(advice))
    assert done.exit_code == 0, done.output
    assert {path.name for path in Path("ONE").glob("adapter_model*")} == {"adapter_model.safetensors"}
    plain = taken(Path("out"))
    Path("merge.yaml").write_text("{adapters: [a, b, c], output: out, workers: 2, max_shard_size: 2kB}")
    assert run("merge", "--config", "merge.yaml").exit_code == 0
    check_same(plain, taken(Path("out")))
    for i in (1, 2):
        words = ["merge", *adapters, "-o", f"part{i}", "--max-shard-size", "2kB", "--layers", f"{i}/2"]
        result = run(*words, *(["--workers", 2] if i == 2 else []))
        assert result.exit_code == 0, result.output
        assert "coremerge join" in result.stderr
    assert run("join", "part2", "part1", "-o", "out").exit_code == 0
    assert run("verify", "out").exit_code == 0
    check_same(plain, taken(Path("out")))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--workers", 0], "from 1 to 4096, got"),
        (["--workers", "two"], "integer"),
        (["--workers", 2, "--scheduler", "tcp://x:1"], "expected one of them, got both"),
        (["--layers", "0/3"], "layers: expected i/n"),
        (["--layers", "4/3"], "layers: expected i/n"),
        (["--layers", "1"], "layers: expected i/n"),
        (["--layers", "1/3", "--into", "base"], "join them, and merge what they give alone, by ta"),
        (["--max-shard-size", "2 apples"], "max_shard_size: expected a size such as 2GB"),
        (["--max-shard-size", "0"], "max_shard_size: expected at least 1 byte"),
    ],
)
def test_wrong_words(words: list[Any], said: str, adapters: list[str], refused: Callable[..., str]) -> None:
    assert said in refused("merge", *adapters, "-o", "out", *words)


def test_a_killed_worker_fails_with_nothing_written(
    adapters: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "orders").mkdir()
    monkeypatch.setenv(FOLDER, str(tmp_path / "orders"))
    with (
        processes() as executor,
        pytest.raises(AdapterError, match=r"a worker of ProcessPoolExecutor failed: BrokenProcessPool.*nothing was"),
    ):
        merge_folders(adapters, "out", total, executor=executor)
    assert sorted(os.listdir()) == ["a", "b", "c", "orders"]


def test_a_disk_that_is_full_for_a_worker(adapters: list[str]) -> None:
    merge_folders(adapters, "out", "ta")
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    with (
        processes(1, initializer=limited, initargs=(700,)) as executor,
        pytest.raises(AdapterError, match=rf"cannot be written on .*: {os.strerror(errno.EFBIG)}; nothing was changed"),
    ):
        merge_folders(adapters, "out", "tsv", executor=executor, force=True)
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before
    assert sorted(os.listdir()) == ["a", "b", "c", "out"]


class Meddling(Executor):
    """Does `first` before the first piece, and passes on what is submitted."""

    def __init__(self, executor: Executor, first: Callable[[], object]) -> None:
        self.executor, self.first = executor, first

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if function is spreading.do_piece and self.first:
            self.first()
            self.first = lambda: None
        return self.executor.submit(function, *args, **kwargs)


def test_workers_that_see_another_file_refuse(adapters: list[str]) -> None:
    with processes(1) as executor:
        meddling = Meddling(executor, lambda: os.utime("b/adapter_model.safetensors", (0, 0)))
        with pytest.raises(AdapterError, match=r"b/adapter_model\.safetensors.* is not the file that the merge was"):
            merge_folders(adapters, "out", "ta", executor=meddling)
    assert sorted(os.listdir()) == ["a", "b", "c"]


def test_adapters_that_are_not_there_for_workers(adapters: list[str]) -> None:
    with processes(1) as executor:
        meddling = Meddling(executor, lambda: shutil.move("b", "elsewhere"))
        with pytest.raises(AdapterError, match="expected an adapter folder, but nothing is there"):
            merge_folders(adapters, "out", "ta", executor=meddling)
    assert sorted(os.listdir()) == ["a", "c", "elsewhere"]


def test_workers_of_another_version_refuse(adapters: list[str], tmp_path: Path) -> None:
    prepared = PreparedFolders(adapters, Options(), "refuse", None, keep=False)
    order = replace(spreading.Order.of(prepared, Options(), False, 1), versions="coremerge_ref 0.0.1, numpy 1.0, z80")
    with pytest.raises(AdapterError, match=r"expected coremerge_ref 0\.0\.1, .* z80, as where.*install the same"):
        spreading.do_piece(order, [["layers.0.q"]], str(tmp_path / "piece"))
    assert not (tmp_path / "piece").exists()


def test_a_piece_done_twice_and_too_late(adapters: list[str], tmp_path: Path) -> None:
    """What a cluster does again while somebody reads it is replaced at once; where all is over nothing appears."""
    prepared = PreparedFolders(adapters, Options(), "refuse", None, keep=False)
    order = spreading.Order.of(prepared, Options(), False, 1)
    with spreading.pieces_folder(tmp_path) as folder:
        pieces = [spreading.do_piece(order, [["layers.0.q"]], str(folder / "piece")) for _ in range(2)]
        assert pieces[0] == pieces[1]
        assert os.listdir(folder) == ["piece"]
        sources = {name: "piece" for group in pieces[0].groups.values() for name in group}
        shard = Shard(folder / "shard", list(sources), sources, folder)
        digests = [spreading.do_shard(order, shard, pieces[0].outcome.ranks) for _ in range(2)]
        assert digests == 2 * [hashlib.sha256((folder / "shard").read_bytes()).hexdigest()]
        assert sorted(os.listdir(folder)) == ["piece", "shard"]
    with pytest.raises(AdapterError, match="cannot be written on"):
        spreading.do_piece(order, [["layers.0.q"]], str(folder / "piece"))
    assert sorted(os.listdir()) == ["a", "b", "c"]


def test_an_executor_that_is_shut_down(adapters: list[str]) -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(AdapterError, match="after shutdown"):
        merge_folders(adapters, "out", "ta", executor=executor)
    assert sorted(os.listdir()) == ["a", "b", "c"]


class Cancelling(Executor):
    """Cancels what is submitted, as dask does when its scheduler is gone."""

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future


def test_a_scheduler_that_goes_away(adapters: list[str]) -> None:
    with pytest.raises(AdapterError, match="the work was cancelled, and nothing was changed"):
        merge_folders(adapters, "out", "ta", executor=Cancelling())
    assert sorted(os.listdir()) == ["a", "b", "c"]


PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's job in the background ignores
from methods_for_workers import total
from coremerge_ref.adapters import merge_folders, layer
from coremerge_ref.cli.executors import executor_of
from coremerge_ref.cli.reporting import reported

@reported
def main():
    with executor_of(2, None, print) as executor:
        merge_folders(["a", "b", "c"], "out", total, executor=executor)

if __name__ == "__main__":
    layer.BATCH_BYTES = 1
    main()
"""


def children(pid: int) -> list[int]:
    """The processes that it started, spawned workers among them."""
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pids: list[int], seconds: float = 30) -> bool:
    """Whether all of them end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(is_alive(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda sent: sent.name)
def test_a_merge_that_is_ended_in_the_middle(sent: signal.Signals, adapters: list[str], tmp_path: Path) -> None:
    """Its workers end with it; what it leaves, if it cannot tidy, the next merge removes."""
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / SLOW).touch()
    (tmp_path / "program.py").write_text(PROGRAM)
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, FOLDER: str(tmp_path / "orders"), "PYTHONPATH": path}
    with subprocess.Popen([sys.executable, "program.py"], env=environment, stderr=subprocess.PIPE, text=True) as job:
        while job.poll() is None and not list(tmp_path.glob(".out.coremerge-*/pieces/piece-*")):
            time.sleep(0.02)
        started = children(job.pid)
        assert len(started) >= 2
        job.send_signal(sent)
        assert job.stderr
        said = job.stderr.read()
        job.wait()
    assert job.returncode == (130 if sent == signal.SIGINT else -sent)
    assert "Traceback" not in said
    assert gone(started)
    assert not Path("out").exists()
    merge_folders(adapters, "out", "ta")
    assert sorted(os.listdir()) == ["a", "b", "c", "orders", "out", "program.py"]
