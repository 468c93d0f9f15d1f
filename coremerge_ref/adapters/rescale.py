"""One adapter times a number, written as it is: what every trial of α needs, and no merge."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coremerge_ref.adapters import card
from coremerge_ref.adapters import record as records
from coremerge_ref.adapters.accepting import Accepting
from coremerge_ref.adapters.files import is_regular_file, read_json
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.forms import FORMS, SUFFIXES
from coremerge_ref.adapters.merge import merge_folders
from coremerge_ref.adapters.others import FIRST
from coremerge_ref.adapters.replace import Output, check_output, replaced
from coremerge_ref.adapters.replace_file import check_output_file, record_beside, replaced_file
from coremerge_ref.adapters.scaled import WRITERS
from coremerge_ref.errors import AdapterError, shown
from coremerge_ref.version import package_version


class ScalableAdapter:
    """An adapter of any kind that is read, to be written times numbers.

    The number goes into lora_alpha, the alphas or the scale of its format; what has no place for one (VeRA, AdaLoRA …)
    is first written as a LoRA in a temporary folder. Heads and biases beside the update stay as they are. scale: what
    it was merged at, as its coremerge.json says, else 1.
    """

    def __init__(self, path: str | Path, base: str | Path | None = None) -> None:
        """AdapterError for what cannot be read. base: as in merge_folders."""
        self.given = Adapter(Accepting(path, True, ()))
        self._unit: tempfile.TemporaryDirectory[str] | None = None
        self.adapter, self.notes = self.given, list[str]()
        self.record = _record_of(self.given)
        scale = self.record.get("scale")
        self.scale = float(scale) if isinstance(scale, int | float) else 1.0
        if WRITERS[self.family].refuses(self.given):
            self._unit = tempfile.TemporaryDirectory(prefix="coremerge-unit-")
            report = merge_folders([path], Path(self._unit.name) / "unit", "ta", others=FIRST, base=base)
            self.adapter = Adapter(Accepting(report.output, True, ()))
            self.notes = [f"{path}: has no place for a scale: it was written as a LoRA first", *report.notes]

    @property
    def family(self) -> str:
        """Of its readers and writers."""
        return self.given.reader.family

    @property
    def is_file(self) -> bool:
        """Whether it is one file, and no folder."""
        return self.given.path == self.given.files[0]

    def write_trial(self, folder: Path, factor: float, one_file: bool | None = None) -> Path:
        """The adapter times `factor` in `folder`, a folder or a file as the adapter is; where a loader looks for it.

        Tensors that stay as they are become links to the adapter's own file, where the file system has them. one_file:
        whether to write a file, as the adapter is by default.
        """
        as_file = self.is_file if one_file is None else one_file
        place = folder if as_file else folder / "adapter"
        os.makedirs(place, exist_ok=True)
        name = self.given.path.name if self.is_file and as_file else FORMS[self.family].weights
        WRITERS[self.family].write(self.adapter, place, name, factor, _link)
        return place / name if as_file else place

    def check_output(self, output: str | Path, force: bool) -> tuple[Output, bool]:
        """What is at `output`, and whether it is one file; AdapterError unless it may be written."""
        target, form = Path(output), FORMS[self.family]
        one_file = bool(form.suffix) and target.suffix == form.suffix
        if target.suffix in SUFFIXES and not one_file:
            raise AdapterError(
                f"{shown(target)}: expected the name of a folder, as {shown(self.given.path)} is one; choose another "
                "output"
            )
        return (check_output_file if one_file else check_output)(target, force, self.given.files), one_file

    def write(
        self, output: str | Path, factor: float, force: bool = False, about: Mapping[str, Any] | None = None
    ) -> None:
        """The adapter times `factor` at `output`, whole or not at all, with a coremerge.json that says so.

        That of a merge is carried over with its scale times `factor`, so that it still repeats the merge; about: more
        for it.
        """
        (there, one_file), form = self.check_output(output, force), FORMS[self.family]
        with replaced_file(there, records.NAME) if one_file else replaced(there) as folder:
            name = Path(output).name if one_file else form.weights
            WRITERS[self.family].write(self.adapter, folder, name, factor, shutil.copyfile)
            written = {entry.name: records.sha256(entry) for entry in sorted(folder.iterdir())}
            record = self._record(output, factor, written) | dict(about or {})
            text = json.dumps(record, indent=2, allow_nan=False) + "\n"
            (folder / records.NAME).write_text(text, encoding="utf-8")
            if not one_file and self.record:
                bases = form.hub_names([self.given.config.base_model_name_or_path])
                (folder / card.NAME).write_text(card.model_card(bases, record, form.library), encoding="utf-8")
        self.notes += there.notes

    def _record(self, output: str | Path, factor: float, written: Mapping[str, str]) -> dict[str, Any]:
        if not self.record:
            digests = {path.name: records.sha256(path) for path in self.given.files}
            source = {"path": self.given.called, "sha256": digests}
            return {"coremerge_ref": package_version(), "scaled": source, "by": factor, "outputs": dict(written)}
        scale, recipe = self.scale * factor, self.record.get("recipe")
        if isinstance(recipe, dict):
            recipe = {**recipe, "scale": scale, "output": os.fspath(output)}
        return {**self.record, "scale": scale, "recipe": recipe, "outputs": dict(written)}

    def close(self) -> None:
        """Removes what is temporary."""
        if self._unit is not None:
            self._unit.cleanup()

    def __enter__(self) -> "ScalableAdapter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _record_of(adapter: Adapter) -> dict[str, Any]:
    """The record of the merge that wrote the adapter; empty where there is none. AdapterError if files were edited."""
    first = adapter.files[0]
    path = record_beside(first, records.NAME) if adapter.path == first else first.parent / records.NAME
    if not is_regular_file(path):
        return {}
    records.check_recorded(adapter, {file.name: records.sha256(file) for file in adapter.files})
    record = read_json(path)
    needed = ("inputs", "outputs", "notes", "coremerge_ref", "scale")
    return record if all(name in record for name in needed) else {}


def _link(source: Path, target: Path) -> None:
    """A second name for a file, or a copy where the file system has no such thing."""
    try:
        os.link(os.path.realpath(source), target)  # of a relative link, as in the hub's cache, a copy leads nowhere
    except OSError:
        shutil.copyfile(source, target)
