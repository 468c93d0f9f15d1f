"""The output of a merge, whole or not at all: its tensors, what goes beside them, its record, and what is reported."""

import json
import shlex
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coremerge_ref.adapters import card
from coremerge_ref.adapters import record as records
from coremerge_ref.adapters.formats.place import CONFIG
from coremerge_ref.adapters.fusing import Fusion
from coremerge_ref.adapters.replace import Output, replaced
from coremerge_ref.adapters.replace_file import replaced_file
from coremerge_ref.adapters.report import MergeReport, outcome_notes
from coremerge_ref.adapters.sharding import SHARD_ENDS
from coremerge_ref.adapters.writing import Outcome

if TYPE_CHECKING:
    from coremerge_ref.adapters.prepared import PreparedFolders

Fill = Callable[[Path], Outcome]  # writes the tensors into a folder


@dataclass(frozen=True)
class Said:
    """Of a merge, for its report; started: by time.monotonic."""

    method: str
    space: str
    scale: float
    started: float


@dataclass(frozen=True)
class Publication:
    """What will stand at `target`, where `there` is now: one file or a folder, of factors, `dense`, or a whole model.

    opened: the adapters that were merged. fusion: what was added to which model, if the output is one.
    """

    opened: "PreparedFolders"
    target: Path
    there: Output
    one_file: bool
    dense: bool
    said: Said
    fusion: Fusion | None = None

    def publish(self, how: Mapping[str, Any], fill: Fill | None, executor: Executor | None = None) -> MergeReport:
        """Writes it. how: the settings, for the record. fill None: nothing is written. executor: to hash the inputs."""
        notes, outcome, size, shards = [*self.opened.notes], Outcome(), 0, 0
        if fill is not None:
            place = replaced_file(self.there, records.NAME) if self.one_file else replaced(self.there)
            unknown = self.opened.adapters if self.opened.digests is None else ()
            with records.Hashes(unknown, executor) as hashes, place as folder:
                outcome = fill(folder)
                size = sum(entry.stat().st_size for entry in folder.iterdir())
                shards = sum(1 for entry in folder.glob(f"*{SHARD_ENDS}"))
                notes += self._companions(folder, outcome)
                if self.opened.digests is None:
                    self.opened.digests = hashes.results()
                self._record(folder, how, outcome, notes)
            if shards and not self.dense and not self.fusion:
                notes.append(
                    f"the output is in {shards} files: this package reads them, and peft, which knows one file, does "
                    f"not; coremerge convert {shlex.quote(str(self.target))} ONE --to peft makes one of them"
                )
        return MergeReport(
            output=str(self.target),
            written=fill is not None,
            method=self.said.method,
            space=self.said.space,
            adapters=len(self.opened.adapters),
            layers=len(self.opened.plan.layers),
            ranks=(min(outcome.ranks.values()), max(outcome.ranks.values())) if outcome.ranks else None,
            bytes=size,
            seconds=round(time.monotonic() - self.said.started, 3),
            scale=self.said.scale,
            load="" if self.dense or self.fusion or shards else self._loading(),
            notes=notes + self.there.notes,
            facts=outcome.facts,
        )

    def _companions(self, folder: Path, outcome: Outcome) -> list[str]:
        """Writes the files that a loader needs beside the tensors; notes on what was merged."""
        notes = [*self.fusion.notes] if self.fusion else []
        if not (self.fusion or self.dense):
            beside = self.opened.beside.fields
            for name, content in self.opened.form.companions(outcome.ranks).items():
                _write_json(folder / name, content | (beside if name == CONFIG else {}))
        return notes + outcome_notes(outcome.zeros, outcome.facts, len(self.opened.plan.layers))

    def _record(self, folder: Path, how: Mapping[str, Any], outcome: Outcome, notes: list[str]) -> None:
        """Writes coremerge.json and the model card, which say what was made of what."""
        adapters, digests = self.opened.adapters, self.opened.digests or []
        if self.fusion:
            how = {**how, "base": self.fusion.described()}
        for adapter, each in zip(adapters, digests, strict=True):
            records.check_recorded(adapter, each)
        written = {
            entry.name: outcome.digests.get(entry.name) or records.sha256(entry) for entry in sorted(folder.iterdir())
        }
        made = records.record(adapters, dict(how), outcome, notes, self.opened.plan.renamings, digests, written)
        _write_json(folder / records.NAME, made)
        kind = self.opened.kind
        bases = kind.hub_names([adapter.config.base_model_name_or_path for adapter in adapters])
        library = self.fusion.library if self.fusion else kind.library
        text = card.model_card(bases, made, library, fused=self.fusion is not None)
        (folder / card.NAME).write_text(text, encoding="utf-8")

    def _loading(self) -> str:
        """How to load it: of a format that is one file, the file."""
        kind = self.opened.kind
        inside = kind.suffix == ".gguf" and not self.one_file
        return kind.loading.format(path=self.target / kind.weights if inside else self.target)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
