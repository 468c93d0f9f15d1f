"""Adapters that are no low-rank product of their own tensors: what each is, and what to do instead."""

from coremerge_ref.adapters.files import shown
from coremerge_ref.adapters.formats.place import Place


def why_refused(place: Place) -> str:
    """One line on what lies at `place`, which no reader knows."""
    return (
        f"expected peft_type LORA or VERA, got {shown(place.peft_type)}; others are no low-rank products "
        "as stored: convert the adapter with peft's save_as_lora first"
    )
