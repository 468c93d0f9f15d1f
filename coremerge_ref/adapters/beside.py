"""Adapters opened for their updates alone, to be looked at: what was trained beside them is told, and no obstacle."""

from collections.abc import Sequence
from pathlib import Path

from coremerge_ref.adapters.accepting import Accepting
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.names import BASE
from coremerge_ref.adapters.others import DROP, REFUSE
from coremerge_ref.adapters.patterns import PREFIX
from coremerge_ref.errors import ParameterError

_NAMED = 3


def open_updates(paths: Sequence[str | Path]) -> tuple[list[Adapter], list[str]]:
    """(the adapters, notes on what was trained beside the updates of each). AdapterError for what cannot be read."""
    places = [Accepting(path, True, ()) for path in paths]
    adapters = [Adapter(place) for place in places]
    notes = [beside(adapter, place) for adapter, place in zip(adapters, places, strict=True)]
    return adapters, [text for text in notes if text]


def open_one(path: str | Path, others: str) -> tuple[Adapter, Accepting]:
    """The adapter at `path`, and its place, which knows what was set aside: nothing with "refuse", all with "drop".

    ParameterError for another word: no other choice has a meaning for one adapter without its model.
    """
    if others not in (REFUSE, DROP):
        raise ParameterError(f"others: expected {REFUSE} or {DROP}, got {others!r}")
    place = Accepting(path, others == DROP, ())
    return Adapter(place), place


def beside(
    adapter: Adapter, place: Accepting, so: str = "; a merge needs --others, which says what becomes of them"
) -> str:
    """A note on heads, biases and token embeddings that an adapter has beside its update; "" where there are none."""
    if not place.others:
        return ""
    names = sorted(name.removeprefix(PREFIX).removesuffix(BASE) for name in place.others)
    more = " …" if len(names) > _NAMED else ""
    what = "1 tensor" if len(names) == 1 else f"{len(names)} tensors"
    return f"{adapter.called}: {what} trained beside the update ({', '.join(names[:_NAMED])}{more}){so}"
