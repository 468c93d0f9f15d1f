"""Signs, roots, polar factors and counts of singular values in balls: they hold what is known, or say they cannot."""

from collections.abc import Iterator, Sequence
from fractions import Fraction as F
from typing import Any

import pytest

from coremerge_ref.analysis import balls

flint = pytest.importorskip("flint")

# orthonormal columns, in rationals
TURN = [[F(2, 3), F(-2, 3), F(1, 3)], [F(1, 3), F(2, 3), F(2, 3)], [F(2, 3), F(1, 3), F(-2, 3)]]


@pytest.fixture(autouse=True)
def bits() -> Iterator[None]:
    before, flint.ctx.prec = flint.ctx.prec, 1280  # enough for values of many sizes
    yield
    flint.ctx.prec = before


def number(x: Any) -> Any:
    return flint.arb(flint.fmpq(F(x).numerator, F(x).denominator))


def turned(values: Sequence[Any], left: Any = TURN, right: Any = TURN) -> balls.Balls:
    """left diag(values) rightᵀ."""
    rows = [[sum(r[k] * F(v) * c[k] for k, v in enumerate(values)) for c in right] for r in left]
    return balls.matrix([[number(x) for x in row] for row in rows])


def holds(found: balls.Balls, expected: balls.Balls) -> bool:
    """Whether the exact numbers lie inside, and the balls are small."""
    assert all(float(x.rad()) < 2.0**-100 for x in found.entries())
    return all(x.overlaps(y) for x, y in zip(found.entries(), expected.entries(), strict=True))


@pytest.mark.parametrize("values", [(3, -2, 1), (1, 1, -1), (-4, -5, -6), (2**30, -1, F(1, 1000))])
def test_a_sign_has_the_eigenvectors_of_its_matrix(values: tuple[Any, ...]) -> None:
    assert holds(balls.sign(turned(values)), turned([1 if x > 0 else -1 for x in values]))


@pytest.mark.parametrize("values", [(4, 9, F(1, 4)), (1, 1, 1), (F(1, 2**20), 4**10, 1)])
def test_an_inverse_root_is_one(values: tuple[Any, ...]) -> None:
    roots = {4: F(1, 2), 9: F(1, 3), F(1, 4): 2, 1: 1, F(1, 2**20): 2**10, 4**10: F(1, 2**10)}
    assert holds(balls.inverse_root(turned(values)), turned([roots[x] for x in values]))


def slightly_turned(values: Sequence[Any], t: F) -> tuple[balls.Balls, list[list[Any]]]:
    """The symmetric matrix of these values in balls that hold the same one with its first two axes turned by about 2 t,
    in rationals, and those axes."""
    c, s = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    columns = [[c * row[0] + s * row[1], c * row[1] - s * row[0], row[2]] for row in TURN]
    plain, moved = turned(values), turned(values, columns, columns)
    return balls.widened(plain, balls.frobenius(plain - moved)), columns


@pytest.mark.parametrize("t", [F(1, 2**30), F(1, 2**200)])
@pytest.mark.parametrize("values", [(3, -2, 1), (1, F(-1, 2**8), 1), (F(1, 16), -1, -1)])
def test_a_sign_in_balls_holds_those_of_all_matrices_in_them(values: tuple[Any, ...], t: F) -> None:
    """And is no wider than theory has it: ZH − HZ of an orthogonal Z is up to 6 √3 ρ, H⁻¹ up to √3 over the smallest
    value, and half of their product is 9 of ρ over that."""
    H, columns = slightly_turned(values, t)
    found = balls.sign(H)
    signs = [1 if x > 0 else -1 for x in values]
    for inside in (turned(signs), turned(signs, columns, columns)):
        assert all(x.contains(y.mid()) for x, y in zip(found.entries(), inside.entries(), strict=True))
    assert balls.radius(found) < 9.01 * balls.radius(H) / number(min(map(abs, values)))


@pytest.mark.parametrize("t", [F(1, 2**30), F(1, 2**200)])
@pytest.mark.parametrize("values", [(4, 9, F(1, 4)), (F(1, 4), 4, 1)])
def test_an_inverse_root_in_balls_holds_those_of_all_matrices_in_them(values: tuple[Any, ...], t: F) -> None:
    """Z E Z of errors up to ρ is up to 3 ρ ‖Z‖², and the root is off by ‖Z‖ times that."""
    roots = {4: F(1, 2), 9: F(1, 3), F(1, 4): 2, 1: 1}
    G, columns = slightly_turned(values, t)
    found = balls.inverse_root(G)
    expected = [roots[x] for x in values]
    for inside in (turned(expected), turned(expected, columns, columns)):
        assert all(x.contains(y.mid()) for x, y in zip(found.entries(), inside.entries(), strict=True))
    assert balls.radius(found) < 3.01 * balls.radius(G) * float(sum(x * x for x in expected)) ** 1.5


def test_balls_that_reach_a_singular_matrix_have_no_sign_and_no_root() -> None:
    wide = balls.widened(turned((3, 2, F(1, 100))), number(F(1, 50)))
    with pytest.raises(balls.Uncertain):
        balls.sign(wide)
    with pytest.raises(balls.Uncertain):
        balls.inverse_root(wide)


def test_a_polar_factor_is_over_the_singular_values_above_the_cut() -> None:
    other = [TURN[1], TURN[2], TURN[0]]
    """A cut relative to the largest."""
    for values, kept in (
        ((3, 2, 1), (1, 1, 1)),
        ((3, 2, F(1, 2**30)), (1, 1, 0)),
        ((3, F(1, 2**20), 0), (1, 0, 0)),
        ((2**12, F(1, 2**3), F(1, 2**10)), (1, 1, 0)),
        ((F(1, 2**12), F(1, 2**20), F(1, 2**30)), (1, 1, 0)),
    ):
        assert holds(balls.polar(turned(values, TURN, other), 2.0**-16), turned(kept, TURN, other))
    assert holds(balls.rotation(turned((3, 2, 1), TURN, other)), turned((1, 1, 1), TURN, other))


@pytest.mark.parametrize(("cut", "count"), [(4, 0), (2.5, 1), (1.5, 2), (2.0**-10, 3), (2.0**-30, 3)])
def test_singular_values_above_a_cut_are_counted_and_projected_on(cut: float, count: int) -> None:
    X = turned((3, 2, F(1, 100)))
    assert balls.how_many_above(X, cut) == count
    assert holds(balls.above(X, cut, count), turned([1] * count + [0] * (3 - count)))
    with pytest.raises(balls.Uncertain, match=f"expected {count + 1} singular values"):
        balls.above(X, cut, count + 1)


@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_leading_triplets_are_those_above_the_level_alone(k: int) -> None:
    values, other = (5, 3, F(1, 2**30)), [TURN[1], TURN[2], TURN[0]]
    for level, live in ((2.0**-20, 2), (2.0**-40, 3)):
        kept = min(k, live)
        P, L, Q = balls.leading(turned(values, TURN, other), k, level)
        assert (P.ncols(), L.nrows(), Q.ncols()) == (kept, kept, kept)
        assert holds(P * L * Q.transpose(), turned([*values[:kept], *[0] * (3 - kept)], TURN, other))
        for side in (P, Q):
            assert holds(side.transpose() * side, balls.eye(kept))
    assert balls.leading(turned(values), k, 6.0) is None
    assert balls.leading(turned((0, 0, 0)), k, 0.0) is None


def test_what_balls_cannot_tell_is_said() -> None:
    at_the_cut = balls.diagonal([balls.matrix([[number(x)]]) for x in (3, 2)])
    with pytest.raises(balls.Uncertain, match="too near"):
        balls.how_many_above(at_the_cut, 2.0)
    with pytest.raises(balls.Uncertain, match="cut"):
        balls.sign(balls.diagonal([balls.matrix([[number(x)]]) for x in (3, 0)]))
    with pytest.raises(balls.Uncertain, match="cut"):
        balls.inverse(turned((1, 1, 0)))
    for values in ((1, 1, 0), (2, 1, -1)):
        with pytest.raises(balls.Uncertain, match="positive definite"):
            balls.cholesky(turned(values))
    with pytest.raises(balls.Uncertain, match="positive definite"):
        balls.cholesky(balls.matrix([[number(0)]]))
    L = balls.cholesky(turned((3, 2, 1)))
    assert holds(L * L.transpose(), turned((3, 2, 1)))
    assert [L[i, j].is_zero() for i, j in ((0, 1), (0, 2), (1, 2))] == [True] * 3


# ---- iterations --------------------------------------------------------------------------------------------------
def run(errors: Sequence[float]) -> tuple[int, float]:
    """Which step's state is taken, and its error; the last goes on."""
    state, error = balls._converged(lambda i: (i + 1, balls.exactly(errors[min(i, len(errors) - 1)])), 0)
    return state, float(error)


def test_of_an_iteration_the_state_of_the_smallest_error_is_taken() -> None:
    small = balls.CLOSE / 4
    assert run([3.0, 1.5, 0.9, 0.1, 2e-3, small, small]) == (6, small)
    assert run([0.5, small, small / 2, small]) == (3, small / 2)
    assert run([*[5.0] * 300, 0.6, 1e-9, small, 1.0]) == (303, small)
    assert run([0.7, 0.8, 0.6, small, small]) == (4, small)  # it may grow before it is below a half


@pytest.mark.parametrize("errors", [[0.1, balls.CLOSE * 2], [0.4, 0.4], [0.9], [7.0], [*[5.0] * 500, 0.0]])
def test_an_iteration_that_does_not_come_close_is_uncertain(errors: list[float]) -> None:
    with pytest.raises(balls.Uncertain, match="cut"):
        run(errors)
