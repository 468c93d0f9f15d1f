"""A real cluster of processes: equal results, killed workers, full disks, schedulers that are not there."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lora_sets import check_same, taken
from methods_for_workers import ALWAYS, FLAG, FOLDER, total
from safetensors.numpy import load_file

from coremerge_ref.adapters import merge_folders
from coremerge_ref.cli import executors
from coremerge_ref.errors import AdapterError

distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
Ways = Callable[..., dict[str, bytes]]


@contextmanager
def started(base: Path) -> Iterator[Any]:
    """A cluster of two workers, which find in the folder `base` what they are to do wrong."""
    import dask

    settings = {
        "distributed.scheduler.allowed-failures": 1,
        "distributed.worker.memory.terminate": False,
        "distributed.comm.timeouts.connect": "120s",  # the machine may be busy with other tests
        "distributed.comm.timeouts.tcp": "120s",
    }
    with pytest.MonkeyPatch.context() as patch, dask.config.set(settings):
        patch.setenv(FOLDER, str(base))
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
        ) as cluster:
            yield cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with started(tmp_path_factory.getbasetemp()) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    with distributed.Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=120)  # one that was killed comes back in a while
        yield client


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where workers look for what they are to do wrong."""
    base = tmp_path_factory.getbasetemp()
    yield base
    (base / FLAG).unlink(missing_ok=True)


@pytest.mark.parametrize("how", [{}, {"max_shard_size": 3000, "method": "ties"}, {"dense": True}], ids=str)
def test_results_are_those_of_one_process(
    how: dict[str, Any], adapters: list[str], client: Any, in_every_way: Ways
) -> None:
    in_every_way(adapters, client.get_executor(), **how)


def test_the_same_merge_twice_is_done_twice(adapters: list[str], client: Any) -> None:
    """dask takes calls that are alike for one; the second time other files lie at the same paths."""
    merge_folders(adapters, "out", "ta", executor=client.get_executor())
    first = load_file("out/adapter_model.safetensors")
    shutil.rmtree("a")
    shutil.copytree("b", "a")
    merge_folders(adapters, "out", "ta", executor=client.get_executor(), force=True)
    second = load_file("out/adapter_model.safetensors")
    assert any(not (first[name] == second[name]).all() for name in first if first[name].shape == second[name].shape)


def test_a_killed_worker_is_made_up_for(adapters: list[str], client: Any, folder: Path) -> None:
    merge_folders(adapters, "out", total, executor=client.get_executor())
    assert (folder / FLAG).exists()
    by_two = taken(Path("out"))
    merge_folders(adapters, "out", total)
    check_same(taken(Path("out")), by_two)


def test_work_that_kills_every_worker_fails_with_nothing_written(adapters: list[str], tmp_path: Path) -> None:
    """On a cluster of its own, whose workers may stay away."""
    (tmp_path / ALWAYS).touch()
    with (
        started(tmp_path) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
        pytest.raises(AdapterError, match=r"a worker of ClientExecutor failed: KilledWorker.*nothing was changed"),
    ):
        merge_folders(adapters, "out", total, executor=client.get_executor())
    assert sorted(os.listdir()) == ["a", "b", "c", ALWAYS, FLAG]


def fill_disk(*_: object, **more: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full(on: bool) -> None:
    from coremerge_ref.adapters.writer import TensorWriter

    if on:
        TensorWriter.kept, TensorWriter.add = TensorWriter.add, fill_disk  # type: ignore[attr-defined, method-assign, assignment]
    else:
        TensorWriter.add = TensorWriter.kept  # type: ignore[attr-defined, method-assign]


def test_a_full_disk_on_one_worker(adapters: list[str], client: Any) -> None:
    merge_folders(adapters, "out", "ta")
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    one = next(iter(client.nthreads()))
    client.run(full, True, workers=[one])
    try:
        with pytest.raises(
            AdapterError, match=r"cannot be written on .*: No space left on device; nothing was changed"
        ):
            merge_folders(adapters, "out", "tsv", executor=client.get_executor(), force=True)
    finally:
        client.run(full, False, workers=[one])
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before
    assert sorted(os.listdir()) == ["a", "b", "c", "out"]


def test_the_command_line(adapters: list[str], cluster: Any, run: Callable[..., Any]) -> None:
    result = run("merge", *adapters, "-o", "out", "--scheduler", cluster.scheduler_address)
    assert result.exit_code == 0, result.output
    by_cluster = taken(Path("out"))
    assert run("merge", *adapters, "-o", "out").exit_code == 0
    check_same(taken(Path("out")), by_cluster)


@pytest.mark.parametrize(
    "address",
    ["tcp://127.0.0.1:9", "tcp://127.0.0.1", "nonsense://x", "", "127.0.0.1:notaport", "tcp://no.such.host.invalid:1"],
)
def test_a_scheduler_that_is_not_there(
    address: str, adapters: list[str], refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "_SECONDS", 0.5)
    assert "expected a dask scheduler at" in refused("merge", *adapters, "-o", "out", "--scheduler", address)


def test_the_executor_is_left_open(adapters: list[str], client: Any) -> None:
    executor: Executor = client.get_executor()
    for name in ("one", "two"):
        merge_folders(adapters, name, "ta", executor=executor)
    assert executor.submit(len, "abc").result() == 3
