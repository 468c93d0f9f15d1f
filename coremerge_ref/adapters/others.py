"""What was trained beside the low-rank update: whole modules (heads), biases, token embeddings, resized embeddings.

They are no updates of a weight, so no merge of updates is meant for them. By default such adapters are refused; or they
are taken from the first adapter that has them, averaged over those that have them, or dropped.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from coremerge_ref.adapters.accepting import TOKENS, Accepting
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.modules import checked, widest
from coremerge_ref.adapters.patterns import PREFIX
from coremerge_ref.adapters.renaming import Renaming, plain_path
from coremerge_ref.adapters.writer import numpy_dtype
from coremerge_ref.errors import AdapterError, ParameterError, shown

REFUSE, FIRST, MEAN, DROP = CHOICES = ("refuse", "first", "mean", "drop")
# Tasks whose heads PEFT adds to modules_to_save itself, on loading too: without the head nothing would load.
_WITH_HEADS = ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS")
_WEIGHTS = (".bin", ".pt", ".pth", ".ckpt", ".safetensors", ".gguf")
_STATE = re.compile(r"(training_args|optimizer|scheduler|scaler|random_states|rng_state)\w*\.(bin|pt|pth|pkl)")
_DIMENSIONS = (1, 2, 3, 4, 5)


def check_choice(others: str, dense: bool) -> None:
    """ParameterError for anything but one of CHOICES, and for tensors beside full-size output, which has no place."""
    if others not in CHOICES:
        raise ParameterError(f"others: expected one of {', '.join(CHOICES)}, got {others!r}")
    if dense and others not in (REFUSE, DROP):
        raise ParameterError(f"others: expected refuse or drop with full-size output (--dense, --into), got {others!r}")


def headless_note(adapter: Adapter) -> str:
    """What to say of a config whose task_type must go with the adapter's head; "" where there is no such."""
    task = adapter.config.task_type
    if task not in _WITH_HEADS:
        return ""
    return f"task_type {task} is left out, since peft would look for a trained head on loading"


def unread(adapters: Sequence[Adapter]) -> list[str]:
    """A note for each adapter on files beside it that hold weights and are no part of it, as its loader sees it."""
    notes = []
    for adapter in adapters:
        there = sorted(entry.name for entry in os.scandir(adapter.path)) if adapter.path.is_dir() else []
        read = {path.name for path in adapter.files}
        names = [n for n in there if n.endswith(_WEIGHTS) and n not in read and not _STATE.fullmatch(n)]
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            notes.append(f"{adapter.path}: {', '.join(names[:3])}{more} beside the adapter: not read and not merged")
    return notes


class Others:
    """What is written beside the update.

    names: of the tensors, as in the output. fields: of the config, that make PEFT put them where they belong.
    """

    def __init__(
        self, places: Sequence[Accepting], adapters: Sequence[Adapter], renamings: Sequence[Renaming | None], how: str
    ) -> None:
        """how: "first", "mean" or "drop". AdapterError where adapters hold things of one name and several shapes."""
        self._places, self._adapters = places, adapters
        self._held: dict[str, list[tuple[int, str]]] = {}
        for t, (place, renaming) in enumerate(zip(places, renamings, strict=True)):
            for name in place.others:
                self._held.setdefault(_output_name(name, renaming), []).append((t, name))
        self.notes = _notes(adapters, self._held, how)
        self.fields: dict[str, Any] = {}
        headless = [note for adapter in adapters if (note := headless_note(adapter))]
        if how == DROP and self._held and headless:
            self.notes.append(headless[0])
            self.fields["task_type"] = None
        self._held = {} if how == DROP else self._held
        if how == FIRST:
            self._held = {name: holders[:1] for name, holders in self._held.items()}
        for name, holders in self._held.items():
            self._check(name, holders)
        if self._held:
            self.fields |= _fields(
                places, {_module_of(name): self._tokens(name) for name in self._held if _is_tokens(name)}
            )

    @property
    def names(self) -> list[str]:
        """The tensors."""
        return list(self._held)

    def read(self, name: str) -> np.ndarray:
        """One tensor, read and averaged now."""
        holders = self._held[name]
        arrays = (self._places[t].file.read([source])[source] for t, source in holders)
        dtype = numpy_dtype(widest(*(self._places[t].entries[source].dtype for t, source in holders)))
        if not _is_tokens(name):
            if len(holders) == 1:
                return next(arrays)
            return np.asarray(sum(array.astype(np.float64) / len(holders) for array in arrays)).astype(dtype)
        tokens = self._tokens(name)
        total, count = np.zeros((len(tokens), self._width(name))), np.zeros((len(tokens), 1))
        for (t, source), array in zip(holders, arrays, strict=True):
            at = [tokens.index(token) for token in _indices(self._places[t], source)]
            total[at] += array.astype(np.float64)
            count[at] += 1
        return np.asarray(total / count).astype(dtype)

    def _width(self, name: str) -> int:
        t, source = self._held[name][0]
        return self._places[t].entries[source].shape[-1]

    def _tokens(self, name: str) -> list[int]:
        """The tokens of a tensor of token embeddings in the output, row by row."""
        return list(dict.fromkeys(i for t, source in self._held[name] for i in _indices(self._places[t], source)))

    def _check(self, name: str, holders: Sequence[tuple[int, str]]) -> None:
        shapes = []
        for t, source in holders:
            place = self._places[t]
            try:
                shapes.append(checked(source, place.entries[source], _DIMENSIONS).shape)
            except AdapterError as error:
                raise AdapterError(f"{shown(place.path)}: {error}") from error
        for (t, _), shape in zip(holders, shapes, strict=True):
            if shape[_is_tokens(name) :] != shapes[0][_is_tokens(name) :]:
                raise AdapterError(
                    f"{shown(name)}: expected shape {shapes[0]} as {shown(self._adapters[holders[0][0]].path)} has, "
                    f"got {shape} in {shown(self._adapters[t].path)}; choose --others first or drop"
                )


def _is_tokens(name: str) -> bool:
    return name.endswith(TOKENS)


def _output_name(name: str, renaming: Renaming | None) -> str:
    path = plain_path(name)
    module, dot, last = path.rpartition(".")
    return PREFIX + (renaming.rename(module) if renaming else module) + dot + last


def _notes(adapters: Sequence[Adapter], held: Mapping[str, list[tuple[int, str]]], how: str) -> list[str]:
    if not held:
        return []
    done = {FIRST: "taken from the first adapter that has each", MEAN: "averaged over the adapters that have each"}
    names = [plain_path(name) for name in held]
    owners = sorted({t for holders in held.values() for t, _ in holders})
    shown_names = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
    shown_owners = ", ".join(str(adapters[t].path) for t in owners[:3]) + (" …" if len(owners) > 3 else "")
    return [
        f"{len(names)} tensors trained beside the update ({shown_names}) of {shown_owners} were "
        f"{done.get(how, 'dropped')} (--others {how})"
    ]


def _indices(place: Accepting, name: str) -> list[int]:
    """The tokens whose embeddings the tensor holds, row by row."""
    given = place.set_aside.get("trainable_token_indices")
    if isinstance(given, dict):
        module = _module_of(name)
        given = next((rows for key, rows in given.items() if module == key or module.endswith(f".{key}")), None)
    if not isinstance(given, list) or not all(isinstance(i, int) and not isinstance(i, bool) for i in given):
        raise AdapterError(
            f"{shown(place.path)}: tensor {shown(name)}: expected trainable_token_indices of it in the config, got "
            "none; save the adapter again"
        )
    if len(given) != place.entries[name].shape[0]:
        raise AdapterError(
            f"{shown(place.path)}: tensor {shown(name)}: expected {len(given)} rows as trainable_token_indices has, "
            f"got {place.entries[name].shape[0]}; save the adapter again"
        )
    return given


def _module_of(name: str) -> str:
    return plain_path(name).removesuffix(f".{TOKENS}").removesuffix(".token_adapter")


def _fields(places: Sequence[Accepting], tokens: Mapping[str, list[int]]) -> dict[str, Any]:
    """The fields that make PEFT put the tensors where they belong."""
    modules = [name for place in places for name in place.set_aside.get("modules_to_save") or []]
    biases = [place.set_aside["bias"] for place in places if "bias" in place.set_aside]
    fields: dict[str, Any] = {}
    if modules:
        fields["modules_to_save"] = list(dict.fromkeys(modules))
    if biases:
        fields["bias"] = "all" if "all" in biases else biases[0]
    if tokens:
        given = [place.set_aside.get("trainable_token_indices") for place in places]
        lists = all(isinstance(each, list) for each in given if each) and len(tokens) == 1
        fields["trainable_token_indices"] = next(iter(tokens.values())) if lists else dict(tokens)
    return fields
