"""CuPy's arrays on a device that is not the current one: results and temporaries stay with them."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cupy_double
import numpy as np
import pytest
from backends import CARD, EPS, available

import coremerge_ref as cm
from coremerge_ref.core import arrays
from coremerge_ref.core.stages import STAGES
from coremerge_ref.testing import THRESHOLD, ratio

GAUSSIAN = np.random.default_rng(0).standard_normal
FACTORS = [(GAUSSIAN((9, r)), GAUSSIAN((r, 7))) for r in (2, 3, 2)]
M = GAUSSIAN((9, 7))


@pytest.fixture(params=["no peer access", "peer access"], autouse=True)
def second(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Device 1; a kernel that meets an array of another device raises, or warns, which is an error here."""
    import cupy

    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one device")
    settings = cupy_double.settings.changed(peers=request.param == "peer access")
    with contextlib.nullcontext() if CARD else settings:
        yield cupy.cuda.Device(1)


def updates(device: Any, factors: Any = FACTORS) -> list[cm.LowRankUpdate]:
    backend = available("cupy")
    with device:
        return [cm.LowRankUpdate(backend.array(B), backend.array(A), 1.5) for B, A in factors]


def expected(function: Callable[..., Any]) -> np.ndarray:
    return function([cm.LowRankUpdate(B, A, 1.5) for B, A in FACTORS])


def agrees(array: Any, right: np.ndarray, device: Any) -> None:
    """Within rounding, and where its inputs were."""
    assert array.device == device
    assert ratio(available("cupy").host(array), right, float(np.linalg.norm(right)), EPS["float64"], 100) <= THRESHOLD


@pytest.mark.parametrize("space", ["core", "full", "knots"])
@pytest.mark.parametrize("method", sorted(STAGES))
def test_merges(second: Any, method: str, space: str) -> None:
    def merged(given: Any) -> Any:
        return cm.merge(given, method, space).to_dense()

    agrees(merged(updates(second)), expected(merged), second)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "prepare": lambda given: cm.prepare(given).merge("ties").to_dense(),
    "prepare a model": lambda given: cm.prepare({"q": given, "k": given}).merge("tsv")["k"].to_dense(),
    "merge_adapters": lambda given: cm.merge_adapters({"q": given, "k": given}, "tsv")["q"].to_dense(),
    "compressed": lambda given: cm.merge(given, "ta", cm.Compressed(3)).to_dense(),
    "another dtype out": lambda given: cm.merge(given, "ta", out_dtype="float32").truncate(1).to_dense(),
    "factors": lambda given: given[0].to_dense(),
    "truncated": lambda given: given[0].truncate(1).to_dense(),
    "truncated dense": lambda given: cm.merge(given, "ties", "full").truncate(2).to_dense(),
    "a multiple": lambda given: (2 * given[0]).to_dense(),
    "a sum": lambda given: (given[0] - given[1]).to_dense(),
    "a sum of matrices": lambda given: (2 * cm.merge(given, "ties", "full") + given[0]).to_dense(),
    "another dtype": lambda given: given[0].to(dtype="float32").to(dtype="float64").to_dense(),
    "a layer of a batch": lambda given: cm.merge([cm.LowRankUpdate(u.B[None], u.A[None]) for u in given])[0].to_dense(),
    "project": lambda given: magnitude(cm.project(given, cm.reference_bases(given))),
    "reconstruct": lambda given: there_and_back(given).to_dense(),
    "frames": lambda given: magnitude(cm.reference_bases(given).U),
    "interference": lambda given: cm.diagnostics.interference(given),
    "sign_conflict": lambda given: cm.diagnostics.sign_conflict(given),
    "numerical_rank": lambda given: cm.diagnostics.numerical_rank(given[0]),
    "stable_rank": lambda given: cm.diagnostics.stable_rank(given[0]),
    "truncation": lambda given: cm.diagnostics.truncation(given[0]).error,
    "alignment": lambda given: cm.diagnostics.alignment(given[0], given[1]),
    "overlap": lambda given: cm.diagnostics.overlap(given[0], given[1], k=1),
}


def magnitude(array: Any) -> Any:
    """Bases are known up to signs."""
    with arrays.beside(array):
        return abs(array)


def there_and_back(given: Any) -> Any:
    bases = cm.reference_bases(given)
    return cm.reconstruct(cm.project(given, bases)[1], bases)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions(second: Any, name: str) -> None:
    agrees(FUNCTIONS[name](updates(second)), np.asarray(expected(FUNCTIONS[name])), second)


def test_explain(second: Any) -> None:
    explained = cm.explain(updates(second), "tsv")
    assert explained.verdict == expected(lambda given: cm.explain(given, "tsv")).verdict  # type: ignore[attr-defined]


def test_weights_and_scale_of_the_device(second: Any) -> None:
    with second:
        weights, scale = available("cupy").array([1.0, 2.0, 3.0]), available("cupy").array(0.5)
    for method in ("tsv", "ta", "ties"):
        merged = cm.merge(updates(second), method, weights=weights, scale=scale)

        def right(given: Any, method: str = method) -> Any:
            return cm.merge(given, method, weights=[1, 2, 3], scale=0.5).to_dense()

        agrees(merged.to_dense(), expected(right), second)


def test_threads_have_a_current_device_of_their_own(second: Any) -> None:
    with ThreadPoolExecutor(2) as pool:
        merged = cm.merge_adapters({"q": updates(second), "k": updates(second)}, "tsv", executor=pool)
    agrees(merged["q"].to_dense(), expected(lambda given: cm.merge(given, "tsv").to_dense()), second)


def test_numbers_come_to_the_host_from_any_device(second: Any) -> None:
    with second:
        narrow = available("cupy").array(M, "float16")
    np.testing.assert_array_equal(arrays.to_host(narrow), M.astype(np.float16))


def test_two_devices_in_one_call(second: Any) -> None:
    import cupy

    with pytest.raises(cm.NamespaceError, match="task 1 beside task 0: expected arrays on one device"):
        cm.merge([updates(cupy.cuda.Device(0))[0], updates(second)[0]])
