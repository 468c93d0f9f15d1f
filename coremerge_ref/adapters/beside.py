"""Adapters opened for their updates alone, to be looked at: what was trained beside them is told, and no obstacle."""

from collections.abc import Sequence
from pathlib import Path

from coremerge_ref.adapters.accepting import Accepting
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.names import BASE
from coremerge_ref.adapters.patterns import PREFIX

_NAMED = 3


def open_updates(paths: Sequence[str | Path]) -> tuple[list[Adapter], list[str]]:
    """(the adapters, notes on what was trained beside the updates of each). AdapterError for what cannot be read."""
    places = [Accepting(path, True, ()) for path in paths]
    adapters = [Adapter(place) for place in places]
    notes = [beside(adapter, place) for adapter, place in zip(adapters, places, strict=True)]
    return adapters, [text for text in notes if text]


def beside(adapter: Adapter, place: Accepting) -> str:
    """A note on heads, biases and token embeddings that an adapter has beside its update; "" where there are none."""
    if not place.others:
        return ""
    names = sorted(name.removeprefix(PREFIX).removesuffix(BASE) for name in place.others)
    more = " …" if len(names) > _NAMED else ""
    what = "1 tensor" if len(names) == 1 else f"{len(names)} tensors"
    return (
        f"{adapter.called}: {what} trained beside the update ({', '.join(names[:_NAMED])}{more}); a merge "
        "needs --others, which says what becomes of them"
    )
