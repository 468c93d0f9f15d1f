"""How often the host waits for the device: a few times a batch, however many layers and tasks there are."""

from collections import Counter
from pathlib import Path
from typing import Any

import cupy_double
import numpy as np
import pytest
from backends import CARD, EPS, available

import coremerge_ref as cm
from coremerge_ref.testing import THRESHOLD, ratio

pytestmark = pytest.mark.skipif(CARD, reason="the double counts, a card does not")
T, R = 6, 16


def model(blocks: int, shapes: dict[str, tuple[int, int]]) -> dict[str, list[cm.LowRankUpdate]]:
    """Layers like the attention projections of Llama 3 8B, in float32, on the device."""
    rng, cupy = np.random.default_rng(0), available("cupy")

    def update(m: int, n: int) -> cm.LowRankUpdate:
        B, A = rng.standard_normal((m, R)), rng.standard_normal((R, n))
        return cm.LowRankUpdate(cupy.array(B, "float32"), cupy.array(A, "float32"), 2.0)

    return {f"{i}.{name}": [update(*shape) for _ in range(T)] for i in range(blocks) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def llama() -> Any:
    """128 layers in two shapes."""
    return model(32, {"q": (240, 240), "k": (200, 240), "v": (200, 240), "o": (240, 240)})


# docs/speed.md has these
WAITS = {"ta": 6, "mean": 6, "iso": 12, "cart": 14, "ties": 16, "dare+ties": 16, "tsv": 18, "tsv+iso": 20}


@pytest.mark.parametrize("method", ["ta", "mean", "tsv", "iso", "tsv+iso"])
def test_a_merge_of_128_layers_waits_at_most_20_times(llama: Any, method: str) -> None:
    with cupy_double.counting() as ledger:
        cm.merge_adapters(llama, method)
    assert ledger.syncs.total() <= WAITS[method] <= 20, ledger.syncs


@pytest.mark.parametrize("method", ["ties", "cart", "dare+ties"])
def test_so_does_one_of_fewer_layers_whose_svds_take_long_on_a_double(method: str) -> None:
    """In two shapes too; more layers are no more waits."""
    layers = model(2, {"q": (240, 240), "k": (200, 240)})
    with cupy_double.counting() as ledger:
        cm.merge_adapters(layers, method)
    assert ledger.syncs.total() <= WAITS[method] <= 20, ledger.syncs


@pytest.mark.parametrize("method", ["ta", "tsv", "iso", "tsv+iso"])
def test_no_library_call_loops_over_the_batch(llama: Any, method: str) -> None:
    with cupy_double.counting() as ledger:
        cm.merge_adapters(llama, method)
    assert not ledger.loops


@pytest.mark.parametrize("method", ["ties", "cart", "trim+tsv"])
def test_nor_do_svds_of_core_matrices_and_of_what_is_trimmed(method: str) -> None:
    layers = model(2, {"q": (120, 110)})
    with cupy_double.counting() as ledger:
        cm.merge_adapters(layers, method)
    assert not ledger.loops


@pytest.mark.parametrize("method", ["tsv", "ties", "iso"])
def test_one_dependent_layer_does_not_send_the_others_to_the_library(method: str) -> None:
    """Two tasks that are one there: what is decomposed one by one is that layer alone, and it is right."""
    counts = []
    for blocks in (3, 9):
        layers = model(blocks, {"q": (120, 110)})
        layers["1.q"][2] = layers["1.q"][0]
        with cupy_double.counting() as ledger:
            merged = cm.merge_adapters(layers, method)
        counts.append(ledger.loops.total())
    assert 0 < counts[0] == counts[1] <= 8, counts  # a few QRs and SVDs of both its stacks
    host = [(u.B.get(), u.A.get(), u.scale) for u in layers["1.q"]]
    right = cm.merge([cm.LowRankUpdate(*parts) for parts in host], method).to_dense()
    found = available("cupy").dense(merged["1.q"])
    assert ratio(found, right, float(np.linalg.norm(right)), EPS["float32"], 20.0) <= THRESHOLD


# Transposed operands that batched products copy, by file, for 128 layers in two shapes, and why it is no fewer:
# newton, orthonormal: Gram products XᵀX and L Lᵀ, of which one operand is transposed, whatever the layout; Xᵀ held
#     beside X would be a second product in place of a copy
# svds: of the r × r between two frames, one factor; singular vectors, which cuSOLVER gives by columns; L⁻ᵀ beside A_t,
#     which is multiplied as it lies: what is copied is r × r, never n-sized
# sides: L⁻ᵀ of the right frame, R × R, which the other side of M has as it lies
# _triplets: the right one of two polar factors, which Newton's steps take to be tall
COPIES = {
    "ta": {},
    "tsv": {"newton": 32, "orthonormal": 16, "svds": 6, "sides": 2, "_triplets": 2},
    "iso": {"newton": 32, "orthonormal": 8, "sides": 2},
    "tsv+iso": {"newton": 64, "orthonormal": 16, "svds": 6, "sides": 2, "_triplets": 2},
}


@pytest.mark.parametrize("method", COPIES)
def test_what_batched_products_copy(llama: Any, method: str) -> None:
    with cupy_double.counting() as ledger:
        cm.merge_adapters(llama, method)
    counts: Counter[str] = Counter()
    for line, copies in ledger.copies.items():
        counts[Path(line.partition(":")[0]).stem] += copies
    assert counts == COPIES[method]


@pytest.mark.parametrize("method", ["tsv", "ties", "iso"])
def test_no_more_operands_are_copied_for_more_tasks(method: str) -> None:
    """Batched products copy what is not contiguous: tasks of equal ranks are multiplied at once."""
    layers = model(2, {"q": (240, 240)})
    counts = []
    for tasks in (4, 6):  # of more than 32 directions, decomposed in as many steps
        with cupy_double.counting() as ledger:
            cm.merge_adapters({name: updates[:tasks] for name, updates in layers.items()}, method)
        counts.append({line: n for line, n in ledger.copies.items() if "jacobi" not in line})
    assert counts[0] == counts[1]
    assert sum(counts[0].values()) <= {"tsv": 29, "ties": 7, "iso": 21}[method]


@pytest.mark.parametrize("method", ["ta", "tsv", "ties", "iso"])
def test_more_layers_are_no_more_waits_uploads_or_kernels(method: str) -> None:
    """But for putting the batch together and taking it apart, whose arrays are views."""
    counts = []
    for blocks in (2, 12):
        layers = model(blocks, {"q": (40, 30)})
        with cupy_double.counting() as ledger:
            cm.merge_adapters(layers, method)
        counts.append((ledger.syncs.total(), ledger.uploads.total(), ledger.kernels.total()))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(("factor", "name"), [("B", "factor B"), ("A", "factor A"), ("scale", "scale")])
def test_the_culprit_is_named_all_the_same(factor: str, name: str) -> None:
    layers = model(3, {"q": (9, 8), "k": (5, 8)})
    good, value = layers["1.k"][2], float("nan")
    bad = {"B": good.B, "A": good.A, "scale": good.scale}
    bad[factor] = bad[factor] * value
    layers["1.k"][2] = cm.LowRankUpdate(**bad)
    with pytest.raises(cm.NonFiniteError, match=f"layer '1.k', task 2, {name}: expected finite numbers"):
        cm.merge_adapters(layers, "ta")


def test_numbers_whose_sum_overflows_are_finite() -> None:
    B, A = np.full((4, 2), 1e308), np.full((2, 3), 1e-308)
    updates = available("cupy").updates([(B, A, 1.0)] * 2)
    merged = cm.merge_adapters({"q": updates, "k": updates}, "ta")
    np.testing.assert_allclose(available("cupy").dense(merged["k"]), 4.0 * np.ones((4, 3)), rtol=1e-12)
