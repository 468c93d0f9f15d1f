"""Inputs and merged update from disk: PEFT folders in, and for the merge a PEFT folder or full-size safetensors."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from coremerge_ref.adapters.accepting import Accepting
from coremerge_ref.adapters.beside import open_updates
from coremerge_ref.adapters.files import read_json
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.formats import is_adapter
from coremerge_ref.adapters.formats.shards import ShardedFile
from coremerge_ref.adapters.layer import Layer, weight_name
from coremerge_ref.adapters.modules import LINEAR, checked
from coremerge_ref.adapters.plan import planned
from coremerge_ref.adapters.prepared import DENSE
from coremerge_ref.adapters.record import NAME as RECORD
from coremerge_ref.adapters.sharding import INDEX_SUFFIX
from coremerge_ref.adapters.streaming import load_layers
from coremerge_ref.adapters.tensors import TensorFile
from coremerge_ref.adapters.widths import BaseShapes, resolve_widths
from coremerge_ref.compare.target import Target, dense_target, low_rank_target
from coremerge_ref.errors import AdapterError, CoreMergeError, shown
from coremerge_ref.methods import Dare

if TYPE_CHECKING:
    from coremerge_ref.compare.candidates import Layers


def read(
    paths: Sequence[str | Path], merged: str | Path, base: str | Path | None = None
) -> "tuple[Layers, dict[str, Target], list[str]]":
    """(updates of every layer, the merged update of those it has, notes), by layer path.

    merged: an adapter, a safetensors file of full-size updates named as the base model's weights, or a folder that
    `coremerge merge --dense` wrote. AdapterError for anything that cannot be read, and where shapes do not fit.
    """
    adapters, _ = open_updates(paths)
    place = Path(merged)
    dense = _full_size(place)
    result = None if dense is not None else Adapter(Accepting(place, True, ()))
    notes = resolve_widths([*adapters, *([result] if result else [])], None if base is None else BaseShapes(base))
    plan = planned(adapters, allow_missing=True)
    layers, notes = plan.layers, notes + plan.notes
    loaded = load_layers(adapters, layers)
    updates = {layer.path: layer.updates(loaded) for layer in layers}
    targets = _matrices(layers, dense, adapters) if dense else _factors(layers, result) if result else {}
    if not targets:
        raise AdapterError(f"{shown(place)}: expected updates of {shown(layers[0].path)} and such, got none of them")
    missing = [layer.path for layer in layers if layer.path not in targets]
    if missing:
        notes.append(f"{len(missing)} of {len(layers)} layers, such as {missing[0]}, are not in the merged update")
    if result and (extra := {m.path for m in result.modules.values()} - set(updates)):
        notes.append(f"{len(extra)} layers of the merged update, such as {min(extra)}, are in none of the inputs")
    return updates, targets, notes


def _full_size(place: Path) -> TensorFile | ShardedFile | None:
    """The file or files of full-size updates at `place`; None where there is an adapter."""
    if (place / DENSE).is_file():
        return TensorFile(place / DENSE)
    if (place / (DENSE + INDEX_SUFFIX)).is_file():
        return ShardedFile(place / (DENSE + INDEX_SUFFIX))
    return TensorFile(place) if place.is_file() and not is_adapter(place) else None


def recorded_dare(merged: str | Path) -> dict[str, Any]:
    """DARE's seed and drop as the coremerge.json beside the merged update has them; empty where there is none."""
    place = Path(merged)
    try:
        content = read_json((place if place.is_dir() else place.parent) / RECORD)
        values = content["parameters"]["dare"]
        return {"seed": Dare(seed=values["seed"]).seed, "drop": Dare(drop=values["drop"]).drop}
    except (CoreMergeError, KeyError, TypeError):  # no record, or not one of ours: nothing is known
        return {}


def _factors(layers: Sequence[Layer], result: Adapter) -> dict[str, Target]:
    """Targets from an adapter, matched by path: files may differ in the prefix of their names."""
    names = {module.path: name for name, module in result.modules.items()}
    there = {layer.path: layer for layer in layers if layer.path in names}
    loaded = result.load([names[path] for path in there])
    targets = {}
    for path, layer in there.items():
        update = loaded[names[path]]
        _check(path, update.shape, layer.shape)
        targets[path] = low_rank_target(update, result.modules[names[path]].dtype, path)
    return targets


def _matrices(
    layers: Sequence[Layer], file: TensorFile | ShardedFile, adapters: Sequence[Adapter]
) -> dict[str, Target]:
    """Targets from full-size tensors, in the shapes and the orientation of the base model's weights."""
    stored_transposed = all(adapter.config.fan_in_fan_out for adapter in adapters)
    targets = {}
    for layer in layers:
        name = _named(weight_name(layer), file.entries)
        if name is None:
            continue
        checked(name, file.entries[name], (2, 3, 4, 5))
        matrix = file.read([name])[name]
        matrix = matrix.reshape(matrix.shape[0], -1)
        m, n = layer.shape
        if layer.first.kind == LINEAR and matrix.shape == (n, m) and (m != n or stored_transposed):
            matrix = np.ascontiguousarray(matrix.T)
        _check(layer.path, matrix.shape, layer.shape)
        targets[layer.path] = dense_target(matrix, file.entries[name].dtype, layer.path)
    return targets


def _named(weight: str, names: Iterable[str]) -> str | None:
    """The one tensor that is `weight`, or that differs by an outer prefix or the ending .weight; else None."""
    known = list(names)
    for wanted in (weight, weight.removesuffix(".weight")):
        if wanted in known:
            return wanted
        near = [name for name in known if name.endswith("." + wanted) or wanted.endswith("." + name)]
        if len(near) == 1:
            return near[0]
    return None


def _check(path: str, got: tuple[int, ...], expected: tuple[int, int]) -> None:
    if tuple(got) != expected:
        raise AdapterError(
            f"layer {shown(path)}: expected a merged update of shape {expected} as the inputs, got {got}"
        )
