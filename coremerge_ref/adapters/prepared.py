"""Adapters opened, checked to fit together, and found in a space once, for many merges."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from coremerge_ref.adapters import recipes
from coremerge_ref.adapters.accepting import Accepting
from coremerge_ref.adapters.arguments import check_numbers, check_shards
from coremerge_ref.adapters.assembling import split
from coremerge_ref.adapters.base_model import BaseModel
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.forms import FORMS, SUFFIXES
from coremerge_ref.adapters.forms.base import Form
from coremerge_ref.adapters.fusing import Fusion
from coremerge_ref.adapters.memory import within_memory
from coremerge_ref.adapters.order import HERE, Order, Way
from coremerge_ref.adapters.orientation import stored_transposed
from coremerge_ref.adapters.others import REFUSE, Others, check_choice, unread
from coremerge_ref.adapters.pieces import Turned
from coremerge_ref.adapters.publishing import Publication, Said
from coremerge_ref.adapters.ready import Options, ready
from coremerge_ref.adapters.replace import Output, check_output
from coremerge_ref.adapters.replace_file import check_output_file
from coremerge_ref.adapters.report import MergeReport
from coremerge_ref.adapters.selection import PerModule
from coremerge_ref.adapters.spreading import spread, spread_files
from coremerge_ref.adapters.streaming import Job, Progress
from coremerge_ref.adapters.widths import BaseShapes
from coremerge_ref.adapters.writing import Outcome, write_dense, write_factors
from coremerge_ref.core.pipeline import Method, Pipeline
from coremerge_ref.core.spaces import Space
from coremerge_ref.errors import AdapterError, shown

DENSE = "delta_weights.safetensors"


def prepare_folders(
    paths: Sequence[str | Path],
    space: str | Space = "core",
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    rename: Sequence[str] = (),
    allow_missing: bool = False,
    others: str = REFUSE,
    backend: str = "numpy",
    device: str | None = None,
    base: str | Path | None = None,
) -> "PreparedFolders":
    """Opens adapters for many merges: frames and core matrices are found by the first, and serve all that follow.

    The arguments are those of merge_folders, and so are those of the result's `merge`, which writes what it would. In
    memory stay the adapters' factors in float64, about four times over; of elementwise methods in full space nothing
    is kept. Raises what merge_folders raises.
    """
    reading = Options(
        space=space, backend=backend, device=device, include=include, exclude=exclude, rename=rename,
        allow_missing=allow_missing,
    )  # fmt: skip
    check_numbers(len(paths), (), None)
    check_choice(others, dense=False)
    return PreparedFolders(paths, reading, others, base, keep=True)


class PreparedFolders:
    """Adapters that were opened together.

    adapters, plan: what they hold, and what is merged. kind: what they are written back as. notes: worth knowing.
    digests: of their files, once known.
    """

    def __init__(
        self, paths: Sequence[str | Path], reading: Options, others: str, base: str | Path | None, keep: bool
    ) -> None:
        """reading: how to read them; its method and numbers do not matter. keep: what is found in the space."""
        self.paths, self.reading, self.others, self.base = list(paths), reading, others, base
        self.places = places = [Accepting(path, others != REFUSE, reading.exclude) for path in paths]
        self.adapters = [Adapter(place) for place in places]
        self.kind = FORMS[self.adapters[0].reader.family]
        self._into = None if reading.into is None else BaseModel(reading.into)
        self._shapes = self._into if base is None else BaseShapes(base)
        left_out = set().union(*(place.left_out for place in places))
        job, self.plan, notes = ready(self.adapters, reading, self._shapes, _silent, left_out)
        self._job = replace(job, kept={}) if keep else job
        self.beside = Others(places, self.adapters, self.plan.renamings, others)
        self.notes = notes + self.beside.notes + unread(self.adapters)
        self.digests: list[dict[str, str]] | None = None

    def merge(
        self,
        output: str | Path,
        method: Method | Pipeline | PerModule[Any] | Sequence[dict[str, Any]] = "tsv",
        *,
        weights: Sequence[float] | PerModule[Any] | Sequence[dict[str, Any]] | None = None,
        scale: float = 1.0,
        rank: int | Mapping[str, Any] | None = None,
        ragged: bool = False,
        dense: bool = False,
        dtype: str | None = None,
        force: bool = False,
        dry_run: bool = False,
        ignore_memory: bool = False,
        progress: Progress | None = None,
        tell: Callable[[str], None] | None = None,
        recipe: dict[str, Any] | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> MergeReport:
        """One merge of these adapters, written to `output`; as merge_folders. about: more for its coremerge.json."""
        options = replace(
            self.reading, method=method, weights=weights, scale=scale, rank=rank, dense=dense, dtype=dtype
        )
        options.check(len(self.paths))
        check_choice(self.others, dense)
        how = {"recipe": recipe or recipes.recipe(self.paths, output, options, ragged, self.others, self.base)}
        return self.write(
            output, options, ragged, force, dry_run, ignore_memory, progress, tell, {**how, **(about or {})}
        )

    def write(
        self,
        output: str | Path,
        options: Options,
        ragged: bool,
        force: bool,
        dry_run: bool,
        ignore_memory: bool,
        progress: Progress | None,
        tell: Callable[[str], None] | None,
        about: Mapping[str, Any],
        way: Way = HERE,
    ) -> MergeReport:
        """The merge of checked options."""
        started, dense, target = time.monotonic(), options.dense, Path(output)
        fusion = self.fusion
        if fusion is None:
            there, one_file = self.output(target, dense, force)
        else:
            there, one_file = fusion.output(target, force, self.inputs)
        self.check_shards(way, dense, one_file)
        job = replace(self.job(options), progress=progress or _silent)
        order = None if way.executor is None else Order.of(self, options, ignore_memory, way.share)
        if order is None:
            job = within_memory(job, dense, ignore_memory, tell or _silent)

        def fill(folder: Path) -> Outcome:
            file = folder / (target.name if one_file else self.weights(dense))
            beside = folder if one_file else folder.parent
            if fusion:
                by_others = None if order is None else spread_files(self, job, order, way, file, beside)
                return fusion.files.write(job, folder, target.name if one_file else None, by_others)
            if order is not None:
                return spread(self, job, order, way, file, beside, ragged)
            if dense:
                outcome = write_dense(job, file, lambda layer: self._turned[layer.name])
            else:
                outcome = write_factors(job, self.form, file, ragged, self.beside)
            if way.most is not None:
                split(file, way.most)
            return outcome

        how = self.how(options, ragged, about, way)
        said = Said(options.method_text(), options.where.name, float(options.scale), started)
        publication = Publication(self, target, there, one_file, dense, said, fusion)
        return publication.publish(how, None if dry_run else fill, way.executor)

    def check_shards(self, way: Way, dense: bool, one_file: bool = False) -> None:
        """ParameterError where shards are asked for and there is no such output."""
        check_shards(way.most, self.kind, one_file, dense, self._into is not None)

    def job(self, options: Options) -> Job:
        """The merge of checked options, to run here."""
        return replace(
            self._job, pipeline=options.pipelines, scale=options.scale, weights=options.task_weights,
            cut=options.cut, dtype=options.dtype,
        )  # fmt: skip

    def how(self, options: Options, ragged: bool, about: Mapping[str, Any], way: Way) -> dict[str, Any]:
        """The settings as the record has them."""
        return options.described() | {
            "backend": options.backend,
            "device": options.device,
            "ragged": ragged,
            "others": self.others,
            **({} if way.most is None else {"max_shard_size": way.most}),
            **about,
        }

    @cached_property
    def form(self) -> Form:
        """How the merged adapter is laid out."""
        return self.kind(self.adapters, self.plan)

    @cached_property
    def fusion(self) -> Fusion | None:
        """What is added where, if the output is a model."""
        if self._into is None:
            return None
        return Fusion(self._into, self.adapters, self._job.all_layers, self._job.twins)

    def turned(self, dense: bool) -> Turned:
        """Which weights are stored as (in, out), where full-size matrices are written; else None."""
        return (lambda layer: self._turned[layer.name]) if dense else None

    @cached_property
    def _turned(self) -> dict[str, bool]:
        return stored_transposed(self.adapters, self.plan.layers, self._shapes)

    def weights(self, dense: bool) -> str:
        """The name of the file of tensors in a folder."""
        return DENSE if dense else self.form.weights

    def output(self, target: Path, dense: bool, force: bool, more: Sequence[Path] = ()) -> tuple[Output, bool]:
        """What is at the output, checked to be one that may be written, and whether it is one file.

        more: files that are read, beside the adapters'.
        """
        kind = self.kind
        one_file = bool(kind.suffix) and target.suffix == kind.suffix and not dense
        if target.suffix in SUFFIXES and not one_file and not dense:
            raise AdapterError(
                f"{shown(target)}: expected the name of a folder, since {kind.title} is what these adapters are "
                f"written back as, got one in {target.suffix}; choose another output"
            )
        check = check_output_file if one_file else check_output
        return check(target, force, [*self.inputs, *more]), one_file

    @property
    def inputs(self) -> list[Path]:
        """Every file of the adapters."""
        return [file for adapter in self.adapters for file in adapter.files]


def _silent(*_: object) -> None:
    """What nobody watches."""
