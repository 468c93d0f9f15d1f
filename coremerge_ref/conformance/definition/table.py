"""Definitions that stand in files of their own: ``defines`` puts a function of a stack into TABLE by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

Walk = TypeVar("Walk", bound=Callable[..., None])


@dataclass(frozen=True)
class Definition:
    """``rule(stack, noise, *, …)`` with every parameter by name. A transform returns (stack, noise); a merge the matrix
    and its noise, and so does a post, whose stack is the one matrix. ``weighs``: a merge that takes ``weights``, the
    others get w_t M_t. ``draws``: a transform that takes ``draws``, for each task the masks given (boolean) or the
    random numbers in [0, 1) that the seed gives. ``unit``: takes ``eps``, that of the arithmetic. ``entries``: takes
    ``levels``, what counts as zero in entries, where ``noise`` is that of singular values.

    ``walk(walk, state)``, where known, carries errors through the stage: it changes `walk.delta` and `walk.scale`, and
    sets `walk.bound` in a merge and a post. ``sides``: for a stage that looks at entries, a function of its parameters
    that names the sides whose frame they depend on. ``frame``: for a merge whose entries are in a frame of its own, a
    function of the state that gives it, and its side."""

    kind: str
    rule: Callable[..., tuple[Any, Any]]
    defaults: dict[str, Any]
    weighs: bool = False
    draws: bool = False
    unit: bool = False
    entries: bool = False
    walk: Callable[..., None] | None = None
    sides: Callable[[dict[str, Any]], tuple[str, ...]] | None = None
    frame: Callable[[Any], tuple[Any, str]] | None = None


TABLE: dict[str, Definition] = {}


def defines(
    name: str,
    kind: str,
    *,
    weighs: bool = False,
    draws: bool = False,
    unit: bool = False,
    entries: bool = False,
    **defaults: Any,
) -> Callable[[Callable[..., tuple[Any, Any]]], Callable[..., tuple[Any, Any]]]:
    """Decorator: the function is what ``name``, one stage of that kind, computes; ``defaults`` are its parameters."""

    def put(rule: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
        TABLE[name] = Definition(kind, rule, defaults, weighs, draws, unit, entries)
        return rule

    return put


def both_sides(params: dict[str, Any]) -> tuple[str, ...]:
    """The sides of a stage whose entries are those of M."""
    return ("left", "right")


def walks(name: str, **more: Any) -> Callable[[Walk], Walk]:
    """Decorator: the function carries errors through ``name``; ``more``: `sides` and `frame`."""

    def put(walk: Walk) -> Walk:
        TABLE[name] = replace(TABLE[name], walk=walk, **more)
        return walk

    return put
