"""doctor says what is here, whatever is missing or broken, and nothing about whose machine it is."""

import getpass
import json
import os
import platform
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import coremerge_ref as cm

Run = Callable[..., Any]


@pytest.fixture
def shown(run: Run) -> Callable[[], dict[str, Any]]:
    """What --json printed."""

    def shown() -> dict[str, Any]:
        result = run("doctor", "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return shown


def test_versions_are_those_of_what_runs(shown: Callable[[], dict[str, Any]]) -> None:
    said = shown()
    assert said["coremerge_ref"] == cm.__version__
    assert said["python"] == platform.python_version()
    assert said["packages"]["numpy"] == np.__version__
    assert said["packages"]["cupy-cuda12x"] is None or "cupy" in sys.modules


def test_the_blas_that_numpy_uses_is_named(shown: Callable[[], dict[str, Any]]) -> None:
    assert any(pool["api"] == "blas" and pool["threads"] >= 1 for pool in shown()["blas"])


def test_text_and_json_say_the_same(run: Run, shown: Callable[[], dict[str, Any]]) -> None:
    text, said = run("doctor").stdout, shown()
    assert all(f"{name} {number or 'not installed'}\n" in text for name, number in said["packages"].items())
    assert all(f"{name}: " in text for name in said["devices"])
    assert all(pool["library"] in text for pool in said["blas"])


def test_devices_are_those_of_the_library(shown: Callable[[], dict[str, Any]]) -> None:
    pytest.importorskip("torch")
    assert shown()["devices"]["torch"][0] == "cpu"


def test_a_library_that_cannot_be_used_is_said_and_not_raised(
    shown: Callable[[], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cupy.py").write_text("raise OSError('libcuda.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    assert shown()["devices"]["cupy"] == "fails: OSError: libcuda.so.1: cannot open shared object file"


def test_devices_of_a_gpu_library(
    shown: Callable[[], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the part of CuPy's interface that is asked, as its documentation has it: names are bytes."""
    (tmp_path / "cupy.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    runtime = types.SimpleNamespace(getDeviceCount=lambda: 2, getDeviceProperties=lambda n: {"name": b"GPU %d" % n})
    cupy = types.ModuleType("cupy")
    cupy.__spec__ = types.SimpleNamespace(name="cupy")  # type: ignore[assignment]
    cupy.cuda = types.SimpleNamespace(runtime=runtime)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert shown()["devices"]["cupy"] == ["cuda:0 GPU 0", "cuda:1 GPU 1"]


def test_nothing_says_whose_machine_it_is(run: Run) -> None:
    text = run("doctor", "--json").stdout
    assert platform.node() not in text
    assert str(Path.home()) not in text or str(Path.home()) == "/"
    assert f"/{getpass.getuser()}/" not in text
    assert os.getcwd() not in text
