"""The tables of what is tried: spaces, and methods with their grids."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import Core, Full, Knots, Space
from coremerge_ref.core.stages import STAGES
from coremerge_ref.errors import ParameterError
from coremerge_ref.methods.base import DENSITIES, EVERY_SIZE, EVERY_SPACE, ONE_SPACE, RANKS, Grid

SPACES: dict[str, Space] = {
    "core": Core(),
    "core, Tucker basis": Core("tucker"),
    "knots": Knots(),
    "knots, singular values divided out": Knots(scaled=False),
    "knots, transposed": Knots(transposed=True),
    "full": Full(),
}
ONE_BASIS = tuple(name for name in SPACES if "Tucker" not in name)  # where the basis plays no part, the sizes do
ANY_SPACE = "any"  # computed in core space
ANY = (ANY_SPACE,)
_PLACES = {ONE_SPACE: ANY, EVERY_SIZE: ONE_BASIS, EVERY_SPACE: tuple(SPACES)}

_SIGNS = {"elect": ("mass", "count"), "aggregate": ("mean", "sum")}


@dataclass(frozen=True)
class Row:
    """A method and what is searched. grid: searched everywhere; choices: where the grid comes close, with all dialects.

    spaces: labels; ANY for what is one ΔW in all of them. linear: a (stage, parameter) that the merge is linear in,
    solved for like the scale. ranks: grid parameters that stop at the largest rank of a task.
    """

    method: str
    grid: Grid = field(default_factory=dict)
    choices: Grid = field(default_factory=dict)
    spaces: tuple[str, ...] = tuple(SPACES)
    linear: tuple[str, str] | None = None
    ranks: tuple[str, ...] = ()


# all linear merges at once: their weights are solved for, see linear_candidate
LINEAR = Row("ta", spaces=())
# what is tried on inputs that were read wrongly
COMMON: tuple[Row, ...] = (
    Row("iso", spaces=ANY),
    Row("tsv", {"tsv": {"k": (None,)}}, spaces=("core", "full")),
    Row("tsv", {"tsv": {"k": RANKS}}, spaces=ANY, ranks=("k",)),
    Row("cart", {"cart": {"fraction": (0.04,)}}, spaces=("core", "full"), linear=("cart", "coefficient")),
    Row("ties", {"ties": {"density": DENSITIES}}, {"ties": _SIGNS}, ("core", "knots", "full")),
    Row("trim+ta", {"trim": {"density": DENSITIES}}, {}, ("core", "knots", "full")),
)


def all_rows() -> list[Row]:
    """What the methods of the table say is to be searched, what takes the fewest candidates first."""
    searches = [search for stage in STAGES.values() for search in stage.searches]
    rows = [Row(s.method, s.grid, s.choices, _PLACES[s.spaces], s.linear, s.ranks) for s in searches]
    return [LINEAR, *sorted(rows, key=size)]


def size(row: Row) -> int:
    """How many hypotheses the row has."""
    return len(row.spaces) * math.prod(len(values) for grid in row.grid.values() for values in grid.values())


def rows_for(methods: Sequence[str] = (), settings: Mapping[str, Mapping[str, Any]] | None = None) -> list[Row]:
    """The rows of those methods, all by default, searched at the given parameter values too.

    A pipeline that has no row gets one over all spaces. ParameterError for a stage that no row has.
    """
    known = all_rows()
    rows = [row for row in known if not methods or row.method in methods]
    rows += [Row(method) for method in methods if method not in {row.method for row in known}]
    for row in rows:
        Pipeline.parse(row.method)  # raises for what is no method
    for stage, parameters in (settings or {}).items():
        if not any(stage in row.method.split("+") for row in rows):
            raise ParameterError(f"--set {stage}: expected a stage of the methods searched, got {stage!r}")
        for name, value in parameters.items():
            rows = [_with(row, stage, name, value) if stage in row.method.split("+") else row for row in rows]
    return rows


def _with(row: Row, stage: str, name: str, value: Any) -> Row:
    """The row with a value put first on the grid of a parameter."""
    values = [value, *(v for v in row.grid.get(stage, {}).get(name, ()) if v != value)]
    grid = {**row.grid, stage: {**row.grid.get(stage, {}), name: values}}
    return replace(row, grid=grid, ranks=tuple(n for n in row.ranks if n != name))
