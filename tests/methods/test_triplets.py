"""Triplets of all tasks side by side."""

import numpy as np
from backends import Backend

from coremerge_ref.methods._triplets import block_diagonal


def test_blocks_stand_on_the_diagonal_of_zeros(backend: Backend) -> None:
    blocks = [backend.array([[1.0, 2.0], [3.0, 4.0]]), backend.array([[5.0]])]
    assert backend.host(block_diagonal(blocks)).tolist() == [[1, 2, 0], [3, 4, 0], [0, 0, 5]]


def test_blocks_of_a_batch_stand_on_the_diagonals_of_each_layer(backend: Backend) -> None:
    first, second = np.arange(8.0).reshape(2, 2, 2), np.asarray([[[8.0]], [[9.0]]])
    found = backend.host(block_diagonal([backend.array(first), backend.array(second)]))
    for i, layer in enumerate(found):
        assert layer[:2, :2].tolist() == first[i].tolist()
        assert layer[2].tolist() == [0, 0, second[i, 0, 0]]
        assert layer[:, 2].tolist() == [0, 0, second[i, 0, 0]]
