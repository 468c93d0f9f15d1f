"""Verdicts: what has one answer, what hangs on rounding, and which sentence says so."""

import numpy as np
import pytest
from sensitivity import changed, merged

import coremerge_ref as cm
from benchmarks import dense as published
from coremerge_ref.analysis.explain.explanation import SENSITIVE_ABOVE
from coremerge_ref.testing import orthonormal

RNG = np.random.default_rng(7)


def factors(rank: int, m: int = 32, n: int = 24) -> tuple[np.ndarray, np.ndarray]:
    return RNG.standard_normal((m, rank)), RNG.standard_normal((rank, n))


def vera(tasks: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    B, A = factors(4)
    return [(RNG.uniform(0.5, 1.5, (32, 1)) * B, RNG.uniform(0.5, 1.5, (4, 1)) * A) for _ in range(tasks)]


EQUAL = [factors(4) for _ in range(3)]
MIXED = [factors(rank) for rank in (2, 4, 8)]
VERA = vera()

# where the paper's definition lets null vectors in: (updates, its method, ours, space)
NULL_VECTORS = {
    "full-space Iso-C": (EQUAL, "iso", "iso", "full"),
    "full-space TSV": (EQUAL, "tsv", "tsv", "full"),
    "core TSV with ranks 2, 4, 8": (MIXED, "tsv", "tsv", "core"),
    "core Iso with a duplicated adapter": ([EQUAL[0], EQUAL[1], EQUAL[0]], "iso", "iso", "core"),
    "VeRA core Iso": (VERA, "iso", "iso", "core"),
    "VeRA core TSV": (VERA, "tsv", "tsv", "core"),
}


@pytest.mark.parametrize("case", NULL_VECTORS)
def test_where_null_vectors_take_part_the_papers_definition_moves_by_its_size_and_ours_by_rounding(case: str) -> None:
    pairs, theirs, ours, space = NULL_VECTORS[case]
    moved = []
    for merge in (lambda p: published.merged(p, theirs, space), merged(ours, space)):
        before, rng = merge(pairs), np.random.default_rng(1)
        changes = [np.linalg.norm(merge(changed(pairs, 1e-15, rng)) - before) for _ in range(4)]
        moved.append(max(changes) / np.linalg.norm(before))
    assert moved[0] > 0.1
    assert moved[1] < 1e-12
    explained = cm.explain(pairs, ours, space)
    assert explained.verdict == "well-posed", explained.reason
    assert explained.bound.relative < 1e-10
    if theirs == "iso":
        explained = cm.explain(pairs, cm.Iso(support="size"), space)
        assert explained.verdict == "ill-posed"
        assert explained.bound.relative >= 0.1


def prescribed(S: list[float], m: int = 12, n: int = 10) -> tuple[np.ndarray, np.ndarray]:
    return orthonormal(RNG, m, len(S)) * np.asarray(S), orthonormal(RNG, n, len(S)).T


@pytest.mark.parametrize("method", [cm.Tsv(k=2), cm.Cart(k=2)], ids=["tsv", "cart"])
def test_the_gap_at_k_decides(method: object) -> None:
    def tasks(gap: float) -> list[tuple[np.ndarray, np.ndarray]]:
        B, A = prescribed([2.0, 1.0, 1.0 - gap])
        X, Y = prescribed([2.0, 1.0, 0.5])
        if isinstance(method, cm.Tsv):
            return [(B, A), (X, Y)]
        # CART cuts M_t − M̄: of M, −M / 2 + N and −M / 2 − N that is themselves
        return [(B, A), *((np.hstack([-B / 2, sign * X]), np.vstack([A, Y])) for sign in (1, -1))]

    e = cm.explain(tasks(1e-16), method)
    assert e.verdict == "ill-posed"
    assert "task 0" in e.reason
    assert "singular values 2 and 3" in e.reason
    e = cm.explain(tasks(1e-8), method)
    assert e.verdict == "well-posed"
    assert e.bound.condition > 1e6
    assert min(m.value for m in e.margins if "k = 2" in m.what) == pytest.approx(0.5e-8, rel=1e-6)


def test_a_bound_above_a_thousandth_is_sensitive() -> None:
    B, A = prescribed([1.0, 1e-5])
    G = orthonormal(RNG, 2, 2)  # a column of B alone may be small without harm: its errors are small, too
    e = cm.explain([(B @ G, G.T @ A)], "iso", compute_dtype="float32")
    assert e.verdict == "sensitive", e.reason
    assert e.bound.relative > 1e-3
    assert "1e-05" in e.reason
    B, A = factors(2)
    e = cm.explain([(B, A), (-B * (1 + 1e-13), A)], "ta")
    assert e.verdict == "sensitive"
    assert "size of the sum" in e.reason


def test_exact_cancellation_has_no_relative_bound() -> None:
    B, A = factors(2)
    e = cm.explain([(B, A), (-B, A)], cm.Trim(density=1.0), "full")
    assert e.verdict == "sensitive"
    assert e.bound.relative == np.inf
    assert e.to_dict()["bound"]["relative"] is None


def test_equal_reference_singular_values_leave_elementwise_methods_without_a_basis() -> None:
    U, V = orthonormal(RNG, 9, 4), orthonormal(RNG, 8, 4)
    tied = [(U[:, :2], V[:, :2].T * [[2.0], [1.0]]), (U[:, 2:], V[:, 2:].T * [[1.7], [0.6]])]  # B's: all values 1
    e = cm.explain(tied, cm.Ties(density=0.9), "core")
    assert e.verdict == "ill-posed"
    assert "[B_1 … B_T]" in e.reason
    assert cm.explain(tied, cm.Ties(density=0.9), "core", weights=[0.0, 0.0]).verdict == "well-posed"  # 0 in any basis
    assert cm.explain(tied, "ta", "core").verdict == "well-posed"
    assert cm.explain(tied, "tsv", "core").verdict == "well-posed"
    assert cm.explain(tied, cm.Ties(density=0.9), cm.Core("tucker")).reason != e.reason


def entries(*matrices: list[list[float]]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.asarray(M, dtype=float), np.eye(len(M[0]))) for M in matrices]


def test_elections_on_an_edge_are_masked() -> None:
    first = [[3.0, 1.0, 0.7], [-1.0, 2.0, 1.1], [0.4, 1.0, -1.0]]
    second = [[2.0, -1.0 + 3e-15, 0.3], [-2.0, 1.0, 1.2], [0.5, 3.0, 0.2]]
    e = cm.explain(entries(first, second), cm.Ties(density=1.0), "full")
    assert e.verdict == "ill-posed"
    assert np.argwhere(e.undecided).tolist() == [[0, 1]]
    assert "1 of 9 entries" in e.reason
    second[0][1] = -1.0 + 2e-16  # a sum that counts as zero, beyond doubt
    assert cm.explain(entries(first, second), cm.Ties(density=1.0), "full").verdict == "well-posed"
    second[0][1] = -0.9
    e = cm.explain(entries(first, second), cm.Ties(density=1.0), "full")
    assert e.verdict == "well-posed"
    assert not e.undecided.any()
    majority = next(m for m in e.margins if "majority" in m.what)
    assert majority.value == pytest.approx(0.1 / 1.9)


@pytest.mark.parametrize("elect", ["count", "mass"])
def test_even_votes_are_decided_where_the_majority_is(elect: str) -> None:
    """They follow the majority of the others, 0 being no vote of theirs, and in full space no basis turns them."""
    first, second = [[1.0, 2.0, 3.0], [1.0, 1.0, 4.0]], [[-1.0, -2.0, 3.0], [-1.0, 2.0, 5.0]]
    e = cm.explain(entries(first, second), cm.Ties(density=1.0, elect=elect), "full")
    assert e.verdict == "well-posed"
    assert not e.undecided.any()
    second[1] = [-1.0, -2.0 if elect == "count" else -1.0, -5.0 if elect == "count" else -4.0]
    first[0][2] = second[0][2] = 0.0  # nobody votes for either side, so all take the sign of a tie
    e = cm.explain(entries(first, second), cm.Ties(density=1.0, elect=elect), "full")
    assert not e.undecided.any()


@pytest.mark.parametrize(("tol", "verdict"), [(0.7, "well-posed"), (0.5, "ill-posed"), (0.0, "well-posed")])
def test_a_task_below_tol_is_zero_by_definition(tol: float, verdict: str) -> None:
    tasks = entries([[0.5, 0.0], [0.0, 0.0]], [[0.0, 2.0], [0.0, 0.0]])
    assert cm.explain(tasks, cm.Karcher(tol=tol), "full").verdict == verdict


def test_a_task_opposite_to_the_first_mean_is_in_doubt_though_the_last_one_has_moved_away() -> None:
    tasks = entries([[-1.0, 1e-9]], [[3.0, 0.0]])
    e = cm.explain(tasks, cm.Karcher(steps=1), "full", weights=[1.6, 1.0])
    assert e.verdict == "ill-posed"
    assert "opposite" in e.reason
    apart = entries([[-1.0, 1e-2]], [[3.0, 0.0]])
    assert cm.explain(apart, cm.Karcher(steps=1), "full", weights=[1.6, 1.0]).verdict == "well-posed"


def test_where_all_tasks_are_below_tol_the_result_is_zero_and_exact() -> None:
    e = cm.explain(entries([[0.25]], [[0.5]]), cm.Karcher(tol=0.9), "full")
    assert (e.verdict, e.bound.relative, e.input_bound.relative) == ("well-posed", 0.0, 0.0)


@pytest.mark.parametrize("empty", [cm.Breadcrumbs(density=0.1, gamma=0.5), cm.Trim(density=0.1, keep="exact")])
def test_where_no_entry_is_kept_nothing_is_in_doubt(empty: cm.Stage) -> None:
    """int(9 · 0.1) entries are 0 entries, whichever are the largest."""
    tied = entries([[1.0, 1.0, 1.0], [1.0, 2.0, 1.0], [1.0, 1.0, 3.0]], [[0.0] * 3] * 3)
    e = cm.explain(tied, [empty, cm.Ta()], "full")
    assert (e.verdict, e.bound.relative, e.bound.discontinuity) == ("well-posed", 0.0, "")
    assert (e.input_bound.verdict, e.input_bound.relative) == ("well-posed", 0.0)


def test_a_sum_that_cancels_amplifies_by_what_is_left_of_it() -> None:
    e = cm.explain(entries([[4.0]], [[-3.0]]), "ta", "full")
    margin = next(m for m in e.margins if "size of the sum" in m.what)
    assert margin.value == pytest.approx(1 / 7)
    assert margin.amplifies == pytest.approx(7)


def test_spectra_of_cart_are_those_of_each_task() -> None:
    """Of diag(9, 3), 0 and diag(0, 3), of mean diag(3, 2)."""
    e = cm.explain(entries([[9.0, 0.0], [0.0, 3.0]], np.zeros((2, 2)), [[0.0, 0.0], [0.0, 3.0]]), cm.Cart(k=1), "full")
    assert [(s.task, s.kept, s.values.tolist()) for s in e.spectra if "M̄" in s.what] == [
        (0, 1, pytest.approx([6.0, 1.0])), (1, 1, pytest.approx([3.0, 2.0])), (2, 1, pytest.approx([3.0, 1.0])),
    ]  # fmt: skip


def test_what_hangs_on_rounding_but_moves_nothing_is_well_posed() -> None:
    first, second = [[1.0, 1e-5], [1.0 + 1e-5, 0.5]], [[1.0, -1e-5 * (1 - 1e-14)], [1.0, 0.5]]
    e = cm.explain(entries(first, second), cm.Ties(density=1.0), "full")
    assert np.argwhere(e.undecided).tolist() == [[0, 1]]
    assert e.verdict == "well-posed"
    assert 5e-6 < e.bound.relative < 5e-5  # the entry itself, beside a result of size 1.5
    assert "1 of 4 entries" in e.bound.discontinuity
    assert e.bound.discontinuity in e.reason  # so it is named nevertheless
    large = np.asarray(second) * [[1.0, 1e4], [1.0, 1.0]]
    assert (
        cm.explain(entries(np.asarray(first) * [[1.0, 1e4], [1.0, 1.0]], large), cm.Ties(density=1.0), "full").verdict
        == "ill-posed"
    )


@pytest.mark.parametrize("keep", ["threshold", "exact"])
def test_entries_at_the_trim_threshold(keep: str) -> None:
    def matrix(distance: float) -> list[list[float]]:
        return [[4.0, 3.0, 2.0], [1.0, 1.0 - distance, 0.5], [0.4, 0.3, 0.2]]

    density = (4 if keep == "exact" else 3) / 9
    e = cm.explain(entries(matrix(1e-15)), cm.Trim(density, keep), "full")
    # to "threshold" they are equal, and both are kept; "exact" must choose
    assert e.verdict == ("ill-posed" if keep == "exact" else "well-posed"), e.reason
    e = cm.explain(entries(matrix(1e-12)), cm.Trim(density, keep), "full")
    assert e.verdict == "well-posed"
    margin = next(m for m in e.margins if m.stage == "trim")
    assert margin.task == 0
    assert margin.value == pytest.approx(1e-12, rel=1e-3, abs=0)


def test_unscaled_knots_has_no_gap_to_cut_at() -> None:
    e = cm.explain([factors(3) for _ in range(3)], cm.Tsv(k=2), cm.Knots(scaled=False))
    assert e.verdict == "ill-posed"
    assert "singular values 2 and 3" in e.reason


def test_columns_that_are_multiples_of_each_other_are_so_until_they_are_rounded() -> None:
    """One task of two directions; float32 inputs that are off by rounding have a third, of which a whole row comes."""
    B = np.asarray([[-2.0, -1.0, 2.0], [-2.0, 2.0, 2.0], [-2.0, -1.0, 2.0]], dtype=np.float32)
    A = np.random.default_rng(0).standard_normal((3, 20)).astype(np.float32)
    method, space = [cm.IsoCts(0.04), cm.Iso()], cm.Knots(scaled=False)
    e = cm.explain([(B, A)], method, space)
    assert e.bound.verdict == "well-posed"
    assert e.input_bound.verdict == "ill-posed"
    results = [
        np.asarray(cm.merge([(B.astype(float) + np.diag([0.0, 0.0, x]), A)], method, space).to_dense())
        for x in (0.0, 1e-7)
    ]
    assert np.linalg.norm(results[1] - results[0]) > 0.1 * np.linalg.norm(results[0])


@pytest.mark.parametrize("space", [cm.Core(), cm.Core("tucker"), cm.Knots(), cm.Knots(scaled=False), "full"], ids=str)
@pytest.mark.parametrize("method", ["ties", "tsv", "cart", "karcher"])
@pytest.mark.parametrize("side", [0, 1], ids=["zeros in B", "zeros in A"])
def test_columns_that_are_zero_on_one_side_are_no_directions(side: int, method: str, space: object) -> None:
    """As ranks that are padded, or were pruned, have them: what stands on the other side of zeros is nothing."""
    pairs = []
    for t in range(3):
        B, A = np.random.default_rng(t).standard_normal((12, 4)), np.random.default_rng(9 + t).standard_normal((4, 11))
        (B.T, A)[side][2:] = 0
        pairs.append((B.astype(np.float32), A.astype(np.float32)))
    e = cm.explain(pairs, method, space)
    assert e.bound.verdict == "well-posed", e.reason
    assert e.input_bound.verdict == "well-posed", e.input_bound.reason


def test_a_duplicate_is_well_posed_as_it_is_and_ill_posed_as_something_rounded() -> None:
    one, other = (tuple(X.astype(np.float32) for X in factors(3)) for _ in range(2))
    e = cm.explain([one, other, one], "tsv")
    assert e.verdict == "well-posed"
    assert e.input_bound.verdict == "ill-posed"


def test_zero_updates_move_nothing() -> None:
    B, A = factors(2)
    e = cm.explain([(0 * B, A), (0 * B, A)], "tsv+iso")
    assert (e.verdict, e.bound.relative) == ("well-posed", 0.0)


def decaying(decades: float, n: int, rank: int, condition: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Three tasks Q S G, G⁻¹ Q' whose spectra decay, G of this condition number."""
    rng, S = np.random.default_rng(2), 10.0 ** (-decades * np.arange(rank) / (rank - 1))
    pairs = []
    for _ in range(3):
        P, Q = orthonormal(rng, rank, rank), orthonormal(rng, rank, rank)
        g = condition ** (-np.arange(rank) / (rank - 1))
        B, A = (orthonormal(rng, n, rank) * S) @ (P * g) @ Q.T, (Q / g) @ P.T @ orthonormal(rng, n, rank).T
        pairs.append((B, A))
    return pairs


@pytest.mark.parametrize("decades", [2.0, 4.0])
@pytest.mark.parametrize("method", ["drm", "iso_cts"])
def test_where_float32_answers_otherwise_than_float64_explain_says_so(method: str, decades: float) -> None:
    pairs = decaying(decades, 512, 16, 100.0)
    exact, rounded = merged(method, "core")(pairs), merged(method, "core", compute_dtype="float32")(pairs)
    assert np.linalg.norm(rounded - exact) > 0.01 * np.linalg.norm(exact)
    assert cm.explain(pairs, method).verdict == "well-posed"
    e = cm.explain(pairs, method, compute_dtype="float32")
    assert e.verdict == "ill-posed", e.reason
    assert "compute in float64" in e.bound.remedy


def test_iso_cts_in_float32_is_what_its_definition_says_with_the_zero_of_float32() -> None:
    pytest.importorskip("mpmath")
    from coremerge_ref.conformance.definition import merged as exactly

    pairs = decaying(4.0, 16, 3, 100.0)
    coarse, fine = (exactly(pairs, "iso_cts", eps=eps) for eps in (2.0**-23, 2.0**-52))
    assert np.linalg.norm(coarse - fine) > 0.5 * np.linalg.norm(
        fine
    )  # values that are zero to one and not to the other
    rounded = merged("iso_cts", "core", compute_dtype="float32")(pairs)
    assert np.linalg.norm(rounded - coarse) < np.linalg.norm(coarse - fine) / 1000


def rounded_tasks(what: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Three tasks of rank 4, 32 × 24, in float32: with one A, one B, or a copy among them, see WEIGHTS."""
    rng = np.random.default_rng(0)
    (B, A), *others = [(rng.standard_normal((32, 4)), rng.standard_normal((4, 24))) for _ in range(3)]
    pairs = {
        "one A": [(B, A), *((Y, A) for Y, _ in others)],
        "one B": [(B, A), *((B, X) for _, X in others)],
        "a copy": [(B, A), others[0], (B, A)],
        "a task of weight 0": [(B, A), *others],
        "one task of weight": [(B, A), *((Y, A) for Y, _ in others)],
        "three tasks": [(B, A), *others],
    }[what]
    return [(Y.astype(np.float32), X.astype(np.float32)) for Y, X in pairs]


KNOTS = cm.Knots()
WEIGHTS = {"a task of weight 0": [1.0, 0.0, 1.0], "one task of weight": [0.5, 0.0, 0.0]}
# (tasks, method, space): rounding adds live directions, rows, or columns, or
# finds zeros where a mask has left them
DETERMINED = [
    *[(what, "cart", space) for what in ("one A", "one B", "a copy") for space in ("core", KNOTS, "full")],
    ("one B", cm.Drm(), "core"), ("one B", cm.Drm(), KNOTS), ("one A", cm.Drm(direction="vertical"), "core"),
    ("a copy", "della+ta", KNOTS), ("one B", "della+ta", "core"), ("one A", [cm.Trim(), cm.Tsv(k=4)], "full"),
    ("one task of weight", cm.IsoCts(0.3), "full"), ("a task of weight 0", "iso_cts", "full"),
    ("a task of weight 0", "karcher+iso", "core"),
    ("three tasks", "trim+tsv", "full"), ("three tasks", "trim+tsv", KNOTS),
]  # fmt: skip
UNDETERMINED = [
    ("one A", "tsv", "core"), ("one B", "iso_cts", "core"), ("one A", cm.Drm(), "core"), ("one A", "della+ta", "core"),
    ("one A", cm.Cart(k=None, fraction=0.5), "core"), ("a copy", "tsv", KNOTS), ("one A", "ta+iso", "core"),
    ("one A", "ties", "core"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("what", "method", "space", "defined"), [(*case, case in DETERMINED) for case in (*DETERMINED, *UNDETERMINED)]
)
def test_rounded_inputs_leave_undetermined_what_they_move_and_nothing_else(
    what: str, method: object, space: object, defined: bool
) -> None:
    pairs, weights = rounded_tasks(what), WEIGHTS.get(what)
    bound = cm.explain(pairs, method, space, weights=weights).input_bound
    assert (bound.verdict == "well-posed") == defined, bound.reason
    wide = [(B.astype(np.float64), A.astype(np.float64)) for B, A in pairs]
    merge, rng = merged(method, space, weights), np.random.default_rng(1)
    base, moved = merge(wide), 0.0
    for _ in range(5):
        shaken = [tuple(X * (1 + 2.0**-24 * rng.choice([-1, 1], X.shape)) for X in pair) for pair in wide]
        moved = max(moved, float(np.linalg.norm(merge(shaken) - base) / np.linalg.norm(base)))
    assert moved <= bound.relative
    assert (moved < SENSITIVE_ABOVE) == defined


@pytest.mark.parametrize("space", [cm.Core(basis="tucker"), cm.Knots(transposed=True)], ids=str)
@pytest.mark.parametrize("decades", [0.0, 3.0, 12.0])
@pytest.mark.parametrize(("dtype", "verdict"), [("float64", "well-posed"), ("float32", "ill-posed")])
def test_columns_of_the_other_side_turn_no_rows_however_small_singular_values_they_make(
    space: object, decades: float, dtype: str, verdict: str
) -> None:
    """One A for all tasks: the rounding of float64 moves its rows by less than what counts as none. Columns of B at
    angles down to 1e-12 make singular values as small."""
    rng = np.random.default_rng(4)
    A, near = rng.standard_normal((4, 24)), np.eye(4) * 10.0 ** -np.linspace(0, decades, 4) + np.eye(4)[[0]].T
    pairs = [((rng.standard_normal((32, 4)) @ near).astype(dtype), A.astype(dtype)) for _ in range(3)]
    bound = cm.explain(pairs, "trim+ta", space).input_bound
    assert bound.verdict == verdict, bound.reason
    if verdict == "well-posed":
        merge, moves = merged("trim+ta", space), np.random.default_rng(1)
        shaken = [tuple(X * (1 + 2.0**-53 * moves.choice([-1, 1], X.shape)) for X in pair) for pair in pairs]
        assert np.linalg.norm(merge(shaken) - merge(pairs)) <= bound.relative * np.linalg.norm(merge(pairs))


@pytest.mark.parametrize(("density", "verdict"), [(0.5, "ill-posed"), (1.0, "well-posed")])
def test_a_live_size_in_doubt_matters_where_a_setting_refers_to_it(density: float, verdict: str) -> None:
    first = np.eye(4, 1)
    second = first + 2.85e-14 * np.eye(4, 1, -1)  # σ₂ of [B_1 B_2] is half of that, at the level of zero
    rows = np.asarray([[1.0, 2.0, 3.0]]), np.asarray([[3.0, -1.0, 2.0]])
    e = cm.explain([(first, rows[0]), (second, rows[1])], cm.Trim(density), "core")
    assert e.verdict == verdict
    assert ("so the live size that its setting refers to is not determined" in e.reason) == (verdict == "ill-posed")


@pytest.mark.parametrize("method", ["iso", "tsv", "tsv+iso"])
@pytest.mark.parametrize("space", ["core", "full"])
@pytest.mark.parametrize(("dtype", "decades"), [("bfloat16", 1), ("bfloat16", 4), ("float16", 6), ("float32", 8)])
def test_small_singular_values_of_adapters_made_by_an_svd_are_known_as_well_as_large_ones(
    method: str, space: str, dtype: str, decades: float
) -> None:
    """Three tasks of rank 8, 96 × 80, with columns at right angles, lengths over so many decades: rounding moves each
    singular value relative to itself, so that all are far from zero, and the bound is near what a climb finds."""
    torch = pytest.importorskip("torch")
    from benchmarks.fuzz.climbing import Case, climbed

    rng, factors = np.random.default_rng(2), []
    lengths = 10.0 ** -np.linspace(0, decades / 2, 8)
    for _ in range(3):
        P, Q = (np.linalg.qr(rng.standard_normal((n, 8)))[0] * lengths for n in (96, 80))
        factors += [torch.tensor(X).to(getattr(torch, dtype)) for X in (P, Q.T)]
    pairs = list(zip(factors[::2], factors[1::2], strict=True))
    found = cm.explain(pairs, method, space).input_bound
    assert found.verdict == ("well-posed" if dtype == "float32" else "sensitive"), found.reason
    most, bound, _ = climbed(Case(0, factors, method, space, dtype)) or (0.0, 0.0, 0.0)
    assert bound == found.relative
    assert bound / 20 < most <= bound


@pytest.mark.parametrize(("lower", "verdict"), [(1.0, "ill-posed"), (1 - 1e-15, "ill-posed"), (0.9, "well-posed")])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_equal_singular_values_leave_a_compressed_space_without_a_basis(
    lower: float, verdict: str, transposed: bool, beta: float
) -> None:
    """By structure, so that no change at random shows it: two tasks of orthonormal columns, one a thousandth of the
    other, of which one side has all of the same length."""
    rng = np.random.default_rng(0)
    pairs = []
    for size in (1.0, 1e-3):
        P, Q = (np.linalg.qr(rng.standard_normal((n, 3)))[0] for n in (3, 12))
        B, A = P * size * np.asarray([1.0, lower, lower**2]), Q.T
        pairs.append((A.T, B.T) if transposed else (B, A))
    found = cm.explain(pairs, "ties", cm.Compressed(20, beta=beta))
    assert found.estimated
    assert found.verdict == verdict, found.reason
    assert ("of the rescaled [ΔW_1" in found.reason) == (verdict == "ill-posed")
    assert cm.explain(pairs, "iso", cm.Compressed(20, beta=beta)).verdict == "well-posed"


def test_a_task_of_which_a_compressed_space_keeps_nothing_is_explained_without_a_warning() -> None:
    pairs = [(np.eye(4, 1), np.eye(1, 5)), (np.eye(4, 1, -1) / 1000, np.roll(np.eye(1, 5), 1, axis=1))]
    space = cm.Compressed(1, beta=1.0)
    assert cm.merge(pairs, "ties", space).info["kept"].tolist() == [1.0, 0.0]
    assert cm.explain(pairs, "ties", space).verdict == "well-posed"


@pytest.mark.parametrize("method", ["ties", "pcb+iso", "tsv"])
def test_a_compressed_space_of_updates_that_are_all_zero_has_an_answer_that_nothing_moves(method: str) -> None:
    zero = [(np.zeros((4, 1)), np.ones((1, 3))), (np.zeros((4, 0)), np.zeros((0, 3)))]
    found = cm.explain(zero, method, cm.Compressed(2))
    assert (found.verdict, found.bound.relative, found.input_bound.relative) == ("well-posed", 0, 0)


@pytest.mark.parametrize("seed", [0, 1, 99])
def test_where_the_merge_took_rounding_for_a_direction_relative_settings_are_not_determined(seed: int) -> None:
    """Three tasks G B A of one B of two rows that differ by 1e-6, G diagonal: all have the two rows of B A, which SVDs
    of each find up to 1e6 eps. KnOTS counts three."""
    rng = np.random.default_rng(seed)
    B, A = rng.standard_normal((2, 3)), rng.standard_normal((3, 8))
    B[1] = B[0] + 1e-6 * B[1]
    updates = [(np.diag(scales) @ B, A) for scales in ([1.0, 1.0], [4.0, 1 / 8], [-1 / 4, 2.0])]
    space = cm.Knots(transposed=True)
    assert int(cm.reference_bases(updates, space).cols) == 3
    found = cm.explain(updates, "trim+ta", space)
    assert found.verdict == "ill-posed"
    assert "the live size that its setting refers to is not determined" in found.reason
