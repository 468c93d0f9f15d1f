"""What workers are told of a merge: paths from the root, settings, and how many of them share a memory."""

import os
import platform
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import many_layers
import numpy as np
import pytest
from safetensors.numpy import save_file
from said import parts

from coremerge_ref.adapters import Adapter
from coremerge_ref.adapters.order import HERE, Order, Way, absolute, stamps, versions
from coremerge_ref.adapters.prepared import PreparedFolders
from coremerge_ref.adapters.ready import Options
from coremerge_ref.errors import ParameterError


class Elsewhere(Executor):
    """Workers of which nothing is known, though it says so."""

    _max_workers = 7


@pytest.mark.parametrize(
    ("make", "share"), [(lambda: ThreadPoolExecutor(3), 3), (lambda: ProcessPoolExecutor(2), 2), (Elsewhere, 1)]
)
def test_workers_of_this_machine_share_its_memory(make: Any, share: int) -> None:
    with make() as executor:
        assert Way.of(executor, (1, 2), 5) == Way(executor, share, (1, 2), 5)


def test_without_an_executor_the_work_is_done_here() -> None:
    assert Way.of(None, None, None) == HERE == Way(None, 1, None, None)


@pytest.mark.parametrize("wrong", [3, "threads", object, {"submit": 1}])
def test_what_is_no_executor_is_refused_by_its_type(wrong: Any) -> None:
    if wrong is object:
        wrong = type("Odd", (), {"submit": 3})()
    with pytest.raises(ParameterError, match=parts(f"executor: … concurrent.futures … {type(wrong).__name__}")):
        Way.of(wrong, None, None)


def test_an_order_means_the_same_in_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a", "b", "b0")):
        many_layers.write(tmp_path / name, seed)
    for name in ("b", "b0"):
        config = (tmp_path / name / "adapter_config.json").read_text()
        (tmp_path / name / "adapter_config.json").write_text(config.replace("{", '{"init_lora_weights": "pissa", ', 1))
    shapes = {f"{name}.weight": many_layers.SHAPES[i % 2] for i, name in enumerate(many_layers.LAYERS)}
    save_file({name: np.ones(shape, np.float32) for name, shape in shapes.items()}, "base.safetensors")
    options = Options(method="ta", into="base.safetensors", scale=0.5)
    prepared = PreparedFolders(["a", "b@b0"], options, "drop", "base.safetensors", keep=False)
    order = Order.of(prepared, options, True, 3)
    (tmp_path / "deeper").mkdir()
    monkeypatch.chdir(tmp_path / "deeper")
    assert order.paths == (str(tmp_path / "a"), f"{tmp_path / 'b'}@{tmp_path / 'b0'}")
    assert order.base == order.options.into == str(tmp_path / "base.safetensors")
    assert (order.options.scale, order.options.method) == (0.5, "ta")
    assert (order.others, order.ignore_memory, order.share) == ("drop", True, 3)
    files = [tmp_path / name / file for name in ("a", "b", "b0") for file in os.listdir(tmp_path / name)]
    assert sorted(order.seen) == sorted((str(f), f.stat().st_size, int(f.stat().st_mtime)) for f in files)
    assert order.versions == versions()
    monkeypatch.chdir(tmp_path)
    assert Order.of(prepared, options, True, 3).token != order.token
    without = Order.of(PreparedFolders(["a"], Options(), "refuse", None, keep=False), Options(), False, 1)
    assert (without.base, without.options.into) == (None, None)


def test_stamps_see_sizes_and_seconds(tmp_path: Path) -> None:
    adapter = Adapter(many_layers.write(tmp_path / "a", 0))
    path = tmp_path / "a" / "adapter_config.json"
    os.utime(path, (0, 1234.9))
    [mine] = [stamp for stamp in stamps([adapter]) if stamp[0] == str(path)]
    assert mine == (str(path), path.stat().st_size, 1234)


def test_an_id_of_the_hub_is_the_same_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("hf://org/name@main") == "hf://org/name@main"
    assert absolute("x/../y") == str(tmp_path / "y")


def test_versions_are_of_what_decides_about_bits() -> None:
    from importlib.metadata import version

    for word in (f"numpy {np.__version__}", platform.machine(), version("coremerge_ref")):
        assert word in versions()
