"""The walk of errors through a space and its stages: neither side of a matrix comes before the other."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from first import First
from sensitivity import merged, worst

import coremerge_ref as cm
from coremerge_ref.analysis.explain.entering import level_of
from coremerge_ref.analysis.explain.walking import _turned
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.perturbation.carried import Errors, Level
from coremerge_ref.testing import Recipe

MIRRORED: dict[str, tuple[Any, Any]] = {
    "core": ("core", "core"),
    "tucker": (cm.Core("tucker"), cm.Core("tucker")),
    "knots": ("knots", cm.Knots(transposed=True)),
    "full": ("full", "full"),
}


@dataclass(frozen=True)
class Looks(First):
    """That looks at entries, for all that is known, and is off by what the first task is."""

    name: ClassVar[str] = "looks"

    def sees(self, T: int) -> tuple[str, ...]:
        return ("left", "right")

    def carry(self, errors: Errors, before: Stack, after: Merged) -> Errors:
        return errors.merged(float(errors.delta[0]), errors.entry[0], after.M)


# but for iso_cts, which takes common directions from the left of each task
METHODS: dict[str, tuple[Any, Any]] = {
    **{name: (name, name) for name in ("ta", "tsv", "cart", "ties", "trim", "ties+iso", "sce", "pcb")},
    "looks": (Looks(), Looks()),
    "drm": (cm.Drm("horizontal", drop=0.3), cm.Drm("vertical", drop=0.3)),
}


@pytest.mark.parametrize("space", MIRRORED)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_bounds_of_transposed_updates_in_the_transposed_space_are_the_same(
    method: str, space: str, dtype: str
) -> None:
    for seed in range(3):
        pairs = [(s * B, A) for B, A, s in Recipe(m=8, n=6, ranks=(2, 2, 1), decades=0.5, seed=seed).build()]
        one = cm.explain(pairs, METHODS[method][0], MIRRORED[space][0], compute_dtype=dtype)
        turned = [(A.T, B.T) for B, A in pairs]
        other = cm.explain(turned, METHODS[method][1], MIRRORED[space][1], compute_dtype=dtype)
        for mine, theirs in ((one.bound, other.bound), (one.input_bound, other.input_bound)):
            assert mine.verdict == theirs.verdict
            assert mine.relative == pytest.approx(theirs.relative, rel=1e-2, abs=0)


# ---- sizes of spaces ---------------------------------------------------------------------------------------------
def half_precision(cols: list[int], values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """A task of these singular values along columns of two fixed rotations, in float16."""
    rng = np.random.default_rng(0)
    Q, Z = (np.linalg.qr(rng.standard_normal((size, size)))[0] for size in (6, 5))
    return (Q[:, cols] * values).astype(np.float16), Z[:, cols].T.astype(np.float16)


@pytest.mark.parametrize("space", [cm.Knots(), cm.Core(basis="tucker")], ids=str)
@pytest.mark.parametrize(("least", "verdict"), [(0.1, "sensitive"), (1e-2, "sensitive"), (2e-4, "ill-posed")])
def test_the_live_size_hangs_on_every_task_and_on_their_order_not(space: Any, least: float, verdict: str) -> None:
    """Two columns at an angle below their rounding are no two directions for sure, whichever task comes last."""
    B, A = half_precision([0, 1], [1, least])
    B[:, 1] += B[:, 0]
    tasks = [(B, A), half_precision([2, 3], [1.0, 0.5])]
    for order in (tasks, tasks[::-1]):
        found = cm.explain(order, "tsv", space).input_bound
        assert found.verdict == verdict
        assert ("live size" in found.discontinuity) is (verdict == "ill-posed")


@pytest.mark.parametrize("space", [cm.Knots(), cm.Knots(transposed=True), cm.Core(basis="tucker")], ids=str)
def test_a_small_column_is_known_as_well_as_its_own_entries(space: Any) -> None:
    """Of 2e-4 of the other, where an eps of that is 1e-3: half an eps of its own moves it."""
    tasks = [half_precision([0, 1], [1, 2e-4]), half_precision([2], [1.0])]
    assert cm.explain(tasks, "tsv", space).input_bound.verdict == "sensitive"


@pytest.mark.parametrize("method", ["tsv", "ties", "ta+iso"])
def test_copies_that_rounding_may_tell_apart_are_told_with_what_to_do(method: str) -> None:
    B, A = half_precision([0], [1.0])
    found = cm.explain([(B, A), (B, A)], method, cm.Knots(scaled=False)).input_bound
    assert found.verdict == "ill-posed"
    assert found.remedy.endswith(", or use KnOTS with its singular values, or core space")
    other = cm.explain([(B, A), (B, A)], "ties", "core").input_bound
    assert other.remedy.endswith(", or give an absolute rank, or use full space, whose size is fixed")


@pytest.mark.parametrize("method", ["ties", "trim", "dare+ties", "ta", "ta+iso"])
def test_what_is_divided_out_and_multiplied_back_costs_little(method: str) -> None:
    pairs = [(s * B, A) for B, A, s in Recipe(m=9, n=8, ranks=(3, 2)).build()]
    divided, kept = cm.explain(pairs, method, cm.Knots(scaled=False)), cm.explain(pairs, method, "knots")
    for mine, other in ((divided.bound, kept.bound), (divided.input_bound, kept.input_bound)):
        assert 0 < mine.relative < 4 * other.relative
        assert mine.verdict == other.verdict == "well-posed"


@pytest.mark.parametrize("space", ["core", cm.Core(basis="tucker"), "knots", cm.Knots(scaled=False)], ids=str)
def test_bounds_of_tied_values_along_axes_are_infinite_without_a_warning(space: Any) -> None:
    B, A = np.eye(4, dtype=np.float16), np.eye(3, dtype=np.float16)
    for scale in (1, 2):  # ΔW_t alone, or B_t alone, are equally long
        pairs = [(B[:, :1], A[:1]), (B[:, 1:2], scale * A[1:2])]
        for method in ("ties", "trim"):
            assert cm.explain(pairs, method, space).input_bound.verdict in ("sensitive", "ill-posed")
            assert cm.explain([(A.T, B.T) for B, A in pairs], method, space).input_bound.relative > 0


@pytest.mark.parametrize("method", ["ties", "trim"])
@pytest.mark.parametrize("space", [cm.Core(), cm.Core("tucker")], ids=str)
def test_a_side_of_fewer_directions_is_bounded_as_its_mirror_is(method: str, space: Any) -> None:
    """All tasks have one column space, of two directions: the other side has six, and each entry its own error."""
    rng = np.random.default_rng(3)
    B = rng.standard_normal((7, 2))
    pairs = [(B @ rng.standard_normal((2, 2)), rng.standard_normal((2, 8))) for _ in range(3)]
    one, other = (cm.explain(given, method, space) for given in (pairs, [(A.T, B.T) for B, A in pairs]))
    assert (one.rows, one.cols) == (other.cols, other.rows) == (2, 6)
    for mine, theirs in ((one.bound, other.bound), (one.input_bound, other.input_bound)):
        assert mine.relative == pytest.approx(theirs.relative, rel=1e-2, abs=0)


@pytest.mark.parametrize("method", ["ties+iso", "dare+ta+iso"])
@pytest.mark.parametrize("seed", range(3))
def test_rows_that_are_multiplied_back_are_known_to_their_own_size(method: str, seed: int) -> None:
    """Iso divides by what is least: rows of singular values of two decades, which errors of others do not reach."""
    recipe = Recipe(m=8, n=7, ranks=(2, 2, 1), decades=2.0, seed=seed, scales=(1.0, 1e-2, 1.0))
    pairs, space = [(s * B, A) for B, A, s in recipe.build()], cm.Knots(scaled=False)
    condition = cm.explain(pairs, method, space).input_bound.condition
    measured = worst(merged(method, space), pairs, step=1e-8)
    assert measured <= 1.001 * condition
    assert condition <= 60 * measured


@pytest.mark.parametrize("side", [0, 1])
def test_where_no_basis_is_determined_what_to_do_is_to_look_at_none(side: int) -> None:
    """Columns e_1 and e_2 of one length: any two of their plane are singular vectors of [B_1 B_2]."""
    long, short = np.eye(4), np.eye(4) * [3.0, 1.0, 1.0, 1.0]
    pairs = [(long[:, [i]], short[[i]]) for i in (0, 1)]
    e = cm.explain([(A.T, B.T) for B, A in pairs] if side else pairs, "ties", "core")
    assert e.verdict == "ill-posed"
    stack = ("[B_1 … B_T]", "[A_1; …; A_T]")[side]
    assert f"core: singular values 1 and 2 of {stack} differ by 0.0e+00 of the largest, so the basis" in e.reason
    assert e.bound.remedy == ("use a method that no basis decides, such as tsv or iso, or full space, or another basis")


def test_rows_of_which_nothing_is_known_stay_so_whatever_they_meet() -> None:
    """∞ · 0 would be no number."""
    K, X = np.array([[np.inf, 0.0], [1.0, 2.0]]), np.array([[0.0, 1.0, 0.0], [3.0, -4.0, 0.0]])
    assert _turned(K, X).tolist() == [[np.inf] * 3, [6, 9, 0]]
    assert _turned(np.zeros((2, 2)), X).tolist() == [[0] * 3] * 2


def test_a_sum_of_terms_is_off_by_half_an_eps_for_each_and_what_is_stored_by_eight() -> None:
    """Sums within the space have fewer terms. Inputs were rounded once, and nothing of them underflowed."""
    eps = 2.0**-23
    assert level_of("input", "float16", 2.0**-10, 1e-300, 100, 6) == Level("input", "float16", 2.0**-10, 0.5, 0)
    found = level_of("compute", "float32", eps, 1e-30, 100, 6)
    assert found == Level("compute", "float32", eps, 58.0, 1e-30, 11.0)
    assert (found.size, found.framed, found.formed) == (58 * eps, 58 * eps, 11 * eps)
    assert found.decomposed - found.formed == pytest.approx(found.stacked - found.size, rel=1e-6, abs=0)
    assert found.stacked > found.size
    inputs = level_of("input", "float32", eps, 0.0, 100, 6)
    assert (inputs.stacked, inputs.framed, inputs.formed, inputs.decomposed) == (eps / 2, 0, 0, 0)
