"""A LoRA out of a full fine-tune: the nearest one of its difference from its base, and how far that is from it."""

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from coremerge_ref.adapters import record as records
from coremerge_ref.adapters.base_model import BaseModel
from coremerge_ref.adapters.cutting import Cut
from coremerge_ref.adapters.extracting import AUTO, WAYS, DifferencePlace, Extraction, Pair
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.formats.place import CONFIG, WEIGHTS
from coremerge_ref.adapters.forms.peft import PeftForm
from coremerge_ref.adapters.hub import HubId, is_hub_id
from coremerge_ref.adapters.memory import free_memory
from coremerge_ref.adapters.plan import Plan
from coremerge_ref.adapters.ready import Options, ready
from coremerge_ref.adapters.replace import check_output, replaced
from coremerge_ref.adapters.resize import in_order
from coremerge_ref.adapters.streaming import Progress
from coremerge_ref.adapters.targets import exactly
from coremerge_ref.adapters.writer import TensorWriter
from coremerge_ref.adapters.writing import Outcome, facts, finish_ranks, rounded
from coremerge_ref.core.updates import Update
from coremerge_ref.errors import AdapterError, ParameterError, shown
from coremerge_ref.version import package_version

_SKETCH, _SVD = 3, 8  # float64 matrices of a layer's size that each takes
_NAMED = 3  # of what is left out, in a note


@dataclass(frozen=True)
class ExtractReport:
    """What was extracted. layers: by path, "rank", cutting.facts, "change" (‖W₁ − W₀‖ / ‖W₀‖) and "sketched"."""

    output: str
    ranks: tuple[int, int]
    bytes: int
    seconds: float
    layers: dict[str, dict[str, Any]]
    unchanged: list[str]
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def extract_adapter(
    base: str | Path,
    tuned: str | Path,
    output: str | Path,
    *,
    rank: int | None = None,
    retain: float | None = None,
    svd: str = AUTO,
    one_rank: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    dtype: str | None = None,
    backend: str = "numpy",
    device: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> ExtractReport:
    """Write, as a PEFT LoRA folder, the nearest update of a small rank of every linear layer and convolution.

    Parameters
    ----------
    base, tuned : two models of one architecture, each a folder with safetensors files as save_pretrained writes it, or
        one such file. Biases, norms and embeddings are not taken; a note says how much they differ.
    rank : at most this rank. retain : the fewest directions that keep this share of ‖W₁ − W₀‖_F²; layer by layer.
    svd : "full" gives the nearest update of all (Eckart–Young). "randomized" draws a few directions more than the rank
        and iterates (sketching.sketch): much quicker where the rank is small, nearly as near, and the error that is
        reported is computed all the same, not estimated. "auto": full where a side of a layer is at most 512 or the
        rank above a quarter of it.
    one_rank : pad all layers to the largest rank. include, exclude, dtype, backend, device, force, progress : as in
        merge_folders.

    Each layer's "error" is ‖(W₁ − W₀) − B A‖_F / ‖W₁ − W₀‖_F before B and A are rounded to the dtype. Raises
    ParameterError for the arguments, AdapterError for models that do not fit together, quantised or damaged ones, and
    two that do not differ; nothing was written then.
    """
    started = time.monotonic()
    cut = Cut(rank, retain)
    if cut == Cut():
        raise ParameterError("expected how much to keep, got nothing; give rank or retain")
    if svd not in WAYS:
        raise ParameterError(f"svd: expected one of {', '.join(WAYS)}, got {svd!r}")
    options = Options("ta", "full", rank=cut, dtype=dtype, backend=backend, device=device, include=include,
                      exclude=exclude)  # fmt: skip
    options.check(1)
    pair = Pair(BaseModel(base), BaseModel(tuned), include, exclude)
    target = Path(output)
    files = [model.folder / name for model in (pair.base, pair.tuned) for name in model.files]
    there = check_output(target, force, files)
    adapter = Adapter(DifferencePlace(pair, _config(pair)))
    job, plan, _ = ready([adapter], replace(options, include=(), exclude=()), None, progress or (lambda *_: None))
    job = Extraction(**{each.name: getattr(job, each.name) for each in fields(job)}, pair=pair, svd=svd)
    job = _within_memory(job)
    with replaced(there) as folder:
        outcome, kept = _write(job, PeftForm([adapter], plan), folder / WEIGHTS, cut.by_layer and not one_rank)
        if not kept.layers:
            raise AdapterError(
                f"{pair.base.path} and {pair.tuned.path}: expected two models that differ, got the same weights in "
                f"{len(plan.layers)} modules; there is nothing to extract"
            )
        config = PeftForm([adapter], kept).companions(outcome.ranks)[CONFIG]
        config["target_modules"] = _targets([layer.path for layer in kept.layers], pair.tuned)
        _write_json(folder / CONFIG, config)
        unchanged = sorted({layer.path for layer in plan.layers} - outcome.facts.keys(), key=in_order)
        notes = _notes(pair, unchanged)
        layers = {name: outcome.facts[name] for name in sorted(outcome.facts, key=in_order)}
        size = (folder / WEIGHTS).stat().st_size
        digests = {path: records.sha256(path) for path in files}
        models = [
            {"path": model.called, "sha256": {name: digests[model.folder / name] for name in model.files}}
            for model in (pair.base, pair.tuned)
        ]
        how = {"rank": cut.described, "svd": svd, "dtype": dtype, "include": [*include], "exclude": [*exclude]}
        written = {entry.name: records.sha256(entry) for entry in sorted(folder.iterdir())}
        made = {"coremerge_ref": package_version(), "extracted": {"base": models[0], "tuned": models[1]}, **how}
        _write_json(folder / records.NAME, {**made, "outputs": written, "layers": layers, "notes": notes})
    ranks = min(outcome.ranks.values()), max(outcome.ranks.values())
    seconds = round(time.monotonic() - started, 3)
    return ExtractReport(str(target), ranks, size, seconds, layers, unchanged, notes + there.notes)


def _config(pair: Pair) -> dict[str, Any]:
    """What PEFT's config says of the adapter."""
    architectures = pair.tuned.config.get("architectures") or pair.base.config.get("architectures") or [""]
    causal = str(architectures[0]).endswith(("ForCausalLM", "LMHeadModel"))
    called = pair.base.called
    named = HubId.of(called) if is_hub_id(called) else HubId(called)
    return {
        "base_model_name_or_path": named.repo,
        "revision": named.revision,
        "task_type": "CAUSAL_LM" if causal else None,
        "fan_in_fan_out": any(pair.turned.values()),
    }


def _within_memory(job: Extraction) -> Extraction:
    """The job with as many layers beside one another as memory allows; ParameterError where there is none for one."""
    needs = {
        layer.path: 8.0 * (_SVD if job.takes_all(layer) else _SKETCH) * math.prod(layer.shape) for layer in job.layers
    }
    largest = max(needs, key=lambda path: needs[path])
    free = free_memory()
    if free is None:
        return job
    if needs[largest] > free:
        raise ParameterError(
            f"layer {shown(largest)}: needs about {needs[largest] / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are "
            "free; leave it out with --exclude, or take less with --svd randomized"
        )
    workers = max(1, min(job.backend.workers, int(free / needs[largest])))
    return replace(job, backend=replace(job.backend, workers=workers))


def _write(job: Extraction, form: PeftForm, path: Path, ragged: bool) -> tuple[Outcome, Plan]:
    """Writes the factors of the layers that differ; returns what is known of them, and the plan of these alone."""
    outcome = Outcome()
    differ = []
    writer = TensorWriter(path, form.names(), 5)
    try:
        for layer, (B, A, known), _ in job.run(lambda _, update: _fetched(job, update), dense=True):
            if known["norm"] == 0:
                continue
            outcome.ranks[layer.name] = B.shape[1]
            outcome.facts[layer.path] = {"rank": B.shape[1], **known}
            differ.append(layer)
            B, A = (rounded(X, layer, job.dtype) for X in (B, A))
            for name, array in form.tensors([(layer, B, A)]).items():
                writer.add(name, array)
        writer.close()
    finally:
        writer.abandon()
    order = {layer.path: i for i, layer in enumerate(form.layers)}
    plan = replace(form.plan, layers=sorted(differ, key=lambda layer: order[layer.path]), complete=False)
    if differ:
        finish_ranks(path, PeftForm(form.adapters, plan), outcome, plan.layers, ragged)
    return outcome, plan


def _fetched(job: Extraction, update: Update) -> tuple[Any, Any, dict[str, Any]]:
    """(B, A, facts); of a sketch what only all singular values say is left out."""
    known = facts(update)
    if known["sketched"]:
        known = {name: value for name, value in known.items() if name not in ("of", "cumulative")}
    return job.backend.fetch(update.B), job.backend.fetch(update.A), known  # type: ignore[union-attr]


def _targets(paths: Sequence[str], tuned: BaseModel) -> Any:
    """The last parts of the paths, where no other module is called so; else an expression of the paths alone."""
    leaves = sorted({path.rpartition(".")[2] for path in paths})
    modules = {name.rpartition(".")[0] for name in tuned.entries}
    called = {module for module in modules if module.rpartition(".")[2] in leaves}
    return leaves if called <= {*paths} else exactly(sorted(paths))


def _notes(pair: Pair, unchanged: Sequence[str]) -> list[str]:
    """What was not taken, and how much of it differs."""
    notes = [f"{len(unchanged)} modules do not differ: {_some(unchanged)}"] if unchanged else []
    changes = {name: pair.change(name) for name, why in pair.left.items() if why != "left out"}
    differ = sorted((name for name, change in changes.items() if change), key=lambda name: -changes[name])
    if differ:
        notes.append(
            f"{len(differ)} tensors that a LoRA does not hold (biases, norms, embeddings) differ and were not taken, "
            f"the most by ‖W₁ − W₀‖ / ‖W₀‖ = {changes[differ[0]]:.2g}: {_some(differ)}"
        )
    if absent := [name for name, why in pair.left.items() if why.startswith("not in")]:
        notes.append(f"{len(absent)} weights are not in {pair.base.path} and were not taken: {_some(absent)}")
    return notes


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:_NAMED]) + (" …" if len(listed) > _NAMED else "")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
