"""What must agree between adapters before their modules can be compared by name."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from coremerge_ref.errors import AdapterError, shown

if TYPE_CHECKING:
    from coremerge_ref.adapters.folder import Adapter

_SWAPPED = (0, 19)  # PEFT since then takes 3-D parameters as (expert, out, in), before as (expert, in, out)


def check_together(adapters: "Sequence[Adapter]") -> None:
    """AdapterError where adapters are of families that name modules differently, or fuse experts differently."""
    first = adapters[0]
    for adapter in adapters[1:]:
        if adapter.reader.family != first.reader.family:
            raise AdapterError(
                f"{shown(adapter.path)}: {adapter.reader.title} cannot be merged with {first.reader.title} "
                f"({shown(first.path)}): they name modules differently; convert one of them first (coremerge convert)"
            )
    fused = [adapter for adapter in adapters if adapter.config.target_parameters]
    for adapter in fused[1:]:
        ours, theirs = ({*a.config.target_parameters} for a in (fused[0], adapter))
        if ours != theirs:
            raise AdapterError(
                f"{shown(adapter.path)}: target_parameters: expected {', '.join(sorted(ours))} as "
                f"{shown(fused[0].path)} has, got {', '.join(sorted(theirs))}; which tensors belong to which parameter "
                "is not in the files, so PEFT cannot load these together either: train them on the same parameters"
            )
        old, new = (_version(a.config.peft_version) < _SWAPPED for a in (fused[0], adapter))
        if old != new:
            raise AdapterError(
                f"{shown(adapter.path)}: target_parameters: saved by PEFT {adapter.config.peft_version}, and "
                f"{shown(fused[0].path)} by {fused[0].config.peft_version}: PEFT 0.19 swapped the sides of fused "
                "experts; train or save them with one version"
            )


def _version(text: str | None) -> tuple[int, ...]:
    numbers = [part for part in (text or "999").split(".")[:2] if part.isdigit()]
    return tuple(map(int, numbers))
