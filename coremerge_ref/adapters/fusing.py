"""A base model with a merge added to its weights, written shard by shard in the base's own layout and dtypes."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from coremerge_ref.adapters import card
from coremerge_ref.adapters.base_model import CONFIG, BaseModel
from coremerge_ref.adapters.files import read_json, shown
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.leftovers import mark_all_ours
from coremerge_ref.adapters.modules import EMBEDDING
from coremerge_ref.adapters.orientation import check_attention, stored_transposed
from coremerge_ref.adapters.plan import Layer
from coremerge_ref.adapters.record import sha256
from coremerge_ref.adapters.replace import Output, check_output
from coremerge_ref.adapters.replace_file import check_output_file
from coremerge_ref.adapters.streaming import Job, Progress
from coremerge_ref.adapters.writer import TensorWriter
from coremerge_ref.adapters.writing import Outcome, base_weights, facts
from coremerge_ref.core.updates import LowRankUpdate, Update
from coremerge_ref.errors import AdapterError, ParameterError

Addition = tuple[np.ndarray, np.ndarray | None]  # B (m, r) and A (r, n), or ΔW (m, n) and None
_ROWS = 2**20  # entries of a weight that are float64 at a time
_DIMENSIONS = 8
_TIED = "tie_word_embeddings"
# What language models call their input embedding and their output head, which many tie: one weight for both.
_EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "tok_embeddings", "embed_in", "shared")
_HEADS = ("lm_head", "embed_out", "output")


@dataclass(frozen=True)
class Target:
    """A tensor of the output: the base's tensor `source`, in the file `place`, with the update of `layer` added."""

    name: str
    source: str
    place: str
    layer: Layer
    turned: bool  # whether the weight is stored as (in, out)


class Fusion:
    """What is added where. AdapterError for modules without a weight of their shape in the base, naming them."""

    def __init__(self, base: BaseModel, adapters: Sequence[Adapter], layers: Sequence[Layer], twins: Any) -> None:
        """layers: all of the output. twins: as Job has them."""
        self.base, self.adapters = base, adapters
        self.untied = False
        self.notes: list[str] = []
        self.copies: dict[str, str] = {}  # tensors that get the base's numbers of another
        if stacked := next((layer for layer in layers if layer.first.stack), None):
            raise AdapterError(
                f"module {shown(stacked.path)}: refused with --into: experts that an adapter holds fused "
                "(target_parameters) lie in checkpoints in several ways; write the adapter, and fuse it with PEFT"
            )
        self._leaders = {each.path: path for path, same in twins.items() for each in same}
        check_attention(layers)
        names = base.match([layer.path for layer in layers])
        base.names = {layer.path: self._source(layer, names.get(layer.path)) for layer in layers}
        turned = stored_transposed(adapters, layers, base)
        targets = []
        for layer in layers:
            source, name = base.names[layer.path], names.get(layer.path, f"{layer.path}.weight")
            way = turned[layer.name] and len(base.entries[source].shape) == 2
            self._check(layer, source, way)
            targets.append(Target(name, source, base.places.get(name, base.places[source]), layer, way))
        self.targets = self._with_ties(targets)

    def _source(self, layer: Layer, name: str | None) -> str:
        """The tensor that holds the module's weight: `name`, or the embedding's of a head that is tied to it."""
        base, leaf = self.base, layer.path.rpartition(".")[2]
        tied = leaf in _HEADS and base.config.get(_TIED, name is None)
        found = [other for other in self._embeddings() if base.entries[other].shape == layer.shape] if tied else []
        if len(found) == 1:
            return found[0]
        if name is not None:
            return name
        raise AdapterError(
            f"module {shown(layer.path)}: expected its weight in {shown(base.path)}, which has none of that name; is "
            "this the adapters' base model? leave the module out with --exclude"
        )

    def _embeddings(self) -> list[str]:
        ends = tuple(f"{leaf}.weight" for leaf in _EMBEDDINGS)
        return [
            name for name in self.base.entries if name.rpartition(".weight")[0].rpartition(".")[2] + ".weight" in ends
        ]

    def _check(self, layer: Layer, source: str, turned: bool) -> None:
        entry = self.base.check_plain(source)
        m, n = layer.shape
        flat = (entry.shape[0], int(np.prod(entry.shape[1:], dtype=np.int64))) if entry.shape else ()
        if flat != ((n, m) if turned else (m, n)):
            raise AdapterError(
                f"module {shown(layer.path)}: expected a weight of shape {(n, m) if turned else (m, n)} in "
                f"{shown(self.base.path)}, got {shown(source)} of shape {entry.shape}; is this the adapters' base "
                "model? leave the module out with --exclude"
            )
        saved = base_weights(self.adapters, layer)
        if saved is not None and not _same(saved[1], self.base.read(source)):
            raise AdapterError(
                f"module {shown(layer.path)}: the adapters bring weights of their own for it, which are not those of "
                f"{shown(self.base.path)}: another base model's, or trained ones; leave it out with --exclude"
            )

    def _with_ties(self, targets: list[Target]) -> list[Target]:
        """Where head and embedding are one weight of the base: still one if they get one update, else two, untied."""
        by_source: dict[str, list[Target]] = {}
        for target in targets:
            by_source.setdefault(target.source, []).append(target)
        kept = []
        for source, same in by_source.items():
            own = [target for target in same if target.name == source]
            one_update = len({self._leaders.get(target.layer.path, target.layer.path) for target in same}) == 1
            if own and one_update and len(same) > 1:
                kept += own
                continue
            kept += same
            if len(same) > 1 or not own:
                self._untie(source, [target.name for target in same if target.name != source])
            elif own[0].layer.first.kind == EMBEDDING and (head := self._head_of(source)):
                self.copies[head] = source
                self._untie(source, [head])
        return kept

    def _head_of(self, embedding: str) -> str | None:
        """The name of the head that is tied to `embedding` and is to stay as it is; None where there is none."""
        base = self.base
        heads = [name for name in base.entries if name.removesuffix(".weight").rpartition(".")[2] in _HEADS]
        if heads or not base.config:
            if heads and base.config.get(_TIED):
                self.untied = True  # the file has both; a loader would tie them all the same
            return None
        kinds = base.config.get("architectures") or [""]
        if not base.config.get(_TIED, True) or not str(kinds[0]).endswith(("ForCausalLM", "LMHeadModel")):
            return None
        return f"{_HEADS[0]}.weight"

    def _untie(self, source: str, heads: Sequence[str]) -> None:
        self.untied = True
        self.notes.append(
            f"{source} and {', '.join(heads)} were one weight (tied) and get different updates: they are two in the "
            f"output, and its config.json says {_TIED}: false"
        )

    @property
    def library(self) -> str:
        """What loads it, by its name on the hub."""
        return "transformers" if "model_type" in self.base.config else "diffusers"

    def described(self) -> dict[str, Any]:
        """Which base it is, for the record."""
        return {
            "path": self.base.called,
            "sha256": {name: sha256(self.base.folder / name) for name in self.base.files},
        }

    def output(self, target: Path, force: bool, inputs: Iterable[Path]) -> tuple[Output, bool]:
        """What is at the output, checked to be new, and whether it is one file."""
        if self.base.one_file and target.suffix == ".safetensors":
            return check_output_file(target, force, [*inputs, self.base.path]), True
        if force:
            raise ParameterError("--force: a fused model replaces no folder; choose another output, or remove it first")
        return check_output(target, False, ()), False

    def write(self, job: Job, folder: Path, one_file: str | None) -> Outcome:
        """Writes every file of the model; one_file: the name of the one, where the output is one."""
        mark_all_ours(folder)
        outcome = Outcome()
        whole = any(pipeline.whole_model for pipeline in job.pipeline.values())
        everything = {layer.path: addition for layer, addition in _each(job, outcome)} if whole else {}
        written = _Written(job.progress, sum(len(file.entries) for file in self.base.files.values()))
        job = replace(job, progress=lambda *_: None)
        for place in self.base.files:
            mine = [target for target in self.targets if target.place == place]
            leaders = {self._leaders.get(target.layer.path, target.layer.path): target for target in mine}
            layers = [layer for layer in job.layers if layer.path in leaders]
            results = (
                ((layer, everything[layer.path]) for layer in layers)
                if whole
                else _each(replace(job, layers=layers), outcome)
            )
            self._write_file(place, folder / (one_file or place), mine, results, written)
        if one_file is None and not self.base.one_file:
            self._write_index(folder)
            self._write_others(folder)
        return outcome

    def _write_file(
        self,
        place: str,
        path: Path,
        mine: Sequence[Target],
        results: Iterable[tuple[Layer, Addition]],
        written: "_Written",
    ) -> None:
        file = self.base.files[place]
        copies = {name: source for name, source in self.copies.items() if self.base.places[source] == place}
        changed = {target.name for target in mine}
        names = [*file.entries, *copies, *changed]
        writer = TensorWriter(path, names, _DIMENSIONS, file.metadata)
        try:
            for layer, addition in results:
                for target in mine:
                    if self._leaders.get(target.layer.path, target.layer.path) == layer.path:
                        writer.add(target.name, self._added(target, addition))
                        written.one_more(target.name)
            for name in [*(n for n in file.entries if n not in changed), *copies]:
                source = copies.get(name, name)
                entry = file.entries[source]
                writer.copy(name, entry.code, entry.shape, self.base.pieces(source))
                written.one_more(name)
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
        new |= {name: base.places[source] for name, source in self.copies.items()}
        sources = {**{target.name: target.source for target in self.targets}, **self.copies}
        content["weight_map"] |= new
        about = content.get("metadata")
        if isinstance(about, dict) and isinstance(about.get("total_size"), int):
            about["total_size"] += sum(base.size(sources[name]) for name in new)
        _write_json(folder / base.index, content)

    def _write_others(self, folder: Path) -> None:
        """config.json, which says what is tied, and every file that is no weights."""
        if self.base.config:
            config = dict(self.base.config)
            if self.untied:
                config[_TIED] = False
                if isinstance(config.get("text_config"), dict):
                    config["text_config"] = {**config["text_config"], _TIED: False}
            _write_json(folder / CONFIG, config)
        left = []
        for name, copied in self.base.others():
            if not copied:
                left.append(name)
            elif name not in (card.NAME, "coremerge.json"):
                shutil.copyfile(self.base.folder / name, folder / name)
        if left:
            more = f" and {len(left) - 3} more" if len(left) > 3 else ""
            self.notes.append(
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


def _same(saved: np.ndarray, weight: np.ndarray) -> bool:
    """Whether two copies of a weight are one, rounded to the narrower dtype of the two."""
    narrow = min(saved.dtype, weight.dtype, key=lambda dtype: dtype.itemsize)
    with np.errstate(over="ignore"):
        return np.array_equal(saved.astype(narrow), weight.astype(narrow))


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
