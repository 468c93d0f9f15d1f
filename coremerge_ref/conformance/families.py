"""Inputs of the cases: families of updates, deterministic, on grids fine enough that every product B A is exact.

A family is a list of (B (m, r), A (r, n), scale). Stacks have prescribed singular values (up to the rounding to the
grid), or are exact: orthonormal frames with entries 0, ±1/2, ±1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

M, N = 10, 8
Update = tuple[np.ndarray, np.ndarray, float]
SCALES = (2.0, 0.5, 1.5, 1.0, 0.75, 1.25, 0.5, 2.0, 1.0, 1.5, 0.5, 1.0)


def grid(x: np.ndarray, bits: int = 20) -> np.ndarray:
    """Nearest multiple of 2^-bits: differences between linear-algebra libraries vanish, products become exact."""
    return np.round(x * 2.0**bits) / 2.0**bits


def stack(rng: np.random.Generator, rows: int, cols: int, top: float = 2.0, bottom: float = 0.6) -> np.ndarray:
    """(rows, cols) matrix with singular values evenly spaced from top to bottom."""
    d = min(rows, cols)
    p = np.linalg.qr(rng.standard_normal((rows, d)))[0]
    w = np.linalg.qr(rng.standard_normal((cols, d)))[0]
    return (p * np.linspace(top, bottom, d)) @ w.T


def random_updates(seed: int, ranks: tuple[int, ...], m: int = M, n: int = N, bits: int = 20) -> list[Update]:
    """Tasks of the given ranks cut out of two stacks with prescribed spectra."""
    rng = np.random.default_rng(seed)
    total = sum(ranks)
    b, a = grid(stack(rng, m, total), bits), grid(stack(rng, n, total).T, bits)
    ends = np.cumsum(ranks)
    return [
        (b[:, e - r : e].copy(), a[e - r : e].copy(), SCALES[t])
        for t, (r, e) in enumerate(zip(ranks, ends, strict=True))
    ]


def hadamard_frame(rows: int) -> np.ndarray:
    """(rows, 4) exactly orthonormal columns with entries 0 and ±1/2."""
    h = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
    return np.vstack([np.zeros((1, 4)), h, np.zeros((rows - 5, 4))])


def stack_gap(gap: float) -> list[Update]:
    """Two tasks; the left stack has singular values 2, 1 + gap, 1, 1/2 exactly."""
    h = 2 * hadamard_frame(5)[1:] / 2
    b = (hadamard_frame(M) * np.array([2, 1 + gap, 1, 0.5])) @ h
    a = grid(stack(np.random.default_rng(71), N, 4).T)
    return [(b[:, :2], a[:2], 1.0), (b[:, 2:], a[2:], 1.0)]


def task_gap(gap: float) -> list[Update]:
    """Two tasks; task 0 has singular values 2, 1 + gap, 1 exactly, in two exact frames."""
    p, q = hadamard_frame(M)[:, :3], hadamard_frame(N)[:, :3]
    return [(p * np.array([2, 1 + gap, 1]), q.T.copy(), 1.0), (*random_updates(72, (3,))[0][:2], 1.0)]


def _deficient() -> list[Update]:
    """The third task's columns and rows are small-integer combinations of the first two's."""
    (b0, a0, s0), (b1, a1, s1), _ = random_updates(14, (2, 2, 2))
    b = b0 @ np.array([[1, 2], [0, 1]]) + b1 @ np.array([[1, 0], [-1, 1]])
    a = np.array([[1, 0], [1, -1]]) @ a0 + np.array([[0, 1], [2, 1]]) @ a1
    return [(b0, a0, s0), (b1, a1, s1), (b, a, 0.5)]


def _vera() -> list[Update]:
    """diag(λ_b) B diag(λ_d) A: all tasks share A, so one row space; B shared too."""
    rng = np.random.default_rng(19)
    b, a = grid(stack(rng, M, 3), 12), grid(stack(rng, N, 3).T, 14)
    out = []
    for _ in range(3):
        lb, ld = grid(rng.uniform(0.4, 1.6, M), 5), grid(rng.uniform(0.4, 1.6, 3), 5)
        out.append((lb[:, None] * b * ld, a.copy(), 1.0))
    return out


def _opposite() -> list[Update]:
    """W, -W and a third: the first two cancel exactly."""
    (b0, a0, _), (b1, a1, _) = random_updates(23, (2, 2))
    return [(b0, a0, 1.0), (-b0, a0.copy(), 1.0), (b1, a1, 1.0)]


def _graded() -> list[Update]:
    """[B_1 B_2] has singular values of about 1, 1e-4, 1e-7 and 1e-10, although its columns are of like length."""
    rng = np.random.default_rng(81)
    p, w = np.linalg.qr(rng.standard_normal((M, 4)))[0], hadamard_frame(5)[1:]
    b = grid((p * np.array([1, 1e-4, 1e-7, 1e-10])) @ w.T, 40)
    a = grid(stack(rng, N, 4).T, 10)
    return [(b[:, :2].copy(), a[:2].copy(), 1.0), (b[:, 2:].copy(), a[2:].copy(), 2.0)]


def _parallel() -> list[Update]:
    """The leading directions of two tasks are 2^-20 apart on both sides: small, but real."""
    p, q = hadamard_frame(M), hadamard_frame(N)
    b = np.array([[2.0, 0, 2, 0], [0, 0, 2.0**-19, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    a = np.array([[1.0, 0, 1, 0], [0, 0, 2.0**-20, 0], [0, 0, 0, 1], [0, 1, 0, 0]])
    return [(p @ b[:, :2], (q @ a[:, :2]).T.copy(), 1.0), (p @ b[:, 2:], (q @ a[:, 2:]).T.copy(), 1.5)]


def _layers() -> list[Update]:
    """Three layers of a model, each four times as large as the one before."""
    layers = [_times(random_updates(seed, (2, 2, 2)), 2.0**i, 2.0**i) for i, seed in enumerate((51, 52, 53))]
    return [(np.stack([u[0] for u in us]), np.stack([u[1] for u in us]), us[0][2]) for us in zip(*layers, strict=True)]


def _cast(updates: list[Update], dtype: Any) -> list[Update]:
    return [(b.astype(dtype), a.astype(dtype), s) for b, a, s in updates]


def _times(updates: list[Update], left: float, right: float) -> list[Update]:
    return [(b * left, a * right, s) for b, a, s in updates]


def _bfloat16() -> list[Update]:
    import ml_dtypes

    return _cast(random_updates(33, (2, 2, 2)), ml_dtypes.bfloat16)


def _batch() -> list[Update]:
    layers = [random_updates(seed, (2, 2, 2)) for seed in (41, 42)]
    return [(np.stack([u[0] for u in us]), np.stack([u[1] for u in us]), us[0][2]) for us in zip(*layers, strict=True)]


def _outer(vectors: Sequence[Sequence[float]]) -> list[Update]:
    """Tasks 1 × d given entry by entry."""
    return [(np.ones((1, 1)), np.array([v], dtype=np.float64), 1.0) for v in vectors]


FAMILIES: dict[str, tuple[str, Callable[[], list[Update]]]] = {
    "generic": ("three tasks of rank 2, R below both sizes", lambda: random_updates(11, (2, 2, 2))),
    "hetero": ("ranks 1, 2, 4", lambda: random_updates(12, (1, 2, 4))),
    "overfull": ("ranks 4, 4, 3: R above both sizes", lambda: random_updates(13, (4, 4, 3))),
    "deficient": ("the third task lies in the span of the others on both sides", _deficient),
    "duplicated": (
        "the first two tasks are the same adapter",
        lambda: [(b.copy(), a.copy(), 1.0) for t in (0, 0, 1) for b, a, _ in [random_updates(15, (2, 2))[t]]],
    ),
    "zero_b": (
        "the second task has B = 0, as every LoRA starts",
        lambda: [(b * (t != 1), a, s) for t, (b, a, s) in enumerate(random_updates(16, (2, 2, 2)))],
    ),
    "single": ("one task of rank 3", lambda: random_updates(17, (3,))),
    "rank0": (
        "the second task has rank 0: B (m, 0), A (0, n)",
        lambda: [(b[:, : r], a[:r], s) for r, (b, a, s) in zip((2, 0, 2), random_updates(18, (2, 1, 2)), strict=True)],
    ),
    "vera": ("tasks share A and B up to diagonals (VeRA): one common row space", _vera),
    "opposite": ("W, -W and a third task: exact cancellation", _opposite),
    "mixed": ("task 1 is 2^-12 times smaller than task 0", lambda: [
        (b * 2.0 ** (-6 * t), a * 2.0 ** (-6 * t), s) for t, (b, a, s) in enumerate(random_updates(24, (2, 2)))]),
    "rescaled": ("(c B, A / c) with c = 1, 2^6, 2^-6: another factorization of ordinary matrices", lambda: [
        (b * c, a / c, s) for c, (b, a, s) in zip((1.0, 64.0, 1 / 64), random_updates(25, (2, 2, 2)), strict=True)]),
    "huge": ("B times 2^498, about 1e150", lambda: _times(random_updates(26, (2, 2, 2)), 2.0**498, 1.0)),
    "tiny": ("B times 2^-498, about 1e-150", lambda: _times(random_updates(27, (2, 2, 2)), 2.0**-498, 1.0)),
    "balanced": ("B times 2^498, A times 2^-498", lambda: _times(random_updates(28, (2, 2, 2)), 2.0**498, 2.0**-498)),
    "denormal": (
        "B subnormal (multiples of 2^-1050), A times 2^500",
        lambda: _times(random_updates(29, (2, 2, 2)), 2.0**-1030, 2.0**500),
    ),
    "float32": ("float32 arrays", lambda: _cast(random_updates(31, (2, 2, 2)), np.float32)),
    "float16": ("float16 arrays", lambda: _cast(random_updates(32, (2, 2, 2), bits=8), np.float16)),
    "bfloat16": ("bfloat16 arrays", _bfloat16),
    "near_stack": ("relative gap 2^-21 in the left stack's spectrum", lambda: stack_gap(2.0**-20)),
    "tie_stack": ("the left stack has a singular value twice: its basis is not determined", lambda: stack_gap(0.0)),
    "near_task": ("task 0 has singular values 2, 1 + 2^-20, 1", lambda: task_gap(2.0**-20)),
    "tie_task": ("task 0 has singular values 2, 1, 1", lambda: task_gap(0.0)),
    "square": ("7 × 7", lambda: random_updates(39, (2, 2), 7, 7)),
    "wide": ("5 × 16", lambda: random_updates(34, (2, 2), 5, 16)),
    "tall": ("16 × 5", lambda: random_updates(35, (2, 2), 16, 5)),
    "row": ("1 × 9", lambda: random_updates(36, (1, 1, 1), 1, 9)),
    "column": ("9 × 1", lambda: random_updates(37, (1, 1, 1), 9, 1)),
    "many": ("twelve tasks of rank 1: more tasks than directions", lambda: random_updates(38, (1,) * 12)),
    "forty-nine": (
        "49 tasks c_t e_t e_tᵀ, float16: 49 · (1 / 49) < 1 in floating point",
        lambda: [
            ((1 + t % 7) * np.eye(49, 1, -t, dtype=np.float16), np.eye(1, 49, t, dtype=np.float16), 1.0)
            for t in range(49)
        ],
    ),
    "nothing": ("two tasks of rank 0", lambda: [(np.zeros((4, 0)), np.zeros((0, 3)), 1.0) for _ in range(2)]),
    "all_zero": (
        "every B is zero",
        lambda: [(b * 0, a, s) for b, a, s in random_updates(40, (1, 2), 6, 5)],
    ),
    "batch": ("two layers of equal shape with a leading dimension", _batch),
    "graded": ("a stack with singular values 1, 1e-4, 1e-7, 1e-10, all of them real", _graded),
    "parallel": ("leading directions of two tasks that are 1e-6 apart", _parallel),
    "large": ("96 × 40, ranks 32 and 3", lambda: random_updates(82, (32, 3), 96, 40)),
    "layers": ("a model of three layers of unlike size", _layers),
    "signs": ("[1, -2, -3] and [-1, 1, -1]: one sum is zero", lambda: _outer([[1, -2, -3], [-1, 1, -1]])),
    "equal": ("ten entries of equal magnitude", lambda: _outer([[1, -1] * 5, [1, 1, -1, -1, 1, 1, -1, -1, 1, 1]])),
    "ladder": ("ten entries 1 to 10 and 10 to 1", lambda: _outer(
        [[*range(1, 11)], [*range(10, 0, -1)], [3] * 5 + [-4] * 5])),
}  # fmt: skip
