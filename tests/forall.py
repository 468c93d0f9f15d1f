"""Property tests: one Hypothesis search for each array library and precision."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from backends import EPS, Backend
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from coremerge_ref.testing import KINDS, Factors, Recipe, recipes, sensitivity

# JAX compiles anew for every shape it meets: in the short profile it sees one.
_ONE_SHAPE: dict[str, Any] = {"shapes": ((6, 5),), "ranks": ((2, 2),), "batches": ((),)}


def some_recipes(**how: Any) -> Callable[[Backend], st.SearchStrategy[Recipe]]:
    """`recipes` as each library can bear them."""

    def for_backend(backend: Backend) -> st.SearchStrategy[Recipe]:
        if backend.name != "jax" or not settings().derandomize:
            return recipes(**how)
        kinds = tuple(kind for kind in how.get("kinds", KINDS) if kind != "empty")
        fixed = {**_ONE_SHAPE, "ranks": ((2,),)} if how.get("max_tasks") == 1 else _ONE_SHAPE
        return recipes(**{**how, **fixed, "kinds": kinds})

    return for_backend


def for_all(precisions: tuple[str, ...] = ("float64", "float32"), examples: float = 1.0, **drawn: Any) -> Any:
    """Turns a property(backend, precision, **drawn) into a test; strategies may be functions of the backend.

    JAX, which compiles anew for each dtype, is asked in one: float32, where what promotes to float64 shows.
    tests/core asks it in both.
    """

    def decorate(body: Callable[..., None]) -> Callable[..., None]:
        @pytest.mark.parametrize("precision", precisions)
        def test(backend: Backend, precision: str) -> None:
            if backend.name == "jax" and settings().derandomize and precision == "float64" != precisions[-1]:
                pytest.skip("JAX is asked in float32")
            strategies = {name: s if isinstance(s, st.SearchStrategy) else s(backend) for name, s in drawn.items()}
            count = max(2, int(settings().max_examples * examples * backend.examples))

            @settings(max_examples=count, suppress_health_check=list(HealthCheck))
            @given(**strategies)
            def holds(**values: Any) -> None:
                body(backend, precision, **values)

            holds()

        test.__name__, test.__doc__, test.__module__ = body.__name__, body.__doc__, body.__module__
        return test

    return decorate


def made(backend: Backend, precision: str, recipe: Recipe) -> tuple[list[Any], list[Factors], float]:
    """The recipe's updates in a library, the exact numbers they hold, and eps of the precision."""
    assume(precision == "float64" or recipe.kind != "deficient")  # rounded to float32 it is deficient no more
    updates = backend.updates(recipe.build(), precision)
    return updates, [(backend.host(u.B), backend.host(u.A), u.scale) for u in updates], EPS[precision]


def well_posed(merge: Callable[[list[Factors]], np.ndarray], factors: list[Factors], limit: float = 1e3) -> float:
    """The condition number of an independent `merge` at `factors`; drops the example where it is large."""
    kappa = sensitivity(merge, factors)
    assume(kappa < limit)
    return kappa
