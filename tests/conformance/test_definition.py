"""The mpmath definition against exact results: rational frames, worked TIES examples, diagonal matrices."""

from fractions import Fraction as F

import numpy as np
import pytest
from mpmath import mp, mpf

from coremerge_ref.conformance.definition import conditioning, exact, merge_exactly, merged, polar, svd
from coremerge_ref.conformance.definition.linalg import norm, product, rounded, scale_columns, to_float64

FULL = {"density": 1.0}


@pytest.fixture(autouse=True)
def sixty_digits():
    with mp.workdps(60):
        yield


def diagonal(*values):
    """Two factors of diag(values)."""
    return np.diag(np.array(values, dtype=float)), np.eye(len(values))


def row(*values):
    return np.ones((1, 1)), np.array([values], dtype=float)


def rational_frames():
    """B (4, 2), A (2, 3): orthonormal rational frames times distinct numbers, so the singular vectors are known."""
    u = np.array([[F(3, 5), 0], [F(4, 5), 0], [0, F(5, 13)], [0, F(12, 13)]], dtype=object)
    v = np.array([[F(8, 17), 0], [F(15, 17), 0], [0, F(1)]], dtype=object)
    return u, v


# ---- the SVD where mpmath's does not converge ---------------------------------------------------------------------
@pytest.mark.parametrize(("m", "n", "rank"), [(5, 4, 4), (7, 4, 2), (4, 4, 0), (4, 6, 3)])
def test_the_svd_by_rotations_is_one(m, n, rank, monkeypatch):
    rng = np.random.default_rng(m + n)
    X = product(exact(rng.standard_normal((m, rank)) * 10.0 ** -np.arange(rank)), exact(rng.standard_normal((rank, n))))

    def gives_up(*_, **__):
        raise RuntimeError("svd: no convergence to an eigenvalue after 243 iterations")

    expected = svd(X)[1]
    monkeypatch.setattr(mp, "svd_r", gives_up)
    with mp.workdps(61):  # not remembered
        p, s, q = svd(X)
    d = min(m, n)
    for error in (p.T * p - mp.eye(d), q.T * q - mp.eye(d), X - scale_columns(p, s) * q.T):
        assert norm(error) < mpf(10) ** -55
    assert s == sorted(s, reverse=True)
    assert max(abs(a - b) for a, b in zip(s, expected, strict=True)) < mpf(10) ** -55


# ---- TIES, entry by entry -----------------------------------------------------------------------------------------
def test_ties_zero_sum_takes_the_majority_sign():
    tasks = [row(1, -2, -3), row(-1, 1, -1)]
    assert merged(tasks, "ties", {"ties": FULL}, "full").tolist() == [[-1, -2, -2]]


def test_magnitudes_within_rounding_of_the_threshold_are_equal_to_it():
    for eps, count in ((2.0**-52, 1), (2.0**-23, 2)):  # 1 and 1 − 1e-7
        out = merged([row(1, 1 - 1e-7, 0.5, 0.25)], "trim", {"trim": {"density": 0.0}}, "full", eps=eps)
        assert np.count_nonzero(out) == count


def test_ties_zero_sum_positive():
    tasks = [row(1, -2, -3), row(-1, 1, -1)]
    assert merged(tasks, "ties", {"ties": {**FULL, "zero_sign": "positive"}}, "full").tolist() == [[1, -2, -2]]


@pytest.mark.parametrize(("keep", "count"), [("threshold", 3), ("exact", 2)])
def test_a_fifth_of_ten_entries(keep, count):
    out = merged([row(*range(1, 11))], "ties", {"ties": {"density": 0.2, "keep": keep}}, "full")
    assert out.tolist() == [[0] * (10 - count) + list(range(11 - count, 11))]


@pytest.mark.parametrize(("keep", "count"), [("threshold", 10), ("exact", 2)])
def test_equal_magnitudes(keep, count):
    out = merged([row(*[1, -1] * 5)], "ties", {"ties": {"density": 0.2, "keep": keep}}, "full")
    assert np.count_nonzero(out) == count
    assert out[0, :2].tolist() == [1, -1]


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({}, 4.0),  # 2 and 6 agree: (2 + 6) / 2
        ({"aggregate": "sum"}, 8.0),
        ({"elect": "count"}, 4.0),
    ],
)
def test_ties_aggregates_the_agreeing(options, value):
    assert merged([row(2), row(-3), row(6)], "ties", {"ties": {**FULL, **options}}, "full").item() == value


def test_election_by_count_and_by_mass_differ():
    tasks = [row(1), row(1), row(-5)]
    assert merged(tasks, "ties", {"ties": FULL}, "full").item() == -5
    assert merged(tasks, "ties", {"ties": {**FULL, "elect": "count"}}, "full").item() == 1


def test_weights_before_and_after_the_election():
    tasks, w = [row(3), row(-2)], {"weights": [1.0, 2.0], **FULL}
    assert merged(tasks, "ties", {"ties": w}, "full").item() == 3
    assert merged(tasks, "ties", {"ties": {**w, "weight_order": "before"}}, "full").item() == -4
    by_weight = {**w, "weight_order": "before", "divisor": "weight"}
    assert merged(tasks, "ties", {"ties": by_weight}, "full").item() == -2


def test_ties_in_a_rational_core_basis():
    """Core matrices diag(2, 1) and [[0, -1], [3, 0]] known exactly; the merge is decoded in rationals."""
    u, v = rational_frames()
    first, second = np.array([[2, 0], [0, 1]], dtype=object), np.array([[0, -1], [3, 0]], dtype=object)
    # B_t = U C_t with row norms of [C_1 C_2] distinct and rows orthogonal, so U holds the left singular vectors
    tasks = [(u @ first, v.T.copy()), (u @ second, v.T * 2)]
    found = merge_exactly(tasks, "ties", {"ties": FULL})
    # right stack: rows v_1, v_2, 2 v_1, 2 v_2 has equal singular values: use another A for a determined basis
    assert found.frames.live == (2, 2)
    tasks = [(u @ first, np.array([[1, 0], [0, 3]], dtype=object) @ v.T), (u @ second, v.T)]
    inner = [first @ np.array([[1, 0], [0, 3]], dtype=object), second]
    both = sum(inner)  # no two entries disagree here, and each entry has one nonzero value
    expected = u @ both @ v.T
    found = merge_exactly(tasks, "ties", {"ties": FULL})
    assert norm(found.matrix - exact(expected)) < mpf(10) ** -55


# ---- spectral methods ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("space", ["full", "knots", "core"])
def test_tsv_of_orthogonal_tasks_is_their_sum(space):
    tasks = [(np.eye(4, 1, -i) * (i + 1), np.eye(1, 4, i)) for i in range(4)]
    assert merged(tasks, "tsv", {"tsv": {"k": 1}}, space).tolist() == np.diag([1.0, 2, 3, 4]).tolist()


@pytest.mark.parametrize("space", ["full", "knots", "core"])
def test_tsv_of_one_direction_twice_is_the_mean(space):
    p = np.array([[3.0], [4.0]]), np.array([[1.0, 0.0]])
    out = merged([p, (3 * p[0], p[1])], "tsv", {"tsv": {"k": 1}}, space)
    assert out.tolist() == [[6.0, 0.0], [8.0, 0.0]]


@pytest.mark.parametrize("space", ["full", "knots", "core"])
def test_iso_flattens_over_the_support(space):
    assert np.allclose(merged([diagonal(3, 1, 0)], "iso", space=space), np.diag([2, 2, 0]), rtol=0, atol=0)


def test_cart_of_diagonals():
    """Mean diag(2, 3); the differences are ∓diag(1, 2); their rank-1 parts ∓diag(0, 2) cancel."""
    tasks = [diagonal(1, 1), diagonal(3, 5)]
    assert merged(tasks, "cart", {"cart": {"k": 1}}, "full").tolist() == [[2, 0], [0, 3]]
    one = merged([*tasks, diagonal(2, 3)], "cart", {"cart": {"k": 1, "coefficient": 7.0}}, "full")
    assert one.tolist() == [[2, 0], [0, 3]]


def test_iso_cts_of_one_task_is_iso():
    rng = np.random.default_rng(0)
    task = [(rng.standard_normal((5, 3)), rng.standard_normal((3, 4)))]
    assert np.allclose(merged(task, "iso_cts"), merged(task, "iso"), rtol=1e-15)


@pytest.mark.parametrize("direction", ["horizontal", "vertical"])
def test_drm_of_one_task_without_drop_is_the_task(direction):
    rng = np.random.default_rng(1)
    b, a = rng.standard_normal((5, 3)), rng.standard_normal((3, 4))
    found = merge_exactly([(b, a)], "drm", {"drm": {"drop": 0.0, "direction": direction}})
    assert norm(found.matrix - exact(b) * exact(a)) < mpf(10) ** -50


def test_dare_rescales_by_its_drop():
    mask = np.array([[[True, False], [True, True]]])
    out = merged([diagonal(3, 6)], "dare", {"dare": {"drop": 0.25}}, "full", masks=mask)
    assert out.tolist() == [[4, 0], [0, 8]]


# ---- spaces and numbers -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("options", [
    {"space": "full"}, {"space": "knots"}, {"space": "knots", "transposed": True}, {"space": "knots", "scaled": False},
    {"space": "core"}, {"space": "core", "basis": "tucker"}])  # fmt: skip
def test_linear_merges_are_lossless_in_every_space(options):
    rng = np.random.default_rng(2)
    tasks = [(rng.standard_normal((6, r)), rng.standard_normal((r, 5)), s) for r, s in ((1, 0.5), (3, 2.0), (0, 1.0))]
    found = merge_exactly(tasks, "ta", {"ta": {"weights": [2, -1, 1]}}, **options)
    right = exact(tasks[0][0]) * exact(tasks[0][1]) - 2 * exact(tasks[1][0]) * exact(tasks[1][1])
    assert norm(found.matrix - right) < mpf(10) ** -55


def test_svd_and_polar_hold_to_the_last_digits():
    with mp.workdps(60):
        x = mp.matrix([[mp.sin(3 * i * j + i * i + j + 1) for j in range(4)] for i in range(6)])
        p, s, q = svd(x)
        assert norm(p * mp.diag(s) * q.T - x) < mpf(10) ** -58
        assert s == sorted(s, reverse=True)
        f = polar(x, mpf(10) ** -20)
        assert norm(f.T * f - mp.eye(4)) < mpf(10) ** -57


@pytest.mark.parametrize("x", [5e-324, 2.5e-310, 1e-150, 0.1, 1e300, -3.0, 0.0])
def test_rounding_is_the_nearest_double(x):
    assert rounded(mpf(x)) == x
    assert to_float64(exact(np.array([[x]])))[0, 0] == x


def test_low_precision_inputs_are_the_numbers_they_hold():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    b = np.array([[0.1]], dtype=ml_dtypes.bfloat16)
    assert exact(b)[0, 0] == mpf(float(b[0, 0])) != mpf("0.1")


@pytest.mark.parametrize("method", ["ta", "mean", "tsv", "cart", "ta+iso", "dare+ta", "trim+ta"])
@pytest.mark.parametrize("space", ["full", "knots", "core"])
def test_the_bound_covers_what_a_perturbation_does(method, space):
    """Inputs moved by 1e-25 relative: the result moves by no more than the bound says."""
    rng = np.random.default_rng(3)
    tasks = [(rng.standard_normal((6, 2)), rng.standard_normal((2, 5))) for _ in range(2)]
    tiny = F(1, 10**25)
    moved = [
        tuple(
            np.vectorize(lambda x: F(float(x)) * (1 + tiny * int(rng.integers(-1, 2))), otypes=[object])(f) for f in t
        )
        for t in tasks
    ]
    params = {"tsv": {"k": 1}, "cart": {"k": 1}, "trim": {"density": 0.5}}
    masks = rng.random((2, 6, 5)) < 0.8
    one = merge_exactly(tasks, method, params, space, masks=masks)
    two = merge_exactly(moved, method, params, space, masks=masks)
    condition = conditioning(one)
    sign = -1 if norm(one.matrix + two.matrix) < norm(one.matrix - two.matrix) else 1
    assert not condition.reasons
    assert float(norm(one.matrix - sign * two.matrix)) <= condition.bound * 1e-25 * 2


@pytest.mark.parametrize("method", ["ties", "tsv", "cart", "ta+iso", "iso_cts", "drm"])
@pytest.mark.parametrize("space", ["knots", "core"])
def test_more_digits_change_nothing_within_fifty(method, space):
    """The error of an expected value before rounding: 60 digits and 110 agree to 50."""
    rng = np.random.default_rng(4)
    tasks = [(rng.standard_normal((6, r)), rng.standard_normal((r, 5))) for r in (2, 3)]
    few, many = (merge_exactly(tasks, method, None, space, digits=d) for d in (60, 110))
    sign = -1 if norm(few.matrix + many.matrix) < norm(few.matrix - many.matrix) else 1
    assert norm(few.matrix - sign * many.matrix) < mpf(10) ** -50 * norm(many.matrix)
    assert np.array_equal(few.array, many.array)
