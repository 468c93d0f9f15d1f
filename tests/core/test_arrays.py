"""Array libraries, dtypes, devices and seeded masks."""

import math
import subprocess
import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from backends import EPS, EVERY, Backend, available
from said import parts

import coremerge_ref as cm
from coremerge_ref.core import arrays

B, A = np.arange(6.0).reshape(3, 2), np.arange(8.0).reshape(2, 4)
LIBRARIES = ("numpy", "strict", "torch", "jax")


@pytest.mark.parametrize("first", LIBRARIES)
@pytest.mark.parametrize("second", LIBRARIES)
def test_two_libraries_in_one_call(first: str, second: str) -> None:
    if first == second:
        return
    one, other = available(first), available(second)
    with pytest.raises(cm.NamespaceError, match=r"expected arrays of one library, got .*; convert them"):
        cm.LowRankUpdate(one.array(B), other.array(A))
    updates = one.updates([(B, A, 1.0)]) + other.updates([(B, A, 1.0)])
    with pytest.raises(cm.NamespaceError, match="task 1 beside task 0: expected arrays of one library"):
        cm.merge(updates)
    with pytest.raises(cm.NamespaceError, match=parts("layer 'q', task 2 beside task 1: expected … library")):
        cm.merge_adapters({"q": [None, *updates]})


def test_a_library_without_decompositions_of_batches() -> None:
    """dask's arrays had sums, and a ValueError of dask's for all that decomposes."""
    dask = pytest.importorskip("dask.array")
    with pytest.raises(cm.NamespaceError, match=r"decomposes matrices, .* got dask\.array; compute them first"):
        cm.merge([(dask.from_array(B), dask.from_array(A))], "ta")


def test_two_devices_in_one_call() -> None:
    one, other = available("strict"), available("strict-device1")
    with pytest.raises(cm.NamespaceError, match=r"expected arrays on one device, got .*device1.*; move them"):
        cm.LowRankUpdate(one.array(B), other.array(A))
    with pytest.raises(cm.NamespaceError, match="task 1 beside task 0: expected arrays on one device"):
        cm.merge(one.updates([(B, A, 1.0)]) + other.updates([(B, A, 1.0)]))


def test_two_torch_devices_in_one_call() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(cm.NamespaceError, match="expected arrays on one device, got cpu, meta"):
        cm.LowRankUpdate(torch.ones(3, 2), torch.ones(2, 3, device="meta"))


@pytest.mark.parametrize("dtype", EVERY)
def test_dtype_names_are_the_same_everywhere(backend: Backend, dtype: str) -> None:
    if dtype not in backend.dtypes:
        pytest.skip(f"{backend} has no {dtype}")
    array = backend.array(B, dtype)
    assert arrays.dtype_name(array.dtype) == dtype
    assert arrays.eps(array.dtype) == EPS[dtype]


def test_eps_of_narrow_dtypes_agrees_with_their_definition() -> None:
    for name in EVERY:
        assert arrays.eps(name) == float(ml_dtypes.finfo(name if name != "bfloat16" else ml_dtypes.bfloat16).eps)


@pytest.mark.parametrize("wide", EVERY)
@pytest.mark.parametrize("narrow", EVERY)
def test_promotion_holds_both(backend: Backend, narrow: str, wide: str) -> None:
    if not {narrow, wide} <= set(backend.dtypes):
        pytest.skip(f"{backend} lacks one of {narrow}, {wide}")
    xp = arrays.namespace_of(backend.array(B))
    found = arrays.dtype_name(arrays.promoted(xp, (backend.array(B, narrow), backend.array(B, wide))))
    table = {frozenset(EVERY[:2]): "float32"}
    expected = table.get(frozenset((narrow, wide)), max(narrow, wide, key=EVERY.index))
    assert found == expected


@pytest.mark.parametrize("compute", ["float16", "bfloat16", "int64", "double"])
def test_arithmetic_runs_in_two_dtypes(compute: str) -> None:
    with pytest.raises(cm.ParameterError, match=parts(f"compute_dtype: expected … float32, float64 … got '{compute}'")):
        cm.merge([(B, A)], "ta", compute_dtype=compute)


def test_compute_dtype_may_be_a_dtype_of_the_library(backend: Backend) -> None:
    array = backend.array(B, "float32")
    merged = cm.merge([(array, backend.array(A, "float32"))], "ta", compute_dtype=array.dtype)
    assert backend.dense(merged).shape == (3, 4)


def test_float64_that_does_not_exist_is_said() -> None:
    xp = pytest.importorskip("array_api_strict")
    nowhere = xp.Device("no_float64")
    update = (xp.ones((3, 2), dtype=xp.float32, device=nowhere), xp.ones((2, 3), dtype=xp.float32, device=nowhere))
    with pytest.raises(cm.DTypeError, match=parts("compute_dtype float64 … no_float64 … 'float32'")):
        cm.merge([update], "ta")
    merged = cm.merge([update, update], "ta", compute_dtype="float32")
    assert merged.to_dense().device == nowhere
    assert float(merged.to_dense()[0, 0]) == pytest.approx(4.0, rel=1e-6)


def test_jax_without_x64_is_said() -> None:
    """In a process of its own, since the switch holds for all of it."""
    pytest.importorskip("jax")
    code = """
import jax, jax.numpy as jnp, coremerge_ref as cm
u = (jnp.ones((3, 2)), jnp.ones((2, 3)))
try:
    cm.merge([u], "ta")
except cm.DTypeError as error:
    assert "jax_enable_x64" in str(error) and "compute_dtype='float32'" in str(error), error
else:
    raise SystemExit("no error")
for method in ("ties", "cart+iso"):
    print(cm.merge([u, u], method, compute_dtype="float32").to_dense().dtype)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, check=False, env={"JAX_ENABLE_X64": "0", "JAX_PLATFORMS": "cpu", "PATH": ""},
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()) == (0, ["float32"] * 2), done.stderr


def test_jax_on_an_accelerator_multiplies_with_all_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its default there is TF32, which has 10 bits."""
    jax = pytest.importorskip("jax")

    def products(method: str) -> tuple[int, int]:
        """How many there are, and how many of them of the highest precision."""
        traced = jax.make_jaxpr(lambda B, A: cm.merge([(B, A)], method, compute_dtype="float32").to_dense())
        text = str(traced(np.ones((3, 2), np.float32), np.ones((2, 4), np.float32)))
        return text.count("= dot_general["), text.count("precision=(Precision.HIGHEST, Precision.HIGHEST)")

    assert products("cart+iso")[1] == 0
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for method in ("ta", "cart+iso"):
        count, highest = products(method)
        assert count == highest > 0


def test_tracers_are_known_by_the_name_of_their_class() -> None:
    class Tracer:
        dtype = np.dtype("float32")

    class Traced(Tracer):
        pass

    assert arrays.is_concrete(B)
    assert not arrays.is_concrete(Traced())
    arrays.check_finite(Traced(), "there is nothing to see")


def test_float64_that_turns_into_float32_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does in JAX without x64."""
    monkeypatch.setattr("coremerge_ref.core.arrays.dtypes.from_host", lambda *_: np.float32(0))
    said = "compute_dtype float64 … JAX without jax_enable_x64 … compute_dtype='float32'"
    with pytest.raises(cm.DTypeError, match=parts(said)):
        arrays.working_dtype(np, "float64", B)


def test_widened_by_zero_columns(backend: Backend) -> None:
    given = backend.array(np.ones((2, 3, 2)))
    for columns in (2, 4):
        expected = np.concatenate([np.ones((2, 3, 2)), np.zeros((2, 3, columns - 2))], axis=-1)
        np.testing.assert_array_equal(backend.host(arrays.widen(given, columns)), expected)


def test_nothing_but_numpy_is_imported() -> None:
    code = (
        "import sys, coremerge_ref as cm, numpy as np; cm.merge([(np.ones((3,2)), np.ones((2,3)))], 'tsv').to_dense();"
    )
    code += "print([m for m in ('torch', 'jax', 'cupy', 'hypothesis', 'mpmath', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# masks


def test_mask_depends_on_seed_layer_and_task_alone() -> None:
    first = arrays.uniform_numbers(0, "q", 1, (8, 9)) >= 0.5
    np.testing.assert_array_equal(first, (arrays.uniform_numbers(0, "q", 1, (8, 9)) >= 0.5))
    for other in ((1, "q", 1), (0, "k", 1), (0, "q", 2)):
        assert np.any(first != (arrays.uniform_numbers(*other, (8, 9)) >= 0.5))


def test_mask_is_this_one_for_ever() -> None:
    """Golden value: what was merged with a seed can be merged again, on any machine and version."""
    import hashlib

    key = int.from_bytes(hashlib.blake2b(b"7|model.q|3", digest_size=16).digest(), "little")
    expected = np.random.Generator(np.random.Philox(key=key)).random(6).reshape(2, 3) >= 0.25
    np.testing.assert_array_equal((arrays.uniform_numbers(7, "model.q", 3, (2, 3)) >= 0.25), expected)


@pytest.mark.parametrize("drop", [0.0, 0.1, 0.5, 0.9])
def test_mask_keeps_the_share_it_should(drop: float) -> None:
    kept = (arrays.uniform_numbers(3, "", 0, (200, 200)) >= drop).mean()
    assert abs(kept - (1 - drop)) <= 5 * np.sqrt(drop * (1 - drop) / 40000)


def test_kth_smallest(backend: Backend) -> None:
    values = np.array([[5.0, 1.0, 4.0, 1.0], [0.0, -2.0, 7.0, 3.0]])
    for k in range(4):
        found = backend.host(arrays.kth_smallest(backend.array(values), backend.array(float(k))))
        np.testing.assert_array_equal(found, np.sort(values, axis=-1)[:, k : k + 1])


@pytest.mark.parametrize("name", ["torch", "torch-cuda"])
def test_kth_smallest_under_deterministic_torch(name: str) -> None:
    """Where kthvalue on CUDA raises."""
    backend, torch = available(name), pytest.importorskip("torch")
    torch.use_deterministic_algorithms(True)
    try:
        test_kth_smallest(backend)
        merged = cm.merge(backend.updates([(B, A, 1.0), (2 * B, A, 1.0)]), "ties")
    finally:
        torch.use_deterministic_algorithms(False)
    assert np.all(np.isfinite(backend.dense(merged)))


def test_kth_smallest_of_each_layer(backend: Backend) -> None:
    values = backend.array([[5.0, 1.0, 4.0, 1.0], [0.0, -2.0, 7.0, 3.0]])
    found = backend.host(arrays.kth_smallest(values, backend.array([2.0, 0.0])))
    np.testing.assert_array_equal(found, [[4.0], [-2.0]])


@pytest.mark.parametrize(("rounding", "function"), [("floor", math.floor), ("ceil", math.ceil), ("round", round)])
def test_sizes_are_rounded_as_python_does(backend: Backend, rounding: str, function: Any) -> None:
    values = [0.0, 0.4, 0.5, 1.5, 2.5, 2.6, 3.0]
    np.testing.assert_array_equal(
        backend.host(arrays.rounded(backend.array(values), rounding)), [function(v) for v in values]
    )


def test_one_size_is_a_number_where_all_layers_agree(backend: Backend) -> None:
    assert arrays.one_size(backend.array(3.0)) == 3
    assert arrays.one_size(backend.array([2.0, 2.0])) == 2
    assert arrays.one_size(backend.array([2.0, 3.0])) is None


@pytest.mark.parametrize("value", [1, 2.5, np.float32(1), np.int64(3), np.array(2.0)])
def test_numbers_are_numbers_of_any_type(value: Any) -> None:
    assert arrays.is_number(value)


@pytest.mark.parametrize("value", [True, np.bool_(True), "2", 1j, None, [1.0], np.array([1.0]), np.array(1j)])
def test_other_things_are_none(value: Any) -> None:
    assert not arrays.is_number(value)


def test_casts_keep_what_needs_no_cast(backend: Backend) -> None:
    array = backend.array(B)
    assert arrays.cast(array, "float64") is array


@pytest.mark.parametrize("dtype", EVERY)
def test_to_host_gives_the_numbers_themselves(backend: Backend, dtype: str) -> None:
    if dtype not in backend.dtypes:
        pytest.skip(f"{backend} has no {dtype}")
    values = np.array([[1.0, -(2.0**-7), 1.625], [0.0, 96.0, -3.5]])  # bfloat16 holds them all
    host = arrays.to_host(backend.array(values, dtype))
    assert type(host) is np.ndarray
    assert host.dtype == ("float64" if dtype == "float64" else "float32")
    np.testing.assert_array_equal(host, values)


def test_to_host_takes_what_has_a_gradient() -> None:
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(arrays.to_host(torch.ones(2, 3, requires_grad=True)), np.ones((2, 3)))


@pytest.mark.parametrize("name", ["float8", "int8"])
def test_out_dtype_that_does_not_exist(name: str) -> None:
    with pytest.raises(cm.DTypeError, match=f"expected one of float16, .*got '{name}'"):
        cm.merge([(B, A)], "ta", out_dtype=name)
