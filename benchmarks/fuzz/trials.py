"""Random merges: sizes, kinds, dtypes, scales, weights, methods and spaces, each drawn from one seed."""

from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np

import coremerge_ref as cm
from coremerge_ref.testing import KINDS, Recipe

SPACES: dict[str, tuple[Any, dict[str, Any]]] = {  # ours, and how the 60-digit definition is asked for it
    "core": (cm.Core(), {"space": "core"}),
    "tucker": (cm.Core("tucker"), {"space": "core", "basis": "tucker"}),
    "knots": (cm.Knots(), {"space": "knots"}),
    "knots transposed": (cm.Knots(transposed=True), {"space": "knots", "transposed": True}),
    "knots unscaled": (cm.Knots(scaled=False), {"space": "knots", "scaled": False}),
    "full": (cm.Full(), {"space": "full"}),
}
DTYPES = {"float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
PARAMETERS: dict[str, dict[str, tuple[Any, ...]]] = {
    "ta": {}, "mean": {},
    "trim": {"density": (0.1, 0.3, 0.5, 0.9, 1.0), "keep": ("threshold", "exact")},
    "dare": {"drop": (0.0, 0.1, 0.5, 0.9), "rescale": ("inverse", "l1", "none"), "seed": tuple(range(50))},
    "ties": {
        "density": (0.1, 0.3, 0.5, 0.9, 1.0), "keep": ("threshold", "exact"), "elect": ("mass", "count"),
        "zero_sign": ("majority", "positive"), "aggregate": ("mean", "sum"), "weight_order": ("after", "before"),
        "divisor": ("count", "weight"),
    },
    "tsv": {"k": (None, 1, 2, 3, 50)},
    "cart": {"k": (None, 1, 2, 50), "fraction": (0.04, 0.5), "coefficient": (1.0, -1.5, 0.0)},
    "iso": {"support": ("rank",)},
    "iso_cts": {"common_fraction": (0.2, 0.5, 0.8, 1.0), "rounding": ("round", "floor")},
    "drm": {"direction": ("horizontal", "vertical"), "drop": (0.0, 0.3, 0.5, 0.9), "rank_cut": (0.01, 0.3)},
}  # fmt: skip
METHODS = (
    "ta", "mean", "trim+ta", "ties", "dare+ta", "tsv", "cart", "iso", "iso_cts", "drm", "tsv+iso", "ties+iso",
    "mean+iso", "dare+ties", "dare+ties+iso", "trim+tsv", "cart+iso", "iso_cts+iso", "drm+iso",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """One merge, and everything it takes to ask for it again."""

    seed: int
    factors: list[tuple[np.ndarray, np.ndarray, float]]
    method: str
    parameters: dict[str, dict[str, Any]]
    space: str
    weights: list[float]
    precision: str

    @property
    def updates(self) -> list[cm.LowRankUpdate]:
        """As merge takes them."""
        return [cm.LowRankUpdate(B, A, s) for B, A, s in self.factors]

    @property
    def pipeline(self) -> cm.Pipeline:
        """The method with its parameters."""
        return cm.Pipeline.parse(self.method, self.parameters)

    def __str__(self) -> str:
        shapes = " ".join(f"{B.shape[0]}×{B.shape[1]}×{A.shape[1]}" for B, A, _ in self.factors)
        return (
            f"seed {self.seed}: {self.method} {self.parameters} in {self.space}, {self.precision}, {shapes}, "
            f"{self.factors[0][0].dtype}, weights {self.weights}"
        )


def draw(seed: int) -> Trial:
    """The trial of a seed."""
    rng = np.random.default_rng(seed)

    def one(values: Any) -> Any:
        return values[rng.integers(len(values))]

    tasks = int(one((1, 2, 2, 3, 3, 4)))
    m, n = (int(x) for x in rng.integers(1, 13, 2)) if rng.random() < 0.8 else (int(one((3, 9, 24))), 20)
    recipe = Recipe(
        m=m, n=n, ranks=tuple(int(r) for r in rng.integers(1, 5, tasks)), kind=str(one(list(KINDS))),
        decades=float(one((0.0, 0.3, 1.0, 3.0, 8.0))), seed=int(rng.integers(2**31)),
        scales=tuple(float(s) for s in rng.choice([1.0, 0.5, 2.0, -3.0, 1e-3, 1e3], tasks)),
    )  # fmt: skip
    dtype = DTYPES[one(("float64", "float64", "float32", "float16", "bfloat16"))]
    extreme = float(one((1.0,) * 12 + (1e30, 1e-30, 1e-37, 1e-150, 1e-310))) if dtype is np.float64 else 1.0
    regular = rng.random() < 0.2  # small whole numbers: ties, equal entries, exact cancellation
    factors = []
    for B, A, s in recipe.build():
        if regular:
            B, A = (rng.integers(-2, 3, X.shape).astype(float) for X in (B, A))
        factors.append(((B * extreme).astype(dtype), A.astype(dtype), float(s)))
    method = str(one(METHODS))
    parameters = {
        stage: {name: one(values) for name, values in PARAMETERS[stage].items()} for stage in method.split("+")
    }
    weights = [float(w) for w in rng.choice([1.0, 1.0, 1.0, 0.5, -0.7, 1.6, 0.0, 1e-3], tasks)]
    if "mean" in method and abs(sum(weights)) < 1e-9:
        weights = [1.0] * tasks
    precision = "float64" if rng.random() < 0.6 else "float32"
    return Trial(seed, factors, method, parameters, str(one(list(SPACES))), weights, precision)


def with_factors(trial: Trial, factors: list[tuple[np.ndarray, np.ndarray, float]]) -> Trial:
    """The same merge of other factors."""
    return replace(trial, factors=factors)
