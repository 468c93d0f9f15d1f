"""Keyword arguments that a function does not have: a ParameterError that says what to write instead."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from coremerge_ref.core.stages import STAGES
from coremerge_ref.errors import ParameterError, did_you_mean

Function = TypeVar("Function", bound=Callable[..., Any])

# names of other projects, and of what is done to the result
_INSTEAD = {
    "rank": "cut the result, with .truncate(rank)",
    "alpha": "α of the merged update is scale; alpha / r of an input is the scale of its LowRankUpdate",
    "lambda_": "write scale",
    "weight": "write weights",
    "dtype": "write out_dtype, or compute_dtype for the arithmetic",
    "combination_type": "write method",
    "basis": "write space=cm.Core(basis=…)",
}


def explains_arguments(function: Function) -> Function:
    """Decorator: an unknown keyword argument is a ParameterError with a remedy."""
    known = [name for name in inspect.signature(function).parameters if name != "self"]

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for name in kwargs:
            if name not in known:
                said = f"{function.__name__}: expected arguments among {', '.join(known)}, got {name!r}"
                raise ParameterError(said + _remedy(name, known))
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]


def _remedy(name: str, known: list[str]) -> str:
    if name in _INSTEAD:
        return f"; {_INSTEAD[name]}"
    owners = [cls.__name__ for cls in STAGES.values() if name in cls.__dataclass_fields__]  # type: ignore[attr-defined]
    if owners:
        return f"; parameters go with their method, {', '.join(f'cm.{owner}({name}=…)' for owner in owners)}"
    return did_you_mean(name, known)
