"""Layers of equal shape are put together and taken apart: which, how many at once, and with what scales."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from backends import Backend
from said import parts

import coremerge_ref as cm
from coremerge_ref.core import arrays, batches
from coremerge_ref.core.batches import chunks, equal_shapes, stacked, unstacked


def update(m: int = 3, n: int = 4, r: int = 2, b: str = "float64", a: str = "float64") -> cm.LowRankUpdate:
    return cm.LowRankUpdate(np.ones((m, r), b), np.ones((r, n), a))


LAYER = 8 * (2 * (3 + 4) + 1 * (3 + 4))  # bytes in float64 of a task of rank 2 and one of rank 1


@pytest.mark.parametrize(
    ("sent", "loops", "bytes_", "sizes"),
    [
        (True, False, (3 * LAYER, 1), [3, 2]),
        (True, True, (3 * LAYER, 1), [3, 2]),
        (True, False, (3 * LAYER - 1, 1), [2, 2, 1]),
        (False, False, (1, 2 * LAYER), [2, 2, 1]),
        (False, False, (1, 5 * LAYER), [5]),
        (False, False, (10**6, 1), [1] * 5),
        (False, True, (1, 1), [5]),
    ],
)
def test_pieces_are_of_the_size_that_suits(
    sent: bool, loops: bool, bytes_: tuple[int, int], sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent, and what is done here on a CPU, by what memory its factors take; on a GPU all."""
    monkeypatch.setattr(batches, "CHUNK_BYTES", bytes_[0])
    monkeypatch.setattr(batches, "CACHE_BYTES", bytes_[1])
    monkeypatch.setattr(arrays, "loops_over_batches", lambda array: loops and array.shape == (3, 2))
    names = list("abcde")
    for tasks in ([update(), None, update(r=1)], [None, update(), update(r=1)]):
        pieces = list(chunks(dict.fromkeys(names, tasks), names, sent))
        assert [name for piece in pieces for name in piece] == names
        assert [len(piece) for piece in pieces] == sizes


def test_pieces_of_layers_that_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of rank 0 they count as one number; of layers that no task has, nothing is looked at."""
    monkeypatch.setattr(batches, "CACHE_BYTES", 16)
    names = list("abc")
    assert list(chunks(dict.fromkeys(names, (update(r=0),)), names, False)) == [["a", "b"], ["c"]]
    assert list(chunks(dict.fromkeys(names, (None,)), names, True)) == [names]
    assert list(chunks({"a": [update()]}, ["a"], False)) == [["a"]]


def test_layers_go_together_that_agree_in_everything() -> None:
    """Shapes, ranks, dtypes of either factor, and which tasks have them; groups in the order of their first layers."""
    layers: dict[str, Any] = {
        "first": [update(), update(r=1)],
        "shape": [update(4, 3), update(4, 3, 1)],
        "rank": [update(), update()],
        "dtype of B": [update(b="float32"), update(r=1)],
        "dtype of A": [update(), update(r=1, a="float32")],
        "no second task": [update(), None],
        "no first task": [None, update(r=1)],
        "first again": [update(), update(r=1)],
        "no first task again": [None, update(r=1)],
    }
    assert equal_shapes(layers) == [
        ["first", "first again"],
        *([name] for name in ("shape", "rank", "dtype of B", "dtype of A", "no second task")),
        ["no first task", "no first task again"],
    ]
    layers["batch"] = [None, cm.LowRankUpdate(np.ones((2, 1, 3, 2)), np.ones((2, 1, 2, 4)))]
    said = "layer 'batch': expected updates … shape (m, n) … got (2, 1, 3, 4); name each layer of a batch"
    with pytest.raises(cm.ShapeError, match=f"^{parts(said)}$"):
        equal_shapes(layers)


def test_stacked_layers_have_their_scales(backend: Backend) -> None:
    """Python's numbers in an array of NumPy's; of anything else, an array beside the factors, of the widest dtype."""
    B, A = np.arange(6.0).reshape(3, 2), np.arange(8.0).reshape(2, 4)
    s = 1 + 2.0**-30  # which float32 does not hold
    kinds: list[list[Any]] = [[s, 2], [s, Fraction(1, 2)], [backend.array(s), 3.0], [np.float32(0.5), np.array(s)]]
    for scales in kinds:
        layers = {
            name: [None, cm.LowRankUpdate(*(backend.array(k * X, "float32") for X in (B, A)), scale)]
            for k, (name, scale) in enumerate(zip("ab", scales, strict=True), start=1)
        }
        for names in ("ab", "ba", "b"):
            places = ["ab".index(name) for name in names]
            nothing, batch = stacked(layers, list(names))
            assert nothing is None
            assert batch is not None
            np.testing.assert_array_equal(backend.host(batch.B), [(i + 1) * B for i in places])
            np.testing.assert_array_equal(backend.host(batch.A), [(i + 1) * A for i in places])
            assert arrays.dtype_name(batch.scale.dtype) == "float64"
            found = batch.scale if isinstance(batch.scale, np.ndarray) else backend.host(batch.scale)
            np.testing.assert_array_equal(found, [float(scales[i]) for i in places])
        plain = all(isinstance(scale, float | int) for scale in scales)
        assert type(stacked(layers, "ab")[1].scale) is (np.ndarray if plain else type(backend.array(s)))  # type: ignore[union-attr]


def test_all_layers_have_as_many_tasks() -> None:
    with pytest.raises(ValueError, match="zip"):
        stacked({"a": [update()], "b": [update(), update()]}, ["a", "b"])


def test_a_batch_is_taken_apart_layer_by_layer() -> None:
    W = np.arange(24.0).reshape(2, 3, 4)
    for whole in (cm.DenseUpdate(W), cm.LowRankUpdate(W, np.stack([np.eye(4)] * 2))):
        layers = unstacked(whole)
        assert [layer.shape for layer in layers] == [(3, 4), (3, 4)]
        for layer, expected in zip(layers, W, strict=True):
            np.testing.assert_array_equal(layer.to_dense(), expected)
    assert [layer.info["k"] for layer in unstacked(cm.DenseUpdate(W, {"k": np.array([1.0, 2.0])}))] == [1.0, 2.0]
