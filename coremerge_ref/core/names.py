"""Names of methods and parameters that are none here: what was meant, and what it is called here."""

from collections.abc import Iterator, Mapping
from typing import Any

from coremerge_ref.core.stages import STAGES
from coremerge_ref.errors import ParameterError, did_you_mean


def called_elsewhere(name: str) -> dict[str, list[str]]:
    """{pipeline here: the projects that call it `name`}, from what the methods say of themselves."""
    here: dict[str, list[str]] = {}
    for dialect, theirs, pipeline in _rows():
        if theirs == name.strip().casefold().replace("-", "_"):
            here.setdefault(pipeline, []).append(dialect)
    return here


def _rows() -> Iterator[tuple[str, str, str]]:
    for stage in STAGES.values():
        for dialect, names in stage.called.items():
            yield from ((dialect, theirs, pipeline) for theirs, pipeline in names.items())


def unknown_stage(name: str) -> ParameterError:
    """The error for a stage that is none: what it is called here if another project has it, else what there is."""
    here = called_elsewhere(name)
    if not here:
        known = sorted(STAGES)
        return ParameterError(
            f"method: expected stages among {', '.join(known)}, got {name!r}{did_you_mean(name, known)}"
        )
    theirs = " and ".join(f"{pipeline!r} in {' and '.join(dialects)}" for pipeline, dialects in here.items())
    pipeline, dialects = next(iter(here.items()))
    return ParameterError(
        f"method: expected a name of this package, got {name!r}, which stands for {theirs}; write {pipeline!r}, or "
        f"cm.preset({pipeline!r}, {dialects[0]!r}) to compute as {dialects[0]} does"
    )


def unknown_parameter(stage: type[Any], name: str, known: Mapping[str, Any]) -> str:
    """What a message says of a parameter that the stage or space does not have."""
    said = f"expected a parameter among {', '.join(known) or 'none'}, got {name!r}"
    if name in (spelled := getattr(stage, "spelled", {})):
        return f"{said}; write {spelled[name]}"
    return said + did_you_mean(name, known)
