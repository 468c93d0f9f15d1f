"""The tables of what is tried: spaces, and methods with their grids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import Core, Full, Knots, Space
from coremerge_ref.errors import ParameterError

Grid = Mapping[str, Mapping[str, Sequence[Any]]]  # stage → parameter → values

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

DENSITIES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
DROPS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9)
RANKS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)
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


_SUPPORT = {"iso": {"support": ("rank", "size")}}
ROWS: tuple[Row, ...] = (
    Row("ta", spaces=()),  # all linear merges: solved for, see linear_candidate
    Row("iso", spaces=ANY),
    Row("iso", {"iso": {"support": ("size",)}}, spaces=ONE_BASIS),
    Row("tsv", {"tsv": {"k": (None,)}}, spaces=ONE_BASIS),
    Row("tsv", {"tsv": {"k": RANKS}}, spaces=ANY, ranks=("k",)),
    Row("cart", {"cart": {"k": RANKS}}, spaces=ANY, linear=("cart", "coefficient"), ranks=("k",)),
    Row("cart", {"cart": {"fraction": (0.04, 0.08, 0.16, 0.32)}}, {"cart": {"rounding": ("ceil", "floor")}},
        ONE_BASIS, ("cart", "coefficient")),
    Row("iso_cts", {"iso_cts": {"common_fraction": (0.2, 0.4, 0.5, 0.6, 0.8, 0.9)}},
        {"iso_cts": {"rounding": ("round", "floor")}}, ONE_BASIS),
    Row("ties", {"ties": {"density": DENSITIES, **_SIGNS}}, {"ties": {"zero_sign": ("majority", "positive")}}),
    Row("trim+ta", {"trim": {"density": DENSITIES}}),
    Row("drm", {"drm": {"direction": ("horizontal", "vertical"), "drop": DROPS}}),
    Row("dare+ta", {"dare": {"drop": DROPS[1:]}}, {"dare": {"rescale": ("inverse", "l1", "none")}}),
    Row("dare+ties", {"dare": {"drop": DROPS[1:]}, "ties": {"density": (0.2, 0.5, 1.0)}}, {"ties": _SIGNS}),
    Row("ties+iso", {"ties": {"density": DENSITIES}}, {"ties": _SIGNS, **_SUPPORT}),
    Row("tsv+iso", {"tsv": {"k": (None,)}}, _SUPPORT, ONE_BASIS),
    Row("tsv+iso", {"tsv": {"k": RANKS}}, spaces=ANY, ranks=("k",)),
)  # fmt: skip
# what is tried on inputs that were read wrongly
COMMON: tuple[Row, ...] = (
    Row("iso", spaces=ANY),
    Row("tsv", {"tsv": {"k": (None,)}}, spaces=("core", "full")),
    Row("tsv", {"tsv": {"k": RANKS}}, spaces=ANY, ranks=("k",)),
    Row("cart", {"cart": {"fraction": (0.04,)}}, spaces=("core", "full"), linear=("cart", "coefficient")),
    Row("ties", {"ties": {"density": DENSITIES}}, {"ties": _SIGNS}, ("core", "knots", "full")),
    Row("trim+ta", {"trim": {"density": DENSITIES}}, {}, ("core", "knots", "full")),
)


def rows_for(methods: Sequence[str] = (), settings: Mapping[str, Mapping[str, Any]] | None = None) -> list[Row]:
    """The rows of those methods, all by default, searched at the given parameter values too.

    A pipeline that has no row gets one over all spaces. ParameterError for a stage that no row has.
    """
    rows = [row for row in ROWS if not methods or row.method in methods]
    rows += [Row(method) for method in methods if method not in {row.method for row in ROWS}]
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
