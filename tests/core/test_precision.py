"""float32 arithmetic beside float64, at the sizes that layers have: the same answer to 50 κ eps(float32)."""

from typing import Any

import numpy as np
import pytest
from backends import EPS

import coremerge_ref as cm
from coremerge_ref.core.merging import Prepared
from coremerge_ref.core.pipeline import as_pipeline
from coremerge_ref.testing import THRESHOLD, orthonormal, ratio

# Q_B S G and G⁻¹ Q_A with a random G: what training leaves, in that nothing is orthogonal in one factor alone
SMOOTH = ["ta", "tsv", "tsv+iso", "iso", cm.Cart(16)]


def refactored(size: int, decades: float, T: int = 3, r: int = 16) -> tuple[list[Any], float]:
    """T updates of size × size, float32, and the condition number of how they are factored."""
    rng, updates, condition = np.random.default_rng(0), [], 1.0
    for _ in range(T):
        Q_B, Q_A, G = orthonormal(rng, size, r), orthonormal(rng, size, r), rng.standard_normal((r, r))
        B = (Q_B * np.logspace(0, -decades, r)) @ G
        updates.append((B.astype(np.float32), (np.linalg.inv(G) @ Q_A.T).astype(np.float32)))
        condition = max(condition, float(np.linalg.cond(G)))
    return updates, condition


def distance(one: Any, other: Any) -> tuple[float, float]:
    """‖ΔW − ΔW'‖ and ‖ΔW'‖, from factors."""
    B = np.concatenate([one.B.astype(float), -other.B], axis=1)
    A = np.concatenate([one.A.astype(float), other.A], axis=0)
    return size_of(B, A), size_of(other.B, other.A)


def size_of(B: np.ndarray, A: np.ndarray) -> float:
    return float(np.linalg.norm(np.linalg.qr(B)[1] @ np.linalg.qr(A.T)[1].T))


@pytest.mark.parametrize("size", [512, 4096])
@pytest.mark.parametrize("decades", [0.0, 2.0])
@pytest.mark.parametrize("method", SMOOTH, ids=str)
def test_float32_is_as_right_as_float32_can_be(size: int, decades: float, method: Any) -> None:
    updates, condition = refactored(size, decades)
    found = cm.merge(updates, method, compute_dtype="float32")
    error, scale = distance(found, cm.merge(updates, method, out_dtype="float64"))
    smallest = 10**decades  # TSV and Iso see every direction at the same size, whatever its singular value
    assert ratio([error], [0.0], scale, EPS["float32"], condition * smallest) <= THRESHOLD


# entries that rounding cannot tell from the last one kept are kept with it: some hundred thousandths of all
ENTRIES = ["ties", "trim+ta", "breadcrumbs+ta", "sce", cm.Pipeline((cm.Trim(0.2, "exact"), cm.Ta()))]


@pytest.mark.parametrize("space", ["full", "knots"])
@pytest.mark.parametrize("method", ENTRIES, ids=str)
def test_float32_takes_the_entries_that_float64_takes(method: Any, space: str) -> None:
    """An entry's level is as small as its row and column are: that of the whole matrix, which is 1,024 times as large,
    is one entry in a hundred of float32, and moves TIES by 6 %."""
    rng = np.random.default_rng(0)
    factors = [(rng.standard_normal((1024, 16)), rng.standard_normal((16, 1024))) for _ in range(3)]
    updates = [(B.astype(np.float32), A.astype(np.float32)) for B, A in factors]
    found, wide = (cm.merge(updates, method, space, compute_dtype=d).to_dense() for d in ("float32", "float64"))
    apart = np.abs(found.astype(np.float64) - wide) > 1e-4 * np.abs(wide).max()
    assert np.mean(apart) < 1e-5


@pytest.mark.parametrize(("keep", "own", "one"), [("threshold", 2e-3, 0.05), ("exact", 1e-6, 0.03)])
def test_one_level_for_all_entries_would_move_ties(
    keep: str, own: float, one: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By 6 % at 1024 × 1024 in float32 (3 % without a threshold), which levels of their own do not."""
    rng = np.random.default_rng(0)
    factors = [(rng.standard_normal((1024, 16)) / 4, rng.standard_normal((16, 1024))) for _ in range(3)]
    updates, method = [(B.astype(np.float32), A.astype(np.float32)) for B, A in factors], cm.Ties(keep=keep)

    def moved() -> float:
        found, wide = (cm.merge(updates, method, "full", compute_dtype=d).to_dense() for d in ("float32", "float64"))
        return float(np.linalg.norm(found - wide) / np.linalg.norm(wide))

    assert moved() < own
    monkeypatch.setattr(cm.Frames, "entry_shares", lambda self: (None, None))
    assert moved() > one


@pytest.mark.parametrize("size", [512, 4096])
def test_live_sizes_are_those_of_float64(size: int) -> None:
    """No direction is lost: the 48 of three tasks of rank 16, in either precision."""
    updates, _ = refactored(size, 2.0)
    for space in ("core", cm.Core("tucker"), "knots"):
        for dtype in ("float32", "float64"):
            frames = cm.reference_bases(updates, space, compute_dtype=dtype)
            assert (float(frames.rows), float(frames.cols)) == (48, size if space == "knots" else 48)


@pytest.mark.parametrize("size", [512, 4096])
def test_float32_moves_only_entries_at_the_threshold(size: int) -> None:
    """TIES keeps or drops an entry another way only where its magnitude is within rounding of the cut."""
    updates, _ = refactored(size, 0.0)
    given = [cm.LowRankUpdate(B, A) for B, A in updates]
    kept = {}
    for dtype in ("float32", "float64"):
        _, stack = Prepared(given, cm.Core(), dtype).encoded(as_pipeline("ties"))
        kept[dtype] = cm.Trim()([stack])[0].M != 0
    M, slack = (
        stack.M,
        2
        * 8
        * EPS["float32"]
        * sum(np.linalg.norm(u.B.astype(float), axis=0) @ np.linalg.norm(u.A.astype(float), axis=1) for u in given),
    )
    for t in range(3):
        cut = np.sort(np.abs(M[t]).ravel())[M[t].size - int(M[t].size * 0.2) - 1]
        moved = kept["float32"][t] != kept["float64"][t]
        assert np.all(np.abs(np.abs(M[t][moved]) - cut) <= slack)
