"""The definition's SVD where it is known: matrices without rows or columns, of zeros, and of orthogonal columns."""

import pytest
from mpmath import mp

from coremerge_ref.conformance.definition import svd


def shape(matrix: mp.matrix) -> tuple[int, int]:
    return matrix.rows, matrix.cols


@pytest.mark.parametrize(("m", "n"), [(3, 0), (0, 2), (0, 0)])
def test_a_matrix_without_entries_has_no_singular_values_and_keeps_its_sizes(m: int, n: int) -> None:
    p, values, q = svd(mp.matrix(m, n))
    assert (shape(p), values, shape(q)) == ((m, 0), [], (n, 0))


@pytest.mark.parametrize(("m", "n"), [(3, 2), (2, 3), (1, 1)])
def test_a_matrix_of_zeros_has_orthonormal_directions_and_zeros(m: int, n: int) -> None:
    p, values, q = svd(mp.matrix(m, n))
    d = min(m, n)
    assert (shape(p), shape(q), values) == ((m, d), (n, d), [0] * d)
    for side in (p, q):
        assert side.T * side == mp.eye(d)


@pytest.mark.parametrize("upright", [True, False])
def test_left_and_right_are_not_confused(upright: bool) -> None:
    tall = mp.matrix([[0, 2], [0, 0], [3, 0]])
    p, values, q = svd(tall if upright else tall.T)
    long, short = (p, q) if upright else (q, p)
    assert values == [3, 2]
    assert long.apply(abs) == mp.matrix([[0, 1], [0, 0], [1, 0]])
    assert short.apply(abs) == mp.matrix([[1, 0], [0, 1]])
