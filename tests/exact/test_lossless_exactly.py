"""The library's frames, cores and merges held against rational arithmetic, on numbers that adapters hold.

Every float is a rational, so what the library returns is an exact matrix, and how far it is from the exact answer is an
exact number. The orthogonal projector on the columns of a stack needs no SVD: P = C (CᵀC)⁻¹ Cᵀ for any columns C of the
stack that are independent and as many as its rank. The theorems hold with == for these projectors.
"""

from fractions import Fraction
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.adapters import Adapter
from coremerge_ref.testing import THRESHOLD

flint = pytest.importorskip("flint")
Matrix = "flint.fmpq_mat"

DATA = Path(cm.__file__).parent / "demo" / "data" / "adapters"
NARROW = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32}


def exactly(X: np.ndarray) -> Matrix:
    """X as rationals, nothing rounded."""
    entries = [Fraction(float(x)) for x in np.asarray(X).ravel()]
    return flint.fmpq_mat(X.shape[0], X.shape[1], [flint.fmpq(e.numerator, e.denominator) for e in entries])


def beside(*blocks: Matrix) -> Matrix:
    rows = [[X[i, j] for X in blocks for j in range(X.ncols())] for i in range(blocks[0].nrows())]
    return flint.fmpq_mat(len(rows), len(rows[0]), [x for row in rows for x in row])


def independent(X: Matrix) -> Matrix:
    """As many columns of X as its rank, independent: those with a pivot in its reduced row echelon form."""
    R, rank = X.rref()
    pivots = [next(j for j in range(R.ncols()) if R[i, j] != 0) for i in range(rank)]
    return flint.fmpq_mat(X.nrows(), rank, [X[i, j] for i in range(X.nrows()) for j in pivots])


def projector(*blocks: Matrix) -> Matrix:
    """The orthogonal projector on the columns of all blocks."""
    C = independent(beside(*blocks))
    return C * (C.transpose() * C).inv() * C.transpose()


def trained(layer: str, tasks: int, rows: int = 12) -> list[tuple[np.ndarray, np.ndarray]]:
    """Factors of adapters that were trained, the first rows and columns of them."""
    made = []
    for path in sorted(DATA.iterdir())[:tasks]:
        adapter = Adapter(path)
        name = next(name for name, module in adapter.modules.items() if module.path == layer)
        update = adapter.load([name])[name]
        made.append((update.B[:rows] / 2, update.A[:, : rows - 2]))
    return made


def random(dtype: str, ranks: tuple[int, ...], m: int = 9, n: int = 8) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(len(dtype))
    return [
        (rng.standard_normal((m, r)).astype(NARROW[dtype]), rng.standard_normal((r, n)).astype(NARROW[dtype]))
        for r in ranks
    ]


def rank(X: Matrix) -> int:
    return int(X.rref()[1])


CASES = {
    "trained float16 adapters": lambda: trained("blocks.0.q", 2),
    "trained, more ranks than rows": lambda: trained("blocks.1.v", 4),
    "bfloat16, ranks 1 to 3": lambda: random("bfloat16", (1, 2, 3)),
    "float16": lambda: random("float16", (3, 3)),
    "float32": lambda: random("float32", (2, 2)),
    "more ranks than rows and columns": lambda: random("bfloat16", (4, 4, 4)),
    "duplicated": lambda: random("float16", (2, 3)) + random("float16", (2, 3))[:1],
    "zero B": lambda: [*random("float16", (2, 2)), (np.zeros((9, 2), np.float16), random("float16", (2,))[0][1])],
    "all zero but one": lambda: [
        random("float16", (2,))[0],
        (np.zeros((9, 1), np.float16), np.zeros((1, 8), np.float16)),
    ],
    "one task": lambda: random("bfloat16", (3,)),
}


@pytest.fixture(params=CASES, scope="module")
def floats(request: pytest.FixtureRequest) -> list[tuple[np.ndarray, np.ndarray]]:
    return CASES[request.param]()


@pytest.fixture(scope="module")
def factors(floats: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[Matrix, Matrix]]:
    return [(exactly(B), exactly(A)) for B, A in floats]


@pytest.fixture(scope="module")
def projectors(factors: list[tuple[Matrix, Matrix]]) -> tuple[Matrix, Matrix]:
    return projector(*[B for B, _ in factors]), projector(*[A.transpose() for _, A in factors])


def size(X: Matrix) -> "flint.fmpq":
    """‖X‖², exactly."""
    return sum((x * x for x in X.entries()), flint.fmpq(0))


def within(error: Matrix, unit: float, eps: float = 2.0**-52) -> bool:
    """‖error‖ ≤ THRESHOLD eps unit, decided in rationals."""
    return size(error) <= flint.fmpq(*Fraction(THRESHOLD * eps * unit).as_integer_ratio()) ** 2


def norms(floats: list[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    return [float(np.linalg.norm(B.astype(float)) * np.linalg.norm(A.astype(float))) for B, A in floats]


# ---- what the library returns ------------------------------------------------------------------------------------
def test_the_librarys_frames_span_what_the_exact_projectors_do(
    floats: list[tuple[np.ndarray, np.ndarray]], projectors: tuple[Matrix, Matrix]
) -> None:
    bases = cm.reference_bases(floats)
    for frame, live, P in ((bases.U, bases.rows, projectors[0]), (bases.V, bases.cols, projectors[1])):
        assert int(live) == rank(P)
        U = exactly(frame)
        identity = exactly(np.diag((np.arange(frame.shape[1]) < int(live)).astype(float)))
        assert within(U.transpose() * U - identity, 1.0)
        # how well the span is known: by the smallest direction that is there, of a stack of columns of norm 1
        columns = np.concatenate([B if frame is bases.U else A.T for B, A in floats], axis=1).astype(float)
        columns = columns[:, np.any(columns, axis=0)]
        values = np.linalg.svd(columns / np.linalg.norm(columns, axis=0), compute_uv=False)
        assert within(U * U.transpose() - P, float(values[0] / values[int(live) - 1]))


def test_the_librarys_cores_are_the_exact_ones_in_its_frames(floats: list[tuple[np.ndarray, np.ndarray]]) -> None:
    bases = cm.reference_bases(floats)
    U, V = exactly(bases.U), exactly(bases.V)
    for M, (B, A), unit in zip(cm.project(floats, bases), floats, norms(floats), strict=True):
        assert within(exactly(M) - U.transpose() * (exactly(B) * exactly(A)) * V, unit)


@pytest.mark.parametrize("space", ["core", "knots", "full", cm.Core("tucker"), cm.Knots(transposed=True)], ids=str)
def test_the_librarys_projection_is_lossless(floats: list[tuple[np.ndarray, np.ndarray]], space: object) -> None:
    bases = cm.reference_bases(floats, space)
    for (B, A), unit in zip(floats, norms(floats), strict=True):
        delta = exactly(B) * exactly(A)
        back = delta
        if bases.U is not None:
            back = exactly(bases.U) * (exactly(bases.U).transpose() * back)
        if bases.V is not None:
            back = back * exactly(bases.V) * exactly(bases.V).transpose()
        assert within(back - delta, unit)


@pytest.mark.parametrize("space", ["core", "knots", "full", cm.Core("tucker"), cm.Knots(scaled=False)], ids=str)
def test_the_librarys_linear_merges_are_the_exact_sums(
    floats: list[tuple[np.ndarray, np.ndarray]], factors: list[tuple[Matrix, Matrix]], space: object
) -> None:
    weights = [(-1) ** t * (t + 1) / 4 for t in range(len(floats))]
    merged = cm.merge(floats, "ta", space, weights=weights, scale=0.5, out_dtype="float64")
    returned = exactly(merged.B) * exactly(merged.A)
    exact = returned * 0
    for w, (B, A) in zip(weights, factors, strict=True):
        exact = exact + B * A * flint.fmpq(*Fraction(w / 2).as_integer_ratio())
    assert within(returned - exact, sum(abs(w) * unit for w, unit in zip(weights, norms(floats), strict=True)))


@pytest.mark.parametrize("elect", ["mass", "count"])
@pytest.mark.parametrize("density", [0.2, 0.5, 1.0])
def test_the_librarys_ties_is_the_exact_one_entry_by_entry(density: float, elect: str) -> None:
    """In full space TIES takes no frame. On small whole numbers its values are whole, or thirds, and it may not err."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        tasks = [(np.eye(4), rng.integers(-9, 10, (4, 5)).astype(float)) for _ in range(3)]
        merged = cm.merge(tasks, cm.Ties(density=density, elect=elect), "full").to_dense()
        exact = exact_ties([[[Fraction(int(x)) for x in row] for row in A] for _, A in tasks], density, elect)
        assert merged.tolist() == [[float(x) for x in row] for row in exact]


def exact_ties(tasks: list[list[list[Fraction]]], density: float, elect: str) -> list[list[Fraction]]:
    """The definition for the paper's choices: int(d · density) + 1 largest and all equals, majority for zero sums."""
    rows, columns = len(tasks[0]), len(tasks[0][0])
    kept = []
    for M in tasks:
        sizes = sorted((abs(x) for row in M for x in row), reverse=True)
        cut = sizes[min(int(len(sizes) * density), len(sizes) - 1)]
        kept.append([[x if abs(x) >= cut else Fraction(0) for x in row] for row in M])

    def sign(x: Fraction) -> int:
        return (x > 0) - (x < 0)

    def vote(i: int, j: int) -> int:
        return sign(sum((sign(M[i][j]) if elect == "count" else M[i][j]) for M in kept))

    elected = [[vote(i, j) for j in range(columns)] for i in range(rows)]
    majority = 1 if sum(map(sum, elected)) > 0 else -1
    result = []
    for i in range(rows):
        result.append([])
        for j in range(columns):
            agreeing = [M[i][j] for M in kept if sign(M[i][j]) == (elected[i][j] or majority)]
            result[-1].append(sum(agreeing, Fraction(0)) / max(len(agreeing), 1))
    return result


# ---- the theorems, with == ---------------------------------------------------------------------------------------
def test_they_are_orthogonal_projectors(projectors: tuple[Matrix, Matrix]) -> None:
    for P in projectors:
        assert P * P == P
        assert P.transpose() == P


def test_projection_is_lossless(factors: list[tuple[Matrix, Matrix]], projectors: tuple[Matrix, Matrix]) -> None:
    P, Q = projectors
    assert all(P * (B * A) * Q == B * A for B, A in factors)


def test_linear_merges_agree(factors: list[tuple[Matrix, Matrix]], projectors: tuple[Matrix, Matrix]) -> None:
    P, Q = projectors
    weights = [flint.fmpq((-1) ** t * (t + 1), 3) for t in range(len(factors))]
    zero = factors[0][0] * factors[0][1] * 0
    plain, projected = zero, zero
    for w, (B, A) in zip(weights, factors, strict=True):
        plain, projected = plain + B * A * w, projected + P * (B * A) * Q * w
    assert projected == plain


def test_alignment_error_is_zero_exactly_where_the_columns_are_inside(factors: list[tuple[Matrix, Matrix]]) -> None:
    """Lemmas 1 and 2: ‖P P_t − P_t‖² = r_t − tr(P P_t), P_t the projector of task t; 0 iff its columns are inside."""
    first = projector(factors[0][0])
    for B, _ in factors:
        if rank(B) == 0:
            continue
        own = projector(B)
        missing = first * own - own
        error = sum((x * x for x in missing.entries()), flint.fmpq(0))
        trace = first * own
        assert error == rank(B) - sum((trace[i, i] for i in range(trace.nrows())), flint.fmpq(0))
        inside = rank(beside(factors[0][0], B)) == rank(factors[0][0])
        assert (error == 0) == inside


def test_the_reference_frame_is_the_smallest_lossless_one(
    factors: list[tuple[Matrix, Matrix]], projectors: tuple[Matrix, Matrix]
) -> None:
    stack = beside(*[B for B, _ in factors])
    P, _ = projectors
    C = independent(stack)
    assert rank(P) == C.ncols() == rank(stack)
    for left_out in range(C.ncols()):  # a frame with one column fewer loses some task's columns
        kept = [j for j in range(C.ncols()) if j != left_out]
        if not kept:
            continue
        fewer = projector(flint.fmpq_mat(C.nrows(), len(kept), [C[i, j] for i in range(C.nrows()) for j in kept]))
        assert any(fewer * B != B for B, _ in factors)


def test_ties_in_two_bases_differs() -> None:
    """The smallest counterexample: two 1 × 2 updates, a rotation by the 3-4-5 triangle."""
    G = flint.fmpq_mat(2, 2, [flint.fmpq(x, 5) for x in (3, -4, 4, 3)])
    assert G.transpose() * G == flint.fmpq_mat(2, 2, [1, 0, 0, 1])
    tasks = [flint.fmpq_mat(1, 2, [2, 1]), flint.fmpq_mat(1, 2, [1, -3])]

    def ties(stack: list[Matrix]) -> Matrix:
        made = []
        for j in range(2):
            column = [M[0, j] for M in stack]
            elected = [x for x in column if x * sum(column, flint.fmpq(0)) > 0]
            made.append(sum(elected, flint.fmpq(0)) / max(len(elected), 1))
        return flint.fmpq_mat(1, 2, made)

    here, there = ties(tasks), ties([M * G for M in tasks]) * G.transpose()
    assert here != there
    floats = [(np.eye(1), np.asarray([[float(M[0, 0].p), float(M[0, 1].p)]])) for M in tasks]
    computed = cm.merge(floats, cm.Ties(density=1.0), "full").to_dense()
    assert [flint.fmpq(*Fraction(float(x)).as_integer_ratio()) for x in computed[0]] == here.entries()
