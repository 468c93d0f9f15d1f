"""The files of a fused model: every tensor of the base, W + ΔW where there is a merge, in the base's own layout."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from coremerge_ref.adapters import card
from coremerge_ref.adapters.base_model import CONFIG, BaseModel
from coremerge_ref.adapters.base_ties import TIED, BaseTies, Target
from coremerge_ref.adapters.files import read_json
from coremerge_ref.adapters.layer import Layer
from coremerge_ref.adapters.leftovers import mark_all_ours
from coremerge_ref.adapters.streaming import Job, Progress
from coremerge_ref.adapters.writer import TensorWriter
from coremerge_ref.adapters.writing import Outcome, facts
from coremerge_ref.core.updates import LowRankUpdate, Update
from coremerge_ref.errors import AdapterError, shown

Addition = tuple[np.ndarray, np.ndarray | None]  # B (m, r) and A (r, n), or ΔW (m, n) and None
ByOthers = Callable[[Sequence[str]], Sequence[Outcome]]
_ROWS = 2**20  # entries of a weight that are float64 at a time
_DIMENSIONS = 8


@dataclass(frozen=True)
class FusedFiles:
    """What to write: the base's tensors, with updates added to `targets`; leaders as BaseTies.resolve has them."""

    base: BaseModel
    targets: Sequence[Target]
    ties: BaseTies
    leaders: Mapping[str, str]

    def write(self, job: Job, folder: Path, one_file: str | None, by_others: ByOthers | None = None) -> Outcome:
        """Writes every file; one_file: the name of the one, where the output is one.

        by_others: has the base's files of these names written by an executor's workers, and says what they found.
        """
        mark_all_ours(folder)
        outcome = Outcome()
        whole = any(pipeline.whole_model for pipeline in job.pipeline.values())
        if by_others is not None and not whole:
            for found in by_others(list(self.base.files)):
                outcome.facts |= found.facts
                outcome.zeros += found.zeros
                outcome.digests |= found.digests
        else:
            everything = {layer.path: addition for layer, addition in _each(job, outcome)} if whole else None
            written = _Written(job.progress, sum(len(file.entries) for file in self.base.files.values()))
            silent = replace(job, progress=lambda *_: None)
            for place in self.base.files:
                self.write_place(silent, place, folder / (one_file or place), outcome, written.one_more, everything)
        if one_file is None and not self.base.one_file:
            self._write_index(folder)
            self._write_others(folder)
        return outcome

    def write_place(
        self,
        job: Job,
        place: str,
        path: Path,
        outcome: Outcome,
        tell: Callable[[str], None] = lambda _: None,
        everything: Mapping[str, Addition] | None = None,
    ) -> None:
        """Writes what becomes of the base's file `place`; what is found goes to `outcome`.

        tell: called with each tensor that is written. everything: the merged updates by path, where they are known.
        """
        mine = [target for target in self.targets if target.place == place]
        leaders = {self.leaders.get(target.layer.path, target.layer.path) for target in mine}
        layers = [layer for layer in job.layers if layer.path in leaders]
        results = (
            _each(replace(job, layers=layers), outcome)
            if everything is None
            else ((layer, everything[layer.path]) for layer in layers)
        )
        self._write_file(place, path, mine, results, tell)

    def _write_file(
        self,
        place: str,
        path: Path,
        mine: Sequence[Target],
        results: Iterable[tuple[Layer, Addition]],
        tell: Callable[[str], None],
    ) -> None:
        file = self.base.files[place]
        copies = {name: source for name, source in self.ties.copies.items() if self.base.places[source] == place}
        changed = {target.name for target in mine}
        names = [*file.entries, *copies, *changed]
        writer = TensorWriter(path, names, _DIMENSIONS, file.metadata)
        try:
            for layer, addition in results:
                for target in mine:
                    if self.leaders.get(target.layer.path, target.layer.path) == layer.path:
                        writer.add(target.name, self._added(target, addition))
                        tell(target.name)
            for name in [*(n for n in file.entries if n not in changed), *copies]:
                source = copies.get(name, name)
                entry = file.entries[source]
                writer.copy(name, entry.code, entry.shape, self.base.pieces(source))
                tell(name)
            writer.close()
        finally:
            writer.abandon()

    def _added(self, target: Target, addition: Addition) -> np.ndarray:
        """W + ΔW in the dtype of W, rounded once, some rows at a time."""
        weight = self.base.read(target.source)
        flat = weight.reshape(weight.shape[0], -1)
        rows = flat.T if target.turned else flat  # (m, n), a view
        left, right = addition
        step = max(1, _ROWS // rows.shape[1])
        for i in range(0, rows.shape[0], step):
            here = slice(i, i + step)
            more = left[here] if right is None else left[here] @ right
            with np.errstate(over="ignore"):
                rows[here] = (rows[here].astype(np.float64) + more).astype(weight.dtype)
            if not np.all(np.isfinite(rows[here])):
                raise AdapterError(
                    f"layer {shown(target.layer.path)}: W + ΔW does not fit {weight.dtype.name}, the base's dtype; "
                    "choose a smaller --scale"
                )
        return weight

    def _write_index(self, folder: Path) -> None:
        """The base's index, with what is new in it."""
        base = self.base
        if base.index is None:
            return
        content = read_json(base.folder / base.index)
        new = {target.name: target.place for target in self.targets if target.name not in base.entries}
        new |= {name: base.places[source] for name, source in self.ties.copies.items()}
        sources = {**{target.name: target.source for target in self.targets}, **self.ties.copies}
        content["weight_map"] |= new
        about = content.get("metadata")
        if isinstance(about, dict) and isinstance(about.get("total_size"), int):
            about["total_size"] += sum(base.size(sources[name]) for name in new)
        _write_json(folder / base.index, content)

    def _write_others(self, folder: Path) -> None:
        """config.json, which says what is tied, and every file that is no weights."""
        if self.base.config:
            config = dict(self.base.config)
            if self.ties.untied:
                config[TIED] = False
                if isinstance(config.get("text_config"), dict):
                    config["text_config"] = {**config["text_config"], TIED: False}
            _write_json(folder / CONFIG, config)
        left = []
        for name, copied in self.base.others():
            if not copied:
                left.append(name)
            elif name not in (card.NAME, "coremerge.json"):
                shutil.copyfile(self.base.folder / name, folder / name)
        if left:
            more = f" and {len(left) - 3} more" if len(left) > 3 else ""
            self.ties.notes.append(
                f"{', '.join(left[:3])}{more} of {self.base.path} were not copied: other weights, or folders"
            )


class _Written:
    """Tensors written, told one by one."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def one_more(self, name: str) -> None:
        """The tensor is written."""
        self._done += 1
        self._progress(min(self._done, self._total), self._total, name)


def _each(job: Job, outcome: Outcome) -> Iterable[tuple[Layer, Addition]]:
    """Each layer with its merged update on the host, in float64."""

    def fetched(layer: Layer, update: Update) -> tuple[Addition, dict[str, Any]]:
        if isinstance(update, LowRankUpdate):
            return (job.backend.fetch(update.B), job.backend.fetch(update.A)), facts(update)
        return (job.backend.fetch(update.to_dense()), None), facts(update)

    if not job.layers:
        return
    for layer, (addition, known), alive in job.run(fetched):
        left, right = addition
        if alive and not (left.any() and (right is None or right.any())):
            outcome.zeros.append(layer.path)
        for each in (layer, *job.twins.get(layer.path, ())):
            outcome.facts[each.path] = known
        yield layer, addition


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
