"""Adapter folders in, one adapter folder out."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

from coremerge_ref.adapters import recipes
from coremerge_ref.adapters.arguments import part_of
from coremerge_ref.adapters.order import Way
from coremerge_ref.adapters.others import REFUSE, check_choice
from coremerge_ref.adapters.parts import write_part
from coremerge_ref.adapters.prepared import PreparedFolders
from coremerge_ref.adapters.ready import Options
from coremerge_ref.adapters.report import MergeReport
from coremerge_ref.adapters.selection import PerModule
from coremerge_ref.adapters.sharding import bytes_of
from coremerge_ref.adapters.streaming import Progress
from coremerge_ref.core.pipeline import Method, Pipeline
from coremerge_ref.core.spaces import Space
from coremerge_ref.errors import ParameterError


def merge_folders(
    paths: Sequence[str | Path],
    output: str | Path,
    method: Method | Pipeline | PerModule[Any] | Sequence[dict[str, Any]] = "tsv",
    space: str | Space = "core",
    *,
    weights: Sequence[float] | PerModule[Any] | Sequence[dict[str, Any]] | None = None,
    scale: float = 1.0,
    rank: int | Mapping[str, Any] | None = None,
    ragged: bool = False,
    dense: bool = False,
    into: str | Path | None = None,
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
    executor: Executor | None = None,
    layers: str | tuple[int, int] | None = None,
    max_shard_size: int | str | None = None,
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
    rank : truncate every layer to this rank, optimally, or to what {"retain": τ}, {"ratio": τ} or {"cumulative": τ}
        (with "rank" as a bound) says, as in resize_adapter; by default a layer keeps all directions that are not zero.
    ragged : leave layers at the ranks they have, with rank_pattern in the config. By default all are padded with zero
        directions to the largest, exactly, since many readers know one rank and one alpha.
    dense : write full-size ΔW to delta_weights.safetensors instead, under the names and in the shapes of the base
        model's weights. Needed, or else `rank`, where the result is no low-rank product (elementwise methods in full
        space).
    into : a base model, a folder as transformers or diffusers save it or one safetensors file: `output` becomes that
        model with scale · ΔW added to its weights, in the same files, layout and dtypes, one tensor at a time. Each
        sum is float64, rounded once. Head and embedding that are tied stay so where they get one update. Refused are
        quantised models, fused experts, modules without a weight of their shape, and replacing a folder.
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
    executor : any concurrent.futures executor (threads, processes, dask.distributed's Client.get_executor()), whose
        workers open the adapters, merge batches of layers, and write them beside the output; here they are put
        together. Paths are sent, not tensors: workers on other machines must see inputs and output at the same paths.
        The output is that of one process, byte for byte where processors and libraries are alike.
    layers : "i/n" to merge the i-th of n parts of the layers alone, for jobs that know nothing of each other:
        `output` is then a folder for join_parts, which makes of all n what one merge writes. Not with `into`.
    max_shard_size : bytes of tensors in one file, or a text such as "2GB": a PEFT folder or full-size output that is
        larger lies in several, with the index that Hugging Face's libraries write.

    Returns a MergeReport. Raises AdapterError for anything wrong with a folder, ParameterError and DTypeError for the
    arguments, NonFiniteError and others as merge does; in every case nothing was written.
    """
    options = Options(
        method, space, weights, scale, rank, dense, dtype, backend, device, include, exclude, rename, allow_missing,
        into,
    )  # fmt: skip
    options.check(len(paths))
    check_choice(others, dense or into is not None)
    way = Way.of(executor, part_of(layers), bytes_of(max_shard_size))
    if way.part is not None and into is not None:
        raise ParameterError(
            "layers: expected no `into` beside it: a file of a fused model holds weights of many layers, and is "
            "written once, whole; merge parts with dtype float64, join them, and merge what they give alone, by ta, "
            "into the base"
        )
    prepared = PreparedFolders(paths, options, others, base, keep=False)
    how = {"recipe": recipe or recipes.recipe(paths, output, options, ragged, others, base, max_shard_size)}
    write = prepared.write if way.part is None else partial(write_part, prepared)
    return write(output, options, ragged, force, dry_run, ignore_memory, progress, tell, how, way)
