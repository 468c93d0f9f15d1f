"""Where a merge computes: numbers there and back, the devices that each array library takes, and what is refused."""

import os
import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from backends import available
from said import parts

from coremerge_ref.adapters.backends import BACKENDS, backend_named
from coremerge_ref.errors import ParameterError

ARRAY = np.array([[0.5, -3.0], [2.0**-14, 100.0]])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
@pytest.mark.parametrize("name", BACKENDS)
def test_numbers_arrive_as_they_are(name: str, dtype: str) -> None:
    """Results are fetched in float64 or float32, so that what was sent is widened there first."""
    library = available(name)
    made = backend_named(name, None)
    array = ARRAY.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    array.flags.writeable = False  # as of a file that is mapped into memory
    with made.session():
        sent = made.send(array)
        np.testing.assert_array_equal(library.host(sent), ARRAY)
        if dtype.startswith("float"):
            fetched = made.fetch(sent)
            assert isinstance(fetched, np.ndarray)
            np.testing.assert_array_equal(fetched, array, strict=True)


@pytest.mark.parametrize("device", [None, "cpu"])
def test_numpy_torch_and_jax_compute_on_the_processor(device: str | None) -> None:
    pytest.importorskip("torch")
    jax = pytest.importorskip("jax")
    assert backend_named("numpy", device).send(ARRAY) is ARRAY
    assert backend_named("torch", device).send(ARRAY).device.type == "cpu"
    if device or jax.default_backend() == "cpu":
        assert {place.platform for place in backend_named("jax", device).send(ARRAY).devices()} == {"cpu"}


def test_jax_takes_a_number_of_a_device() -> None:
    jax = pytest.importorskip("jax")
    assert backend_named("jax", "cpu:0").send(ARRAY).devices() == {jax.devices("cpu")[0]}


@pytest.mark.parametrize(("device", "number"), [(None, 0), ("cuda", 0), ("cuda:0", 0), ("cuda:1", 1)])
def test_cupy_computes_on_the_device_that_is_asked_for(device: str | None, number: int) -> None:
    available("cupy")
    import cupy

    if cupy.cuda.runtime.getDeviceCount() <= number:
        pytest.skip("fewer devices")
    made = backend_named("cupy", device)
    assert made.send(ARRAY).device == cupy.cuda.Device(number)
    with made.session():
        assert cupy.asarray(ARRAY).device == cupy.cuda.Device(number)


def test_a_merge_in_jax_is_of_float64_and_full_products() -> None:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(False):
        made = backend_named("jax", "cpu")
        with made.session():
            assert made.send(ARRAY).dtype == np.float64
            assert jax.config.jax_default_matmul_precision == "highest"


@pytest.mark.parametrize(("there", "workers"), [({0}, 1), ({1, 5, 6}, 3), (set(range(9)), 4)])
def test_numpy_merges_on_the_processors_that_it_may_use(
    there: set[int], workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: there if process == 0 else None, raising=False)
    assert backend_named("numpy", None).workers == workers


@pytest.mark.parametrize(("count", "workers"), [(None, 1), (2, 2), (64, 4)])
def test_where_the_system_does_not_say_which_it_may_use_all_count(
    count: int | None, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert backend_named("numpy", None).workers == workers


@pytest.mark.parametrize("name", ["torch", "cupy", "jax"])
def test_libraries_with_threads_or_queues_of_their_own_merge_one_batch_at_a_time(name: str) -> None:
    available(name)
    assert backend_named(name, None).workers == 1


REFUSED = [
    ("tensorflow", None, "backend: … numpy, torch, cupy, jax … 'tensorflow'"),
    ("", None, "backend: … numpy, torch, cupy, jax … ''"),
    ("numpy", "cuda", "device: … 'cpu' … numpy … 'cuda' … --backend torch"),
    ("numpy", "", "device: … 'cpu' … numpy … '' … --backend torch"),
    ("cupy", "cpu", "device: … 'cuda' … 'cuda:N' … cupy … 'cpu'"),
    ("cupy", "cuda:x", "device: … 'cuda' … 'cuda:N' … cupy … 'cuda:x'"),
    ("cupy", "cuda:-1", "device: … 'cuda' … 'cuda:N' … cupy … 'cuda:-1'"),
    ("cupy", "cuda:99", "device: cupy … 'cuda:99': … invalid device … choose another device"),
    ("torch", "moon", "device: torch … 'moon': … choose another device"),
    ("jax", "moon", "device: jax … 'moon': … choose another device"),
    ("jax", "cpu:99", "device: jax … 'cpu:99': … choose another device"),
]


@pytest.mark.parametrize(("name", "device", "message"), REFUSED, ids=str)
def test_what_is_not_there_is_said_in_a_line(name: str, device: str | None, message: str) -> None:
    if name in ("torch", "jax", "cupy"):
        available(name)
    with pytest.raises(ParameterError, match=parts(message)) as caught:
        backend_named(name, device)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count("device: ") <= 1  # nothing is wrapped twice


@pytest.mark.parametrize(("name", "package"), [("torch", "torch"), ("cupy", "cupy-cuda12x"), ("jax", "jax")])
def test_a_library_that_is_not_installed_is_named_with_its_package(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ParameterError, match=f"backend: {name} .*pip install {package}$"):
        backend_named(name, None)


def test_a_device_is_tried_before_a_merge_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library may name a device that it cannot use."""
    torch = pytest.importorskip("torch")

    def broken(*_: Any) -> Any:
        raise RuntimeError("out of order\nand more")

    monkeypatch.setattr(torch.Tensor, "to", broken)
    with pytest.raises(ParameterError, match=parts("device: torch … 'cpu' … out of order; choose")) as caught:
        backend_named("torch", "cpu")
    assert "more" not in str(caught.value)
