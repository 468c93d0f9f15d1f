"""Certificates are right about right frames, and about wrong ones."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from backends import BACKENDS

import coremerge_ref as cm
from coremerge_ref.adapters import Adapter
from coremerge_ref.core.frames import Frames
from coremerge_ref.testing import KINDS, Recipe

flint = pytest.importorskip("flint")
EPS = 2.0**-52


def updates_of(**kwargs: object) -> list[cm.LowRankUpdate]:
    return [cm.LowRankUpdate(B, A, s) for B, A, s in Recipe(**kwargs).build()]


@pytest.mark.parametrize("space", ["core", "knots", cm.Core("tucker"), cm.Knots(transposed=True), "full"], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_our_frames_are_certified_to_rounding(kind: str, space: object) -> None:
    updates = updates_of(m=14, n=11, ranks=(3, 2, 4), scales=(1.0, 0.25, -3.0), kind=kind, decades=2.0)
    found = cm.certify(updates, cm.reference_bases(updates, space))
    assert max(found.left, found.right) <= 50 * EPS
    for lost, update in zip(found.lossless, updates, strict=True):
        unit = abs(update.scale) * np.linalg.norm(update.B) * np.linalg.norm(update.A)
        assert lost <= 50 * EPS * unit


@pytest.mark.parametrize("space", ["core", "full"])
def test_linear_merges_are_certified(space: str) -> None:
    updates, weights = updates_of(m=9, n=8, ranks=(2, 3), scales=(0.1, 2.0)), [0.3, -1.7]
    merged = cm.merge(updates, "ta", space, weights=weights, scale=0.7)
    found = cm.certify(updates, cm.reference_bases(updates), merged, weights, 0.7)
    assert found.merged is not None
    assert found.merged <= 50 * EPS * sum(found.sizes)
    dense = cm.certify(updates, cm.reference_bases(updates), cm.DenseUpdate(merged.to_dense()), weights, 0.7)
    assert dense.merged == pytest.approx(found.merged, abs=20 * EPS * sum(found.sizes))
    assert cm.certify(updates, cm.reference_bases(updates)).merged is None


def test_bounds_are_attained_by_errors_of_known_size() -> None:
    U = np.eye(4)[:, :2] * (1 + 2.0**-20)
    B, A = np.asarray([[3.0], [0.0], [4.0], [0.0]]), np.ones((1, 1))
    found = cm.certify([(B, A)], Frames(U, None, 2, 1))
    assert found.left == pytest.approx(2**0.5 * (2.0**-19 + 2.0**-40), rel=1e-15)
    stretch = (1 + 2.0**-20) ** 2 - 1
    assert found.lossless[0] == pytest.approx(((3 * stretch) ** 2 + 16) ** 0.5, rel=1e-15)
    assert found.sizes == (pytest.approx(5.0, rel=1e-15),)
    assert found.sizes[0] >= 5.0


def test_bounds_lie_above_what_longer_arithmetic_finds() -> None:
    updates = updates_of(m=10, n=9, ranks=(3, 4))
    bases = cm.reference_bases(updates)
    coarse, fine = (cm.certify(updates, bases, bits=bits) for bits in (120, 2000))
    for a, b in zip(
        (coarse.left, coarse.right, *coarse.lossless), (fine.left, fine.right, *fine.lossless), strict=True
    ):
        assert b <= a <= b * (1 + 1e-3)


def test_a_frame_that_misses_a_task_is_found_out() -> None:
    updates = updates_of(m=10, n=9, ranks=(3, 4))
    found = cm.certify(updates, cm.reference_bases(updates[:1]))
    assert found.lossless[0] < 1e-13
    assert found.lossless[1] > 0.5 * found.sizes[1]


def test_single_precision_frames_are_certified_as_what_they_are() -> None:
    updates = updates_of(m=10, n=9, ranks=(3, 2))
    found = cm.certify(updates, cm.reference_bases(updates, compute_dtype="float32"))
    assert 2.0**-27 < found.left < 50 * 2.0**-23


def test_narrow_inputs_count_as_exact() -> None:
    updates = [
        cm.LowRankUpdate(B.astype(ml_dtypes.bfloat16), A.astype(np.float16), 1 / 3)
        for B, A, _ in Recipe(m=8, n=7, ranks=(2, 2)).build()
    ]
    found = cm.certify(updates, cm.reference_bases(updates))
    assert max(found.lossless) < 1e-14


@pytest.mark.parametrize("library", ["torch", "strict-device1"])
def test_arrays_of_other_libraries(library: str) -> None:
    factors = Recipe(m=8, n=7, ranks=(2, 2)).build()
    updates = BACKENDS[library].updates(factors)
    mine, theirs = (cm.certify(u, cm.reference_bases(u)) for u in (BACKENDS["numpy"].updates(factors), updates))
    assert theirs.sizes == mine.sizes
    assert max(theirs.lossless) < 1e-14


def test_what_cannot_be_certified_is_refused() -> None:
    updates = updates_of()
    bases = cm.reference_bases(updates)
    with pytest.raises(cm.ShapeError, match="one layer"):
        cm.certify(updates_of(batch=(2,)), bases)
    with pytest.raises(cm.ParameterError, match="masked"):
        cm.certify(updates, Frames(bases.U, bases.V, 1, bases.cols))
    with pytest.raises(cm.ParameterError, match="weights"):
        cm.certify(updates, bases, weights=[1.0])


def test_tasks_without_the_layer_are_left_out_and_the_precision_is_put_back() -> None:
    updates, before = updates_of(), flint.ctx.prec
    found = cm.certify([None, *updates], cm.reference_bases(updates), cm.merge(updates, "ta"), weights=[9.0, 1.0, 1.0])
    assert len(found.lossless) == 2
    assert found.merged is not None
    assert found.merged < 1e-14
    assert found.to_dict()["bits"] == 320
    assert flint.ctx.prec == before


def test_trained_adapters_are_certified() -> None:
    data = Path(cm.__file__).parent / "demo" / "data" / "adapters"
    opened = [Adapter(path) for path in sorted(data.iterdir())]
    name = next(iter(opened[0].modules))
    updates = [adapter.load([name])[name] for adapter in opened]
    found = cm.certify(updates, cm.reference_bases(updates), cm.merge(updates, "ta", out_dtype="float64"))
    assert max(found.left, found.right) < 1e-13
    assert max(lost / size for lost, size in zip(found.lossless, found.sizes, strict=True)) < 1e-13
    assert found.merged is not None
    assert found.merged < 1e-13 * sum(found.sizes)
