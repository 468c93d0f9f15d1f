"""Counts as polynomials in n, r, T (square layers, equal ranks, n ≥ rT), and the terms of theirs that lead.

A count is a polynomial with rational coefficients there, so its coefficients come out exactly from values at enough
points. A term leads if no other is at least as large everywhere in the region n ≥ rT, r ≥ 1, T ≥ 1.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import product

from benchmarks.complexity import counts, memory
from benchmarks.complexity.calls import Call, total
from benchmarks.complexity.naive import naive

Term = tuple[int, int, int]  # exponents of n, r, T
Polynomial = dict[Term, Fraction]
METHODS = ("ta", "iso", "tsv", "ties", "dare", "cart")

# Where counts are polynomials: n a multiple of every T, every r a multiple of 25, so that CART's 4 % are whole, and T
# above 2, since CART of two tasks is their mean.
_N = [1800 * i for i in range(1, 5)]
_R = [25 * i for i in range(1, 6)]
_T = [3, 4, 5, 6, 9, 10]


def polynomial(f: Callable[[int, int, int], Fraction]) -> Polynomial:
    """The polynomial that equals f(n, r, T); its degrees are at most 3 in n, 4 in r, 5 in T."""
    values = {(n, r, T): f(n, r, T) for n, r, T in product(_N, _R, _T)}
    for axis, points in enumerate((_N, _R, _T)):
        inverse = _vandermonde_inverse(points)
        done: dict[tuple[int, ...], Fraction] = {}
        for place in values:
            degree = points.index(place[axis])  # the place now stands for a coefficient
            line = [values[(*place[:axis], x, *place[axis + 1 :])] for x in points]
            done[place] = sum((c * v for c, v in zip(inverse[degree], line, strict=True)), Fraction(0))
        values = done
    terms = {(_N.index(n), _R.index(r), _T.index(T)): c for (n, r, T), c in values.items()}
    return {term: c for term, c in terms.items() if c}


def _vandermonde_inverse(points: Sequence[int]) -> list[list[Fraction]]:
    """Row d: what the values at `points` are multiplied with to give the coefficient of x^d (Lagrange)."""
    columns = []
    for i, x in enumerate(points):
        basis = [Fraction(1)]  # coefficients of Π_j (X − x_j) / (x − x_j), lowest first
        for j, other in enumerate(points):
            if j != i:
                shifted = [Fraction(0), *basis]
                basis = [(s - other * b) / (x - other) for s, b in zip(shifted, [*basis, Fraction(0)], strict=True)]
        columns.append(basis)
    return [list(row) for row in zip(*columns, strict=True)]


def dominates(one: Term, other: Term) -> bool:
    """Whether n^a r^b T^c of `one` is at least that of `other` wherever n ≥ rT, r ≥ 1, T ≥ 1."""
    cone = [(a, a + b, a + c) for a, b, c in (one, other)]  # with n = rTs: exponents of s, r, T
    return all(x >= y for x, y in zip(*cone, strict=True))


def leading(terms: Iterable[Term]) -> set[Term]:
    """The terms that no other dominates."""
    distinct = set(terms)
    return {t for t in distinct if not any(dominates(o, t) for o in distinct if o != t)}


def written(terms: Iterable[Term]) -> str:
    """Terms as text: n²Tr + T⁴r³."""
    powers = {1: "", 2: "²", 3: "³", 4: "⁴", 5: "⁵"}

    def one(term: Term) -> str:
        n, r, T = term
        return "".join(f"{x}{powers[e]}" for x, e in (("n", n), ("T", T), ("r", r)) if e) or "1"

    return " + ".join(one(t) for t in sorted(terms, reverse=True)) or "0"


def steps(method: str, space: str, paper_svd: bool = False) -> dict[str, set[Term]]:
    """The leading terms of each step of a naive algorithm; paper_svd counts KnOTS' SVD as rows · cols²."""
    rename = (lambda c: Call("svd_columns", c.shape, c.batch)) if paper_svd and space == "knots" else (lambda c: c)

    def step(name: str) -> Polynomial:
        def value(n: int, r: int, T: int) -> Fraction:
            calls = naive(n, n, (r,) * T, method, space).get(name, Counter())
            return total(Counter({rename(c) if name == "frames" else c: k for c, k in calls.items()}))

        return polynomial(value)

    names = naive(1500, 1500, (25, 25), method, space)
    return {name: leading(step(name)) for name in names}


def ours(
    method: str, space: str = "core", dense: bool = False, outcomes: counts.Outcomes = (counts.TWO, counts.TWO)
) -> Polynomial:
    """Our count as a polynomial; dense adds the product that forms the n × n matrix.

    outcomes: see counts.ours; the most work that stacks of full numerical rank make of it, unless told otherwise.
    """

    def value(n: int, r: int, T: int) -> Fraction:
        count = sum(counts.ours(n, n, (r,) * T, method, space, outcomes=outcomes).values(), Counter())
        return total(count + (counts.dense(n, n, (r,) * T, space) if dense else Counter()))

    return polynomial(value)


def memory_of(space: str, algorithm: str, method: str = "tsv", dense: bool = True) -> Polynomial:
    """Entries held at once as a polynomial."""
    return polynomial(lambda n, r, T: Fraction(memory.held(n, n, (r,) * T, space, algorithm, dense)))


# The paper's table 1: the terms it lists for task arithmetic, Iso-C and TSV.
TABLE1: Mapping[tuple[str, str], set[Term]] = {
    ("full", "ta"): {(2, 1, 1)},
    ("full", "iso"): {(3, 0, 0)},
    ("full", "tsv"): {(3, 0, 1)},
    ("knots", "ta"): {(3, 0, 2)},
    ("knots", "iso"): {(3, 0, 2), (2, 1, 1)},
    ("knots", "tsv"): {(3, 0, 2), (1, 2, 3)},
    ("core", "ta"): {(2, 1, 1)},
    ("core", "iso"): {(2, 1, 1), (0, 3, 3)},
    ("core", "tsv"): {(2, 1, 1), (0, 3, 4)},
}
