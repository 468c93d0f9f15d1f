"""Definitions that stand in files of their own: ``defines`` puts a function of a stack into TABLE by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Definition:
    """``rule(stack, noise, *, …)`` with every parameter by name. A transform returns (stack, noise); a merge the matrix
    and its noise, and so does a post, whose stack is the one matrix. ``weighs``: a merge that takes ``weights``, the
    others get w_t M_t. ``draws``: a transform that takes ``draws``, for each task the masks given (boolean) or the
    random numbers in [0, 1) that the seed gives. ``unit``: takes ``eps``, that of the arithmetic."""

    kind: str
    rule: Callable[..., tuple[Any, Any]]
    defaults: dict[str, Any]
    weighs: bool = False
    draws: bool = False
    unit: bool = False


TABLE: dict[str, Definition] = {}


def defines(
    name: str, kind: str, *, weighs: bool = False, draws: bool = False, unit: bool = False, **defaults: Any
) -> Callable[[Callable[..., tuple[Any, Any]]], Callable[..., tuple[Any, Any]]]:
    """Decorator: the function is what ``name``, one stage of that kind, computes; ``defaults`` are its parameters."""

    def put(rule: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
        TABLE[name] = Definition(kind, rule, defaults, weighs, draws, unit)
        return rule

    return put
