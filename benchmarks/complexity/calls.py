"""Calls that cost: matrix products, decompositions and orderings, each with its shape, and what each one takes.

A count is a Counter of calls. Floating-point operations are leading terms of the textbook algorithms (Golub and Van
Loan, 4th edition); an ordering counts the entries it looks at. Elementwise work is left out: it is of the size of
memory, which `memory.py` has.
"""

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from math import prod

Shape = tuple[int, ...]


@dataclass(frozen=True, order=True)
class Call:
    """One call: `op` on matrices of `shape`, once for each of `batch` of them.

    matmul (m, k, n); svd, qr (m, n) thin; eigh, cholesky, inv (n,); solve (n, columns); sort, argsort, partition (N,)
    along one axis.
    """

    op: str
    shape: Shape
    batch: int = 1


def calls(*made: tuple[str, Shape] | tuple[str, Shape, int]) -> Counter[Call]:
    """A Counter of calls written as (op, shape) or (op, shape, batch), each made once."""
    return Counter(Call(*one) for one in made)


def svd_thin(rows: int, cols: int) -> Fraction:
    """Thin SVD by a QR first (R-SVD): 6 max · min² + 20 min³."""
    long, short = max(rows, cols), min(rows, cols)
    return Fraction(6 * long * short**2 + 20 * short**3)


def svd_columns(rows: int, cols: int) -> Fraction:
    """An SVD counted as rows · cols², whichever is larger: the convention behind table 1's n³T² for KnOTS."""
    return Fraction(6 * rows * cols**2)


def flops(call: Call) -> Fraction:
    """Floating-point operations of a call; 0 for orderings."""
    s = call.shape
    if call.op == "matmul":
        one = Fraction(2 * s[0] * s[1] * s[2])
    elif call.op == "svd":
        one = svd_thin(*s)
    elif call.op == "svd_columns":
        one = svd_columns(*s)
    elif call.op == "qr":  # Q formed as well
        long, short = max(s), min(s)
        one = Fraction(4 * long * short**2) - Fraction(4 * short**3, 3)
    elif call.op == "eigh":
        one = Fraction(9 * s[0] ** 3)
    elif call.op == "cholesky":
        one = Fraction(s[0] ** 3, 3)
    elif call.op == "inv":
        one = Fraction(2 * s[0] ** 3)
    elif call.op == "solve":
        one = Fraction(2 * s[0] ** 3, 3) + 2 * s[0] ** 2 * s[1]
    elif call.op in ORDERINGS:
        one = Fraction(0)
    else:
        raise KeyError(call.op)
    return one * call.batch


ORDERINGS = ("sort", "argsort", "partition")


def entries_ordered(call: Call) -> Fraction:
    """Entries that an ordering looks at; 0 for arithmetic."""
    return Fraction(prod(call.shape) * call.batch if call.op in ORDERINGS else 0)


def total(count: Counter[Call]) -> Fraction:
    """All floating-point operations and entries ordered of a count."""
    return sum(((flops(call) + entries_ordered(call)) * times for call, times in count.items()), Fraction(0))
