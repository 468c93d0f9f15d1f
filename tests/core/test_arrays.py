"""Array libraries, dtypes, devices and seeded masks."""

import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from backends import EPS, EVERY, Backend, available
from said import parts

import coremerge_ref as cm
from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import devices
from coremerge_ref.testing import THRESHOLD

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
    with pytest.raises(cm.DTypeError) as caught:
        arrays.working_dtype(np, "float64", B)
    assert str(caught.value) == (
        "compute_dtype float64 does not exist on JAX without jax_enable_x64; pass compute_dtype='float32', or switch "
        "float64 on"
    )


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


# a library that traces and runs on accelerators, by a double of what is asked of it


class Tracer:
    """Known by its name, as those that differentiate are."""

    dtype = np.dtype("float64")


class JVPTracer(Tracer):
    pass


class LinearizeTracer(Tracer):
    pass


class Accelerated:
    """The library itself: what it is told and asked."""

    backend = "gpu"
    numpy: Any = None

    def __init__(self) -> None:
        self.lax = SimpleNamespace(stop_gradient=lambda array: ("stopped", array))

    def default_backend(self) -> str:
        return self.backend

    def default_matmul_precision(self, precision: str) -> Any:
        return nullcontext(precision)

    class custom_jvp:
        def __init__(self, function: Any) -> None:
            self.function = function

        def defjvp(self, rule: Any) -> None:
            self.rule = rule

        def __call__(self, array: Any) -> Any:
            return (self.function(array), self.rule)


@pytest.fixture
def accelerated(monkeypatch: pytest.MonkeyPatch) -> Accelerated:
    """Its double, of which Tracer's are the arrays."""
    double = Accelerated()
    monkeypatch.setitem(sys.modules, "jax", double)
    monkeypatch.setattr(devices, "is_jax_array", lambda array: isinstance(array, Tracer))
    return double


def test_where_products_have_few_digits_all_are_asked_for(accelerated: Accelerated) -> None:
    """And a batch is decomposed one by one, there as on other GPUs."""
    for backend, precision in (("gpu", "highest"), ("cpu", None)):
        accelerated.backend = backend
        for value in (Tracer(), [None, "", {"q": [Tracer(), B]}], (SimpleNamespace(B=Tracer()),)):
            with arrays.beside(value) as found:
                assert found == precision
        assert arrays.loops_over_batches(Tracer()) == (backend == "gpu")
        with arrays.beside([B, Tracer()]) as found:  # the first one counts
            assert found is None
    assert not arrays.loops_over_batches(B)


def test_constants_and_what_is_differentiated(accelerated: Accelerated) -> None:
    """Any tracer may be differentiated, and is by those of two names; NumPy's arrays never are."""
    torch = pytest.importorskip("torch")
    asked, plain = torch.ones(2, requires_grad=True), torch.ones(2)
    for array, may, does in (
        (B, False, False),
        (plain, False, False),
        (asked, True, True),
        (Tracer(), True, False),
        (JVPTracer(), True, True),
        (LinearizeTracer(), True, True),
    ):
        assert (arrays.may_differentiate(array), arrays.differentiates(array)) == (may, does)
        assert (type(arrays.may_differentiate(array)), type(arrays.differentiates(array))) == (bool, bool)
    traced = Tracer()
    assert arrays.detached(traced) == ("stopped", traced)  # type: ignore[comparison-overlap]
    assert (arrays.detached(B) is B, arrays.detached(plain) is plain) == (True, True)
    assert not arrays.detached(asked).requires_grad  # type: ignore[attr-defined]
    assert (arrays.without_derivative(B, "none") is B, arrays.without_derivative(asked, "none") is asked) == (
        True,
        True,
    )
    same, rule = arrays.without_derivative(traced, "none here")  # type: ignore[misc]
    assert same is traced
    with pytest.raises(cm.ParameterError, match=r"^none here$"):
        rule((traced,), (traced,))


def test_arrays_are_looked_for_where_a_library_needs_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first array of a nest, in order; of a mapping, which may be read when asked for, no more."""
    first = devices._first_array

    class Read(dict):
        def values(self) -> Any:
            yield B
            raise AssertionError("read on")

    update = cm.LowRankUpdate(A.T, A)
    for value, expected in (
        (B, B),
        ([None, "q", 3, B, A], B),
        ((([], ({},)), [A]), A),
        (Read(), B),
        ([None, update], update.B),
        (cm.DenseUpdate(A), A),
        (SimpleNamespace(factors=[(None, A), (B, B)]), A),
        (SimpleNamespace(B=None, prepared=[SimpleNamespace(left=SimpleNamespace(Q=B))]), B),
        ("q", None),
        ([None, [], {}], None),
    ):
        assert first(value) is expected
    looked: list[Any] = []
    monkeypatch.setattr(devices, "_first_array", looked.append)
    for present, times in (((), 0), (("cupy",), 1), (("jax",), 1)):
        looked.clear()
        for name in ("cupy", "jax"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        for name in present:
            monkeypatch.setitem(sys.modules, name, SimpleNamespace())  # type: ignore[arg-type]
        with arrays.beside(B):
            assert len(looked) == times


def test_functions_run_beside_their_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    @contextmanager
    def beside(value: Any) -> Iterator[None]:
        seen.append(value)
        yield
        seen.append("left")

    monkeypatch.setattr(devices, "beside", beside)

    @arrays.stays_beside
    def inner(first: int, second: int = 2, third: int = 3) -> int:
        seen.append("inside")
        return first - second * third

    assert (inner(1, 4, third=5), inner.__name__) == (-19, "inner")
    assert seen == [[1, 4, 5], "inside", "left"]


def test_arrays_are_beside_their_own_device() -> None:
    """Results and temporaries stay there; what is on no such device needs no context."""
    array = available("cupy").array(B)
    assert arrays.beside([None, (array, B)]) == array.device
    with arrays.beside(B) as found:
        assert found is None


def test_a_gpu_decomposes_one_matrix_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy's arrays and torch's on CUDA."""
    assert arrays.loops_over_batches(available("cupy").array(B))
    for torch_array, is_cuda, expected in ((True, True, True), (True, False, False), (False, True, False)):
        monkeypatch.setattr(devices, "is_torch_array", lambda _, known=torch_array: known)
        assert arrays.loops_over_batches(SimpleNamespace(is_cuda=is_cuda)) == expected


def test_the_way_to_the_host_begins_beside_the_array(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of CuPy's arrays, which NumPy cannot read where they are."""
    for dtype in ("float32", "float64"):
        array, seen = available("cupy").array(B, dtype), []
        monkeypatch.setattr(devices, "beside", lambda value, seen=seen: seen.append(value) or nullcontext())
        found = arrays.to_host(array)
        assert (type(found), found.dtype, len(seen), seen[0] is array) == (np.ndarray, dtype, 1, True)
        np.testing.assert_array_equal(found, B)


class Foreign:
    """An array of some library that follows the standard."""

    device = "here"

    def __init__(self, library: Any) -> None:
        self.library = library

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return self.library


def test_libraries_are_told_by_what_they_are_called() -> None:
    """One that decomposes nothing is refused, under its own name or compat's; any other is taken."""
    other = SimpleNamespace(__name__="other")
    assert arrays.namespace_of(Foreign(other), Foreign(other)) is other
    for name in ("dask.array", "array_api_compat.dask.array", "sparse", "ndonnx"):
        library = SimpleNamespace(__name__=name)
        with pytest.raises(cm.NamespaceError) as caught:
            arrays.namespace_of(Foreign(library), Foreign(library))
        assert str(caught.value) == (
            "expected arrays of a library that decomposes matrices, such as NumPy, CuPy, torch and JAX, got "
            f"{name.removeprefix('array_api_compat.')}; compute them first, as X.compute() or X.todense() does"
        )


def test_arrays_whose_operators_mean_something_else_are_refused() -> None:
    """Under the names of their library and class, in order; why is said by what led to it."""
    said = "expected arrays of one library, got {}; convert them to one library first"
    masked, matrix = np.ma.MaskedArray(B), B.view(np.matrix)
    for given, kinds in (
        ((masked,), "numpy.MaskedArray"),
        ((B, masked), "numpy.MaskedArray, numpy.ndarray"),
        ((matrix, B), "numpy.matrix, numpy.ndarray"),
        ((matrix, matrix), "numpy.matrix"),
    ):
        with pytest.raises(cm.NamespaceError) as caught:
            arrays.namespace_of(*given)
        assert str(caught.value) == said.format(kinds)
        assert str(caught.value.__cause__) == "no plain array"


def test_nothing_can_be_looked_at_while_a_library_traces(accelerated: Accelerated, monkeypatch: Any) -> None:
    """Not even an array of it that is none of those traced: one that is made there and then tells."""
    monkeypatch.setattr("coremerge_ref.core.arrays.namespaces.is_jax_array", lambda X: isinstance(X, Made | Tracer))

    class Made:
        dtype = np.dtype("float64")

    for traces in (False, True):
        asked: list[Any] = []
        made = Tracer() if traces else Made()
        accelerated.numpy = SimpleNamespace(zeros=lambda shape, asked=asked, made=made: asked.append(shape) or made)
        assert (arrays.is_concrete(Made()), asked) == (not traces, [()])
        asked.clear()
        assert (arrays.is_concrete(B), arrays.is_concrete(Tracer()), asked) == (True, False, [])


def test_numbers_beyond_float64_are_infinite() -> None:
    for number, expected in (
        (10**400, math.inf),
        (-(10**400), -math.inf),
        (Fraction(10**400, 3), math.inf),
        (Fraction(-(10**400)), -math.inf),
        (Fraction(1, 10**400), 0.0),
        (3, 3.0),
        (np.float32(0.5), 0.5),
    ):
        assert (arrays.as_float(number), type(arrays.as_float(number))) == (expected, float)
        for dtype in ("float32", "float64"):
            assert float(arrays.scalar(number, B.astype(dtype))) == expected


def test_a_library_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the type of its arrays; several at once where they are of one type."""
    xp = pytest.importorskip("array_api_strict")
    found = [arrays.array_namespace(X) for X in (B, xp.asarray(B))]
    monkeypatch.setattr("array_api_compat.array_namespace", lambda *_: "asked")
    assert [arrays.array_namespace(X, X) for X in (A, xp.asarray(A))] == found
    assert arrays.array_namespace(A, xp.asarray(A)) == "asked"


# numbers and dtypes


def test_ranges_of_dtypes_are_those_of_their_definition() -> None:
    for name in EVERY:
        info = ml_dtypes.finfo(name if name != "bfloat16" else ml_dtypes.bfloat16)
        assert arrays.smallest_normal(name) == float(info.smallest_normal)
        assert arrays.dtype_name(ml_dtypes.bfloat16 if name == "bfloat16" else np.dtype(name).type) == name


class Reduced:
    """A dtype of another library, known by one of two names."""

    def __init__(self, text: str, name: str | None = None) -> None:
        self.text = text
        if name is not None:
            self.__name__ = name

    def __str__(self) -> str:
        return self.text


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("lib.float16", None, "float16"),
        ("<class 'x'>", "bfloat16", "bfloat16"),
        ("int64", "float32", "float32"),
        ("lib.int64", None, "lib.int64"),
        ("float16x", "x.y", "float16x"),
    ],
)
def test_dtypes_are_called_by_the_last_word_of_either_name(text: str, name: str | None, expected: str) -> None:
    assert arrays.dtype_name(Reduced(text, name)) == expected


def test_dtypes_refused_are_named_with_those_there_are() -> None:
    with pytest.raises(cm.DTypeError) as caught:
        arrays.check_real_floating(np.ones(2, int), "the input")
    said = "expected one of float16, bfloat16, float32, float64, got"
    assert str(caught.value) == f"the input: {said} int64; cast it first"
    for xp, there in ((np, "float16, float32, float64"), (SimpleNamespace(float32=1, bfloat16=2), "bfloat16, float32")):
        for name in ("float8", "int8", ""):
            with pytest.raises(cm.DTypeError) as caught:
                arrays.named_dtype(xp, name)
            assert str(caught.value) == f"expected one of {there}, got {name!r}"
    assert arrays.named_dtype(np, "bfloat16") == ml_dtypes.bfloat16
    assert arrays.named_dtype(np, np.float16) is np.float16


def test_numpys_bfloat16_is_none_where_it_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As CuPy before 14 does, in one of two words; another error is another matter."""
    if "bfloat16" in (backend := available("cupy")).dtypes:
        xp = arrays.array_namespace(backend.array(B))
        assert arrays.named_dtype(xp, "bfloat16") == ml_dtypes.bfloat16
    for error in (TypeError, ValueError, MemoryError):

        def refuses(*_: Any, error: type[Exception] = error, **__: Any) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(np, "empty", refuses)
            with pytest.raises(error if error is MemoryError else cm.DTypeError) as caught:
                arrays.named_dtype(np, "bfloat16")
        if error is not MemoryError:
            assert str(caught.value) == "expected one of float16, float32, float64, got 'bfloat16'"


def test_values_are_looked_at_all_at_once(backend: Backend) -> None:
    """In the order asked, whatever others say."""
    yes, no = backend.array(1.0) > 0, backend.array(1.0) < 0
    assert arrays.look(yes, no, no, yes) == [True, False, False, True]
    assert (arrays.look(no), arrays.look(yes)) == ([False], [True])
    assert arrays.look(yes, Tracer()) == [True, True]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ranges_are_looked_at_matrix_by_matrix(backend: Backend, dtype: str) -> None:
    """From the smallest normal number over eps on, or zero; each layer by its largest entry."""
    least = arrays.smallest_normal(dtype) / arrays.eps(dtype)
    for bad in (least / 2, np.inf, np.nan, -np.inf, -least / 2):
        for good in (least, 1.0, -least, 0.0):
            assert bool(arrays.in_range(backend.array([[[good, 0.0]], [[-good, good]]], dtype)))
            for layers in ([bad, good], [good, bad]):
                array = backend.array([[[layer, 0.0]] for layer in layers], dtype)
                assert not bool(arrays.in_range(array))
                said = f"^it: expected numbers within the range of {dtype}, got some .* digits; scale the inputs$"
                with pytest.raises(cm.NonFiniteError, match=said):
                    arrays.check_range(array, "it")
    arrays.check_range(backend.array(np.zeros((2, 0, 3))), "nothing")


def test_signs_and_clipped_values(backend: Backend) -> None:
    values = backend.array([-2.0, -0.0, 0.0, 0.5, 3.0])
    np.testing.assert_array_equal(backend.host(arrays.sign(values)), [-1, 0, 0, 1, 1])
    np.testing.assert_array_equal(backend.host(arrays.clipped(values, -1.0, 1.0)), [-1, 0, 0, 0.5, 1])
    np.testing.assert_array_equal(backend.host(arrays.clipped(values, 0.25)), [0.25, 0.25, 0.25, 0.5, 3])
    np.testing.assert_array_equal(backend.host(arrays.positions(3, values)), [0, 1, 2])
    assert [arrays.count(backend.array(np.ones(shape))) for shape in ((), (2, 3), (2, 0))] == [1, 6, 0]
    eye = arrays.identity(backend.array(np.ones((2, 5, 1)), "float32"), 3)
    assert "float32" in str(eye.dtype)
    np.testing.assert_array_equal(backend.host(eye), [np.eye(3)] * 2)


def test_layers_of_a_batch_are_found_taken_and_put_back(backend: Backend) -> None:
    batch = backend.array(np.arange(8.0).reshape(4, 2))
    flags = [backend.array(values) > 0 for values in ([1, 0, 1, 0], [1, 1, 1, 1], [0, 1, 1, 1])]
    assert arrays.unproven(*flags) == [[1, 3], [], [0]]
    assert arrays.unproven(backend.array([0.0]) > 0, backend.array([1.0]) > 0) == [[0], []]
    assert arrays.unproven(*(backend.array(two) > 0 for two in ([1, 0], [0, 0], [0, 1]))) == [[1], [0, 1], [0]]
    np.testing.assert_array_equal(backend.host(arrays.some(batch, [3, 1])), [[6, 7], [2, 3]])
    found = arrays.patched(batch, [3, 0], backend.array([[-1.0, -2.0], [-3.0, -4.0]]))
    np.testing.assert_array_equal(backend.host(found), [[-3, -4], [2, 3], [4, 5], [-1, -2]])


def test_what_a_library_does_in_its_own_way_is_the_same() -> None:
    """torch: its k-th smallest, its factors and inverses, which raise nothing."""
    torch, xp = pytest.importorskip("torch"), available("torch")
    values = np.array([[5.0, 1.0, 4.0, 1.0], [0.0, -2.0, 7.0, 3.0]])
    for k in range(4):
        found = arrays.kth_smallest(xp.array(values), xp.array(float(k)))
        np.testing.assert_array_equal(xp.host(found), np.sort(values, axis=-1)[:, k : k + 1])
    L = np.array([[[2.0, 0.0], [1.0, 3.0]], [[1.0, 0.0], [-4.0, 2.0]]])
    gram = L @ np.swapaxes(L, -1, -2)
    for library in (xp, available("numpy"), available("strict")):
        np.testing.assert_allclose(
            library.host(arrays.cholesky(library.array(gram))), L, atol=THRESHOLD * EPS["float64"]
        )
        eye = library.host(arrays.inverse(library.array(L))) @ L
        np.testing.assert_allclose(eye, [np.eye(2)] * 2, atol=THRESHOLD * EPS["float64"])
    for bad in (np.zeros((2, 2)), -np.eye(2)):
        assert arrays.cholesky(xp.array(bad)).shape == arrays.inverse(xp.array(0 * bad)).shape == (2, 2)
    half = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
    assert (arrays.to_host(half).tolist(), arrays.to_host(half).dtype) == ([1.0, 1.0], np.float32)


def test_sizes_are_of_the_widest_dtype(backend: Backend) -> None:
    """2^24 + 1, which float32 does not hold, beside an array of float32; scalars are of that dtype, or another."""
    like, size = backend.array(B, "float32"), 2**24 + 1
    for value in (size, float(size), np.float64(size), np.array(size), backend.array(size)):
        assert arrays.dtype_name(arrays.sizes(value, like).dtype) == "float64"
        assert int(arrays.sizes(value, like)) == size
        assert arrays.dtype_name(arrays.scalar(value, like).dtype) == "float32"
        assert int(arrays.scalar(value, like)) == size - 1  # half to even
        assert int(arrays.scalar(value, like, backend.array(1.0).dtype)) == size
    assert arrays.dtype_name(arrays.positions(2, like).dtype) == "float64"
    np.testing.assert_array_equal(backend.host(arrays.sizes(np.array([1, size]), like)), [1, size])


def test_single_sizes(backend: Backend) -> None:
    """0 is one; layers that differ have none, nor what is traced."""
    found = [arrays.one_size(backend.array(values)) for values in (0.0, [0.0, 0.0], [0.0, 1.0], [5.0])]
    assert found == [0, 0, None, 5]
    assert arrays.one_size(Tracer()) is None


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


def test_kth_smallest_of_a_batch_of_several_dimensions(backend: Backend) -> None:
    """One k for all, and one for each."""
    values = np.array([[[3.0, 1.0, 2.0, 0.0]] * 3, [[-1.0, 5.0, -1.0, 7.0]] * 3])
    given = backend.array(values)
    for k in range(4):
        found = backend.host(arrays.kth_smallest(given, backend.array(np.full((2, 3), float(k)))))
        np.testing.assert_array_equal(found, [[[k]] * 3, [[(-1, -1, 5, 7)[k]]] * 3])
    each = backend.array([[0.0, 1.0, 2.0], [3.0, 2.0, 1.0]])
    np.testing.assert_array_equal(
        backend.host(arrays.kth_smallest(given, each)), [[[0.0], [1.0], [2.0]], [[7.0], [5.0], [-1.0]]]
    )


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


@pytest.mark.parametrize("dtype", ["bool", "complex64", "complex128", "int8", "uint16", "float32", "float64"])
def test_arrays_of_no_dimension_are_numbers_where_they_are_real(dtype: str) -> None:
    xp = pytest.importorskip("array_api_strict")
    real = dtype not in ("bool", "complex64", "complex128")
    for one, several in ((xp.ones((), dtype=getattr(xp, dtype)), xp.ones((1,), dtype=getattr(xp, dtype))),
                         (np.ones((), dtype), np.ones(1, dtype))):  # fmt: skip
        assert (arrays.is_number(one), arrays.is_number(several)) == (real, False)
    assert arrays.is_number(SimpleNamespace(shape=(), dtype="its.float")) is True
    assert arrays.is_number(SimpleNamespace(shape=(), dtype="object")) is False


def test_sums_that_overflow_say_nothing_of_their_terms(backend: Backend) -> None:
    large, nothing = backend.array([1e308, 1e308, -1.0]), backend.array(np.zeros((2, 0)))
    bad = [backend.array([1e308, 1e308, value]) for value in (np.nan, np.inf, -np.inf)]
    bad.append(backend.array([np.inf, -np.inf, 1.0]))
    assert arrays.is_finite(large)
    assert arrays.are_finite([nothing, large, backend.array(1.0), large])
    assert (arrays.are_finite([]), arrays.are_finite([nothing])) == (True, True)
    for one in bad:
        assert not arrays.is_finite(one)
        assert not arrays.are_finite([large, one])
        assert not arrays.are_finite([backend.array(1.0), nothing, one])


def test_what_is_traced_has_nothing_to_see() -> None:
    class Shaped(Tracer):
        shape = (2, 3)

    assert (arrays.is_finite(Shaped()), arrays.are_finite([Shaped()]), arrays.are_finite([B, Shaped()])) == (True,) * 3
    assert not arrays.are_finite([Shaped(), np.array([np.nan])])


def test_overflow_and_what_follows_from_it_is_no_warning() -> None:
    """All else is what it was."""
    large, zero = np.array(1e308), np.array(0.0)
    with np.errstate(all="raise"):
        with arrays.overflow_checked():
            infinite = large * large
            assert (infinite, np.isnan(infinite - infinite)) == (np.inf, True)
            with pytest.raises(FloatingPointError, match="divide by zero"):
                large / zero
            with pytest.raises(FloatingPointError, match="underflow"):
                (1 / large) * (1 / large)
        with pytest.raises(FloatingPointError, match="overflow"):
            large * large


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
