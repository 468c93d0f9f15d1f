"""Certificates are right about right frames, and about wrong ones."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from backends import BACKENDS
from hypothesis import given
from hypothesis import strategies as st
from said import parts

import coremerge_ref as cm
from coremerge_ref.adapters import Adapter
from coremerge_ref.conformance.definition import merge_exactly
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


@pytest.mark.parametrize("library", ["torch", "strict-device1"])
def test_scales_and_live_sizes_may_be_arrays_of_any_library(library: str) -> None:
    """3 e_1 e_1ᵀ and 0.5 e_2 e_2ᵀ, in the first two axes of four."""
    backend, axes = BACKENDS[library], np.eye(4)
    updates = [
        cm.LowRankUpdate(backend.array(axes[:, [i]]), backend.array(axes[[i]]), backend.array(x))
        for i, x in enumerate((3.0, 0.5))
    ]
    frame, size = backend.array(axes[:, :3] * [1.0, 1.0, 0.0]), backend.array(2.0)
    found = cm.certify(updates, Frames(frame, frame, size, size), cm.DenseUpdate(backend.array(0 * axes)))
    assert found.sizes == (3.0, 0.5)
    assert (found.left, found.right, found.lossless) == (0.0, 0.0, (0.0, 0.0))
    assert found.merged == pytest.approx(9.25**0.5, rel=1e-15)


def test_what_is_being_differentiated_is_certified_as_the_numbers_it_has() -> None:
    """A learned scale, of which torch would warn that it loses its gradient."""
    torch = pytest.importorskip("torch")
    one, scale = torch.ones(1, 1, dtype=torch.float64), torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    found = cm.certify([cm.LowRankUpdate(one, one, scale)], Frames(None, None, 1, 1), cm.LowRankUpdate(one, one, scale))
    assert (found.sizes, found.merged) == ((3.0,), 0.0)


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


# ---- nothing that is not finite is certified, and no certificate lies below the true error ----------------------
BAD = (np.nan, np.inf, -np.inf)


def spoilt(X: np.ndarray, value: float, place: tuple[int, int] = (0, 0)) -> np.ndarray:
    X = X.copy()
    X[place] = value
    return X


@pytest.mark.parametrize("value", BAD, ids=str)
@pytest.mark.parametrize("where", ["B", "A", "merge's scale", "dense", "U", "V", "scale", "weights", "live size"])
def test_nothing_non_finite_is_certified(where: str, value: float) -> None:
    updates = updates_of()
    bases, merged, weights, scale = cm.reference_bases(updates), cm.merge(updates, "ta"), [1.0, 1.0], 1.0
    B, A = np.asarray(merged.B), np.asarray(merged.A)
    merged = {
        "B": cm.LowRankUpdate(spoilt(B, value), A),
        "A": cm.LowRankUpdate(B, spoilt(A, value)),
        "merge's scale": cm.LowRankUpdate(B, A, value),
        "dense": cm.DenseUpdate(spoilt(B @ A, value)),
    }.get(where, merged)
    if where in ("U", "V", "live size"):
        U, V = np.asarray(bases.U), np.asarray(bases.V)
        U, V = (spoilt(U, value) if where == "U" else U), (spoilt(V, value) if where == "V" else V)
        bases = Frames(U, V, np.asarray(value) if where == "live size" else bases.rows, bases.cols)
    weights = [value, 1.0] if where == "weights" else weights
    scale = value if where == "scale" else scale
    with pytest.raises((cm.NonFiniteError, cm.ParameterError), match=r"finite|live size"):
        cm.certify(updates, bases, merged, weights, scale)


def test_a_scale_that_is_no_number_is_named() -> None:
    one = np.ones((1, 1))
    with pytest.raises(cm.NonFiniteError, match=parts("scale of an update … got nan")):
        cm.certify([(one, one)], Frames(None, None, 1, 1), cm.LowRankUpdate(one, one, np.nan))


def test_overflow_of_a_narrow_result_is_refused() -> None:
    updates = updates_of()
    bases = cm.reference_bases(updates)
    with np.errstate(over="ignore"):
        merged = cm.LowRankUpdate(np.full((len(bases.U), 1), 1e5).astype(np.float16), np.ones((1, len(bases.V))))
    with pytest.raises(cm.NonFiniteError):
        cm.certify(updates, bases, merged)


def test_a_bound_beyond_float64_is_refused() -> None:
    huge = [(np.full((3, 1), 1e200), np.full((1, 3), 1e200))]
    with pytest.raises(cm.NonFiniteError, match="float64"):
        cm.certify(huge, Frames(None, None, 3, 3))


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("bits: … from 64 to 100000, got 0", {"bits": 0}),
        ("bits: … from 64 to 100000, got 63", {"bits": 63}),
        ("bits: … from 64 to 100000, got 100001", {"bits": 100_001}),
        ("bits", {"bits": 320.0}),
        ("bits", {"bits": True}),
        ("scale", {"scale": "1"}),
        ("merged: expected what merge returns, got ndarray", {"merged": np.ones((3, 3))}),
        ("weights", {"weights": [1.0, "x"]}),
        ("looks at entries", {"method": "ties"}),
        ("looks at entries", {"method": "dare+ta"}),
        ("looks at entries", {"method": cm.Iso(support="size")}),
    ],
)
def test_arguments_are_checked(words: str, arguments: dict[str, object]) -> None:
    updates = updates_of()
    with pytest.raises(cm.ParameterError, match=parts(words)):
        cm.certify(updates, cm.reference_bases(updates), **{"merged": cm.merge(updates, "ta"), **arguments})


@pytest.mark.parametrize("bits", [64, 100_000])
def test_the_least_and_the_most_bits_are_taken(bits: int) -> None:
    found = cm.certify([(np.full((1, 1), 3.0), np.ones((1, 1)))], Frames(None, None, 1, 1), bits=bits)
    assert (found.bits, found.sizes) == (bits, (3.0,))


@pytest.mark.parametrize("size", [-1.0, 1.5, 3.0])
def test_live_sizes_are_whole_numbers_up_to_that_of_the_frame(size: float) -> None:
    updates, frame = [(np.eye(4, 2), np.eye(2, 5))], np.eye(4, 2)
    with pytest.raises(cm.ParameterError, match=parts(f"live size from 0 to 2, got {size:g}")):
        cm.certify(updates, Frames(frame, None, size, 5))


def test_a_frame_of_which_nothing_is_live_loses_all() -> None:
    found = cm.certify([(np.eye(4, 1), 2 * np.eye(1, 5))], Frames(np.zeros((4, 1)), None, 0, 5))
    assert (found.left, found.right, found.lossless, found.sizes) == (0.0, 0.0, (2.0,), (2.0,))


def test_shapes_are_checked() -> None:
    updates = updates_of()
    bases = cm.reference_bases(updates)
    with pytest.raises(cm.ShapeError, match="merged"):
        cm.certify(updates, bases, cm.LowRankUpdate(np.ones((2, 1)), np.ones((1, 2))))
    with pytest.raises(cm.ShapeError, match=r"bases\.U"):
        cm.certify(updates, Frames(bases.U[1:], bases.V, bases.rows, bases.cols))
    with pytest.raises(cm.ShapeError, match=parts(f"bases.V: expected {len(bases.V)} rows")):
        cm.certify(updates, Frames(bases.U, bases.V[1:], bases.rows, bases.cols))
    with pytest.raises(cm.ParameterError, match=parts("bases: expected Frames, got tuple")):
        cm.certify(updates, (bases.U, bases.V))


def rational(X: object) -> list[list[Fraction]]:
    return [[Fraction(float(x)) for x in row] for row in np.asarray(X)]


def product(B: list[list[Fraction]], A: list[list[Fraction]], factor: Fraction) -> list[list[Fraction]]:
    columns = list(zip(*A, strict=True))
    return [[factor * sum(b * a for b, a in zip(row, column, strict=True)) for column in columns] for row in B]


def true_error(updates: list[cm.LowRankUpdate], weights: list[float], scale: float, merged: cm.LowRankUpdate) -> float:
    """‖merged − scale Σ w_t s_t B_t A_t‖², in rationals."""
    total = product(rational(merged.B), rational(merged.A), Fraction(float(merged.scale)))
    for w, u in zip(weights, updates, strict=True):
        part = product(rational(u.B), rational(u.A), Fraction(w) * Fraction(scale) * Fraction(float(u.scale)))
        total = [[x - y for x, y in zip(*rows, strict=True)] for rows in zip(total, part, strict=True)]
    return sum((x * x for row in total for x in row), Fraction(0))


CORRUPTIONS = {
    "as it is": lambda B, A, x: (B, A),
    "zero": lambda B, A, x: (0 * B, A),
    "negated": lambda B, A, x: (-B, A),
    "scaled": lambda B, A, x: (x * B, A),
    "an entry": lambda B, A, x: (spoilt(B, x, (-1, -1)), A),
    "a bit": lambda B, A, x: (spoilt(B, np.nextafter(B[0, 0], np.inf)), A),
    "a column short": lambda B, A, x: (B[:, :-1], A[:-1]),
    "tiny": lambda B, A, x: (1e-300 * B, A),
    "huge": lambda B, A, x: (1e150 * B, A),
    "denormal": lambda B, A, x: (5e-324 * np.ones_like(B), A),
    "narrow": lambda B, A, x: (np.clip(B, -65504, 65504).astype(np.float16).astype(float), A),
}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
@given(
    seed=st.integers(0, 2**32 - 1),
    x=st.floats(-1e100, 1e100),
    scale=st.sampled_from((1.0, 0.1, -7.5, 0.0)),
    weight=st.floats(-1e3, 1e3),
)
def test_no_certificate_lies_below_the_true_error(
    corruption: str, seed: int, x: float, scale: float, weight: float
) -> None:
    rng = np.random.default_rng(seed)
    updates = [cm.LowRankUpdate(rng.standard_normal((4, 2)), rng.standard_normal((2, 3)), s) for s in (0.1, -3.0)]
    weights = [1 / 3, weight]
    merged = cm.merge(updates, "ta", weights=weights, scale=scale)
    B, A = CORRUPTIONS[corruption](np.asarray(merged.B), np.asarray(merged.A), x)
    merged = cm.LowRankUpdate(B, A)
    bound = cm.certify(updates, cm.reference_bases(updates), merged, weights, scale).merged
    assert np.isfinite(bound)
    square = true_error(updates, weights, scale, merged)
    assert Fraction(bound) ** 2 >= square
    assert Fraction(bound) ** 2 <= square * (1 + Fraction(1, 2**40)) or bound < 1e-300


# ---- methods with a verified decomposition -----------------------------------------------------------------------
METHODS = {
    "mean": ("mean", {}),
    "tsv": ("tsv", {"tsv": {"k": 2}}),
    "tsv, relative": ("tsv", {}),
    "cart": ("cart", {"cart": {"k": 2, "coefficient": 2.5}}),
    "iso": ("iso", {}),
    "iso_cts": ("iso_cts", {}),
    "tsv+iso": ("tsv+iso", {}),
    "karcher": ("karcher", {}),
    "karcher, tol": ("karcher", {"karcher": {"tol": 1e-5}}),
    "karcher+iso": ("karcher+iso", {"karcher": {"steps": 2}}),
}


@pytest.mark.parametrize("weights", [None, [1.0, 1.0]])
def test_weights_of_the_method_itself_outrank_those_given(weights: list[float] | None) -> None:
    """As in merge: of e_1 e_1ᵀ and e_2 e_2ᵀ twice the first less the second, from which their sum is √(1 + 4) off."""
    updates = [(np.eye(3)[:, [i]], np.eye(3)[[i]]) for i in (0, 1)]
    bases, method = cm.reference_bases(updates), cm.Ta(weights=(2.0, -1.0))
    assert np.array_equal(cm.merge(updates, method, weights=weights).to_dense(), np.diag([2.0, -1.0, 0.0]))
    for diagonal, distance in (([2.0, -1.0, 0.0], 0.0), ([1.0, 1.0, 0.0], 5**0.5)):
        found = cm.certify(updates, bases, cm.DenseUpdate(np.diag(diagonal)), weights, method=method)
        assert found.merged == pytest.approx(distance, rel=1e-15)


@pytest.mark.parametrize("method", ["ta", "mean", "tsv+iso", cm.Karcher(steps=0)], ids=str)
def test_a_certificate_says_which_method_it_is_of(method: Any) -> None:
    updates = [(np.eye(3)[:, [i]], np.eye(3)[[i]]) for i in (0, 1)]
    found = cm.certify(updates, cm.reference_bases(updates), method=method)
    assert found.method == found.to_dict()["method"] == (method if isinstance(method, str) else "karcher")


def test_three_adapters_of_rank_16_are_certified_by_iso_cts() -> None:
    """48 directions, 39 of them common: balls that grew with every step of an iteration could not tell."""
    rng = np.random.default_rng(0)
    updates = [(rng.standard_normal((64, 16)), rng.standard_normal((16, 50))) for _ in range(3)]
    found = cm.certify(updates, cm.reference_bases(updates), cm.merge(updates, "iso_cts"), method="iso_cts")
    assert found.merged is not None
    assert found.merged <= 50 * EPS * sum(found.sizes)


def test_a_method_without_a_rule_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 4096 the frames alone take a while. Without a merge nothing is held against the method."""
    updates = [(np.eye(4)[:, :2], np.ones((2, 3))), (np.eye(4)[:, 1:3], np.eye(2, 3))]
    bases, merged = cm.reference_bases(updates), cm.merge(updates, "ties")
    assert cm.certify(updates, bases, method="ties").merged is None
    monkeypatch.setattr("coremerge_ref.analysis.certify._product_norm", lambda _: pytest.fail("worked"))
    with pytest.raises(cm.ParameterError, match=parts("certify: method: … got 'ties'")):
        cm.certify(updates, bases, merged, method="ties")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METHODS)
def test_spectral_methods_are_certified_as_sixty_digits_have_them(name: str, kind: str) -> None:
    """The certificate is the distance to what 60 digits give, which know nothing of it, and it is small."""
    method, parameters = METHODS[name]
    factors = Recipe(m=13, n=11, ranks=(3, 2, 4), scales=(1.0, 0.25, -3.0), kind=kind).build()
    updates, weights = [cm.LowRankUpdate(*one) for one in factors], [1.0, 2.0, -0.5]
    if "karcher" in method:  # no weight is negative
        weights = [1.0, 2.0, 0.5]
    pipeline = cm.Pipeline.parse(method, parameters)
    merged = cm.merge(updates, pipeline, weights=weights, scale=0.7)
    found = cm.certify(updates, cm.reference_bases(updates), merged, weights, 0.7, method=pipeline)
    exact = merge_exactly(factors, method, parameters, "core", weights=weights, scale=0.7).array
    size = np.linalg.norm(exact) + sum(found.sizes)
    assert found.merged is not None
    assert found.merged <= 50 * EPS * size
    assert found.merged >= np.linalg.norm(merged.to_dense() - exact) - 4 * EPS * size
    wrong = cm.LowRankUpdate(np.asarray(merged.B) * 1.01, merged.A)
    off = cm.certify(updates, cm.reference_bases(updates), wrong, weights, 0.7, method=pipeline).merged
    assert off == pytest.approx(0.01 * np.linalg.norm(exact), rel=1e-6)


@pytest.mark.parametrize("power", [664, -664])
@pytest.mark.parametrize("name", [name for name, (_, parameters) in METHODS.items() if "karcher" not in parameters])
def test_certificates_grow_with_the_updates(name: str, power: int) -> None:
    """A power of two rounds nothing, and squares of what it makes are beyond float64, or nothing. tol has a scale."""
    method, parameters = METHODS[name]
    pipeline, rng = cm.Pipeline.parse(method, parameters), np.random.default_rng(0)
    pairs = [(rng.standard_normal((5, 2)), rng.standard_normal((2, 4))) for _ in range(3)]
    bases = cm.reference_bases(pairs)
    near = cm.merge(pairs, pipeline).truncate(3)
    B, A = np.asarray(near.B), np.asarray(near.A)
    found, far = (
        cm.certify([(c * X, Y) for X, Y in pairs], bases, cm.LowRankUpdate(c * B, A), method=pipeline).merged
        for c in (1.0, 2.0**power)
    )
    assert found is not None
    assert far == pytest.approx(2.0**power * found, rel=1e-12)


def test_a_singular_value_at_the_cut_cannot_be_certified() -> None:
    updates = [(np.eye(4)[:, :2], np.eye(5)[:2])]
    with pytest.raises(cm.ParameterError, match=r"cut|confirm"):
        cm.certify(updates, cm.reference_bases(updates), cm.merge(updates, cm.Tsv(k=1)), method=cm.Tsv(k=1))
