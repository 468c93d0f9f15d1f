"""prepare: frames and cores once, the same merges as ever."""

from typing import Any

import numpy as np
import pytest
from backends import Backend

import coremerge_ref as cm
from coremerge_ref.core.linalg import orthonormal, svds
from coremerge_ref.testing import Recipe

FACTORS = Recipe(6, 5, (2, 2), scales=(1.0, -2.0), seed=2).build()
SETTINGS: list[dict[str, Any]] = [
    {"method": "tsv"},
    {"method": "ties", "scale": 0.7},
    {"method": "dare+ties+iso", "weights": (1.0, 0.5)},
    {"method": "ta", "weights": (2, -1), "out_dtype": "float32"},
    {"method": lambda M: M.max(axis=0)},
]


@pytest.mark.parametrize("space", ["core", "full", "knots", cm.Knots(scaled=False), cm.Compressed(2)], ids=str)
def test_a_prepared_merge_is_the_merge(backend: Backend, space: Any) -> None:
    updates = backend.updates(FACTORS)
    ready = cm.prepare(updates, space)
    for setting in SETTINGS if backend.name == "numpy" else SETTINGS[:2]:
        found, expected = ready.merge(**setting), cm.merge(updates, space=space, **setting)
        np.testing.assert_array_equal(backend.dense(found), backend.dense(expected))
        assert (type(found), found.shape, found.rank) == (type(expected), expected.shape, expected.rank)


def test_a_prepared_model_is_merge_adapters() -> None:
    layers = {
        "q": [cm.LowRankUpdate(*f) for f in FACTORS],
        "v": [cm.LowRankUpdate(*FACTORS[0]), None],
        "k": [cm.LowRankUpdate(*f) for f in reversed(FACTORS)],
    }
    ready = cm.prepare(layers)
    for setting in (*SETTINGS[:4], {"method": [cm.Ties(scope="model")]}):
        found, expected = ready.merge(**setting), cm.merge_adapters(layers, **setting)
        assert list(found) == list(expected) == ["q", "v", "k"]
        for name in found:
            np.testing.assert_array_equal(found[name].to_dense(), expected[name].to_dense())


def test_frames_are_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is merged afterwards needs no factorization of an m- or n-sized array."""
    ready = cm.prepare([(B, A) for B, A, _ in Recipe(40, 30, (2, 2), seed=2).build()])
    for method in ("tsv", "ties"):
        ready.merge(method)
    seen: list[int] = []

    def watched(X: Any, svd: Any = svds._one_by_one) -> Any:
        seen.append(max(X.shape[-2:]))
        return svd(X)

    monkeypatch.setattr(svds, "_one_by_one", watched)
    monkeypatch.setattr(orthonormal, "cholesky_qr2", lambda given: seen.extend(max(X.shape) for X in given))
    for setting in ("tsv", "iso", "ties", "cart", "dare+ties", "iso_cts", "drm"):
        ready.merge(setting)
    assert seen
    assert max(seen) <= 8


@pytest.mark.parametrize("options", [{"scale": "2"}, {"weights": (1,)}, {"method": "tie"}, {"out_dtype": "int8"}])
def test_bad_settings_are_those_of_merge(options: dict[str, Any]) -> None:
    ready = cm.prepare([(B, A) for B, A, _ in FACTORS])
    with pytest.raises((cm.ParameterError, cm.DTypeError)) as prepared:
        ready.merge(**options)
    with pytest.raises((cm.ParameterError, cm.DTypeError)) as merged:
        cm.merge([(B, A) for B, A, _ in FACTORS], **options)
    assert str(prepared.value) == str(merged.value)
