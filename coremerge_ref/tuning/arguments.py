"""Arguments of a search, as it uses them; what is wrong with them is said before anything is evaluated."""

from collections.abc import Mapping, Sequence
from typing import Any

from coremerge_ref.errors import ParameterError
from coremerge_ref.tuning.arms import Range, Values, range_of
from coremerge_ref.tuning.score import Command, Evaluate

FRACTIONS = (0.25, 0.5, 1.0)  # by default, where the command takes one


def alphas_of(given: tuple[float, float]) -> Range:
    """The range of α. ParameterError for anything else."""
    try:
        low, high = map(float, given)
    except (TypeError, ValueError, OverflowError):
        low, high = 0.0, 0.0
    if not 0 < low <= high < float("inf"):
        raise ParameterError(f"alphas: expected two numbers above 0, the smaller first, got {given!r}")
    return Range(low, high, log=True)


def shares_of(given: Sequence[float] | None, score: Evaluate) -> tuple[float, ...]:
    """The shares of the data that each merge is scored on, none for all at once. ParameterError for anything else."""
    takes = not isinstance(score, Command) or score.takes_fraction
    if given is None:
        return FRACTIONS if isinstance(score, Command) and takes else ()
    shares = tuple(given)
    rising = all(isinstance(s, int | float) for s in shares) and list(shares) == sorted(set(shares))
    if not (shares and rising and shares[0] > 0 and shares[-1] == 1):
        raise ParameterError(f"fractions: expected numbers above 0 that grow to 1, got {given!r}")
    if not takes:
        raise ParameterError("fractions: expected {fraction} in the command, which has none")
    return tuple(map(float, shares))


def domains_of(tries: Mapping[str, Mapping[str, Sequence[Any]]]) -> dict[str, dict[str, Range | Values]]:
    """What is searched in place of the table's ranges. ParameterError for anything else."""
    made: dict[str, dict[str, Range | Values]] = {}
    for stage, parameters in tries.items():
        for name, given in parameters.items():
            numbers = isinstance(given, tuple) and all(
                isinstance(v, int | float) and not isinstance(v, bool) for v in given
            )
            if numbers and len(given) == 2 and given[0] < given[1]:
                made.setdefault(stage, {})[name] = range_of(*given)
            elif isinstance(given, list) and given:
                made.setdefault(stage, {})[name] = Values(tuple(given))
            else:
                raise ParameterError(f"tries: {stage}.{name}: expected (low, high) or a list of values, got {given!r}")
    return made
