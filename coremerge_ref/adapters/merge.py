"""Adapter folders in, one adapter folder out."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from coremerge_ref.adapters import card, recipes
from coremerge_ref.adapters import record as records
from coremerge_ref.adapters.accepting import Accepting
from coremerge_ref.adapters.files import shown
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.formats.place import CONFIG
from coremerge_ref.adapters.forms import FORMS, SUFFIXES
from coremerge_ref.adapters.memory import within_memory
from coremerge_ref.adapters.orientation import stored_transposed
from coremerge_ref.adapters.others import REFUSE, Others, check_choice, unread
from coremerge_ref.adapters.ready import Options, ready
from coremerge_ref.adapters.replace import check_output, replaced
from coremerge_ref.adapters.replace_file import check_output_file, replaced_file
from coremerge_ref.adapters.report import MergeReport, zero_notes
from coremerge_ref.adapters.selection import PerModule
from coremerge_ref.adapters.streaming import Progress
from coremerge_ref.adapters.widths import BaseShapes
from coremerge_ref.adapters.writing import write_dense, write_factors
from coremerge_ref.core.pipeline import Method, Pipeline
from coremerge_ref.core.spaces import Space
from coremerge_ref.errors import AdapterError

DENSE = "delta_weights.safetensors"


def merge_folders(
    paths: Sequence[str | Path],
    output: str | Path,
    method: Method | Pipeline | PerModule[Any] | Sequence[dict[str, Any]] = "tsv",
    space: str | Space = "core",
    *,
    weights: Sequence[float] | PerModule[Any] | Sequence[dict[str, Any]] | None = None,
    scale: float = 1.0,
    rank: int | None = None,
    ragged: bool = False,
    dense: bool = False,
    dtype: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    rename: Sequence[str] = (),
    allow_missing: bool = False,
    others: str = REFUSE,
    backend: str = "numpy",
    device: str | None = None,
    base: str | Path | None = None,
    force: bool = False,
    dry_run: bool = False,
    ignore_memory: bool = False,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
    recipe: dict[str, Any] | None = None,
) -> MergeReport:
    """Merge adapters into one that is written as they are, a batch of layers at a time.

    Parameters
    ----------
    paths : adapter folders or files of any kind in the table of readers (docs/formats.md); TRAINED@INITIAL for PiSSA
        and its like; one alone gives itself back. Modules that only some adapters have are merged among those,
        and a note says so.
    output : folder to write, or a file for inputs that are single files (.safetensors) or GGUF (.gguf). For PEFT
        adapters adapter_config.json and adapter_model.safetensors, which PEFT and transformers load where
        they load the inputs; coremerge.json, the record of how it was merged; README.md, a model card, unless one is
        there that coremerge did not write. It appears whole or not at all.
    method, space, weights, scale : as in merge. PEFT then computes W0 + scale · ΔW. A weight of 0 is not leaving an
        adapter out. method and weights may depend on the module: a list of {"match": PATTERN, "value": …} for methods,
        {"match": PATTERN, "values": […]} for weights, of which the first that matches counts; patterns as in include.
        Modules that no rule matches are merged by tsv, and with weights 1.
    rank : truncate every layer to this rank, optimally; by default a layer keeps all directions that are not zero.
    ragged : leave layers at the ranks they have, with rank_pattern in the config. By default all are padded with zero
        directions to the largest, exactly, since many readers know one rank and one alpha.
    dense : write full-size ΔW to delta_weights.safetensors instead, under the names and in the shapes of the base
        model's weights. Needed, or else `rank`, where the result is no low-rank product (elementwise methods in full
        space).
    dtype : "float16", "bfloat16", "float32" or "float64" of the output; each layer's promoted input dtype by default.
        Arithmetic is float64 throughout.
    include, exclude : patterns on module paths, globs or regular expressions (see selection.matcher): merge only
        modules that match some of `include`, and none that match some of `exclude`.
    rename : "OLD=NEW" with a regular expression OLD, applied to all module paths before adapters are compared.
    allow_missing : merge adapters that share no module.
    others : what to do about what was trained beside the update (modules_to_save such as heads, biases, token
        embeddings, resized embeddings): "refuse" such adapters, take it from the "first" that has it, write the "mean"
        over those that have it, or "drop" it; a note says what was done to what.
    backend, device : the array library that merges ("numpy", "torch", "cupy", "jax"), and where.
    base : the base model's safetensors, a folder or a file. Needed where VeRA adapters adapt layers of several sizes,
        since their files do not say how wide a layer is; only headers are read.
    force : replace an existing adapter folder. dry_run : check everything, write nothing.
    ignore_memory : begin although full-size matrices (`dense`, or elementwise methods in full space) need more memory
        than is free, which is refused otherwise.
    progress : called with (layers done, layers in all, the layer at work), one call at a time, from the threads that
        merge. tell : called before the merge with what is worth knowing then,
        such as the memory that it needs where that is a gigabyte or more.
    recipe : the settings as the command line has them, for coremerge.json; made from the arguments by default.

    Returns a MergeReport. Raises AdapterError for anything wrong with a folder, ParameterError and DTypeError for the
    arguments, NonFiniteError and others as merge does; in every case nothing was written.
    """
    started = time.monotonic()
    target = Path(output)
    options = Options(
        method, space, weights, scale, rank, dense, dtype, backend, device, include, exclude, rename, allow_missing
    )
    options.check(len(paths))
    check_choice(others, dense)
    places = [Accepting(path, others != REFUSE, exclude) for path in paths]
    adapters = [Adapter(place) for place in places]
    kind = FORMS[adapters[0].reader.family]
    one_file = bool(kind.suffix) and target.suffix == kind.suffix and not dense
    if target.suffix in SUFFIXES and not one_file and not dense:
        raise AdapterError(
            f"{shown(target)}: expected the name of a folder, since {kind.title} is what these adapters are written "
            f"back as, got one in {target.suffix}; choose another output"
        )
    check = check_output_file if one_file else check_output
    there = check(target, force, [file for adapter in adapters for file in adapter.files])
    shapes = None if base is None else BaseShapes(base)
    left_out = set().union(*(place.left_out for place in places))
    job, plan, notes = ready(adapters, options, shapes, progress or _silent, left_out)
    job = within_memory(job, dense, ignore_memory, tell or _silent)
    beside = Others(places, adapters, plan.renamings, others)
    notes += beside.notes + unread(adapters)
    form = kind(adapters, plan)
    turned = stored_transposed(adapters, plan.layers, shapes) if dense else {}
    ranks: dict[str, int] = {}
    size = 0
    if not dry_run:
        place = replaced_file(there, records.NAME) if one_file else replaced(there)
        with records.Hashes(adapters) as hashes, place as folder:
            file = folder / (target.name if one_file else DENSE if dense else form.weights)
            if dense:
                outcome = write_dense(job, file, lambda layer: turned[layer.name])
            else:
                outcome = write_factors(job, form, file, ragged, beside)
                for name, content in form.companions(outcome.ranks).items():
                    _write_json(folder / name, content | (beside.fields if name == CONFIG else {}))
            notes += zero_notes(outcome.zeros, len(plan.layers))
            ranks, size = outcome.ranks, file.stat().st_size
            digests = hashes.results()
            for adapter, each in zip(adapters, digests, strict=True):
                records.check_recorded(adapter, each)
            how = options.described() | {
                "backend": backend,
                "device": device,
                "ragged": ragged,
                "others": others,
                "recipe": recipe or recipes.recipe(paths, output, options, ragged, others, base),
            }
            written = {entry.name: records.sha256(entry) for entry in sorted(folder.iterdir())}
            made = records.record(adapters, how, outcome, notes, plan.renamings, digests, written)
            _write_json(folder / records.NAME, made)
            bases = kind.hub_names([adapter.config.base_model_name_or_path for adapter in adapters])
            (folder / card.NAME).write_text(card.model_card(bases, made, kind.library), encoding="utf-8")
    return MergeReport(
        output=str(target),
        written=not dry_run,
        method=options.method_text(),
        space=options.where.name,
        adapters=len(adapters),
        layers=len(plan.layers),
        ranks=(min(ranks.values()), max(ranks.values())) if ranks else None,
        bytes=size,
        seconds=round(time.monotonic() - started, 3),
        notes=notes + there.notes,
    )


def _silent(*_: object) -> None:
    """What nobody watches."""


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
