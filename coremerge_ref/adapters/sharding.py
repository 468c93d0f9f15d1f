"""Tensors over several files and an index of them, as Hugging Face's save_pretrained lays them out."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from coremerge_ref.errors import ParameterError, shown

INDEX_SUFFIX = ".index.json"
SHARD_ENDS = "-[0-9][0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9][0-9].safetensors"  # a glob
_UNITS = {unit + end: base**k for end, base in (("b", 1000), ("ib", 1024)) for k, unit in enumerate("kmgt", 1)}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE)


def bytes_of(size: int | str | None) -> int | None:
    """A size in bytes: 2000000000, "2GB" (powers of 1000) or "2GiB" (of 1024). ParameterError for what is none."""
    if size is None:
        return None
    found = _SIZE.fullmatch(str(size).strip())
    unit = found[2].lower() if found else ""
    if found is None or isinstance(size, bool) or unit not in ("", "b", *_UNITS):
        raise ParameterError(f"max_shard_size: expected a size such as 2GB or 500MiB, got {shown(size)}")
    count = float(found[1]) * _UNITS.get(unit, 1)
    if count < 1 or not count.is_integer():
        raise ParameterError(f"max_shard_size: expected at least 1 byte, and whole ones, got {shown(size)}")
    return int(count)


def laid_out(sizes: Mapping[str, int], most: int | None) -> list[list[str]]:
    """The names in order, cut into files of at most `most` bytes of tensors each; a larger tensor is alone in its file.

    The rule of huggingface_hub's split_state_dict_into_shards_factory.
    """
    if most is None:
        return [list(sizes)]
    files: list[list[str]] = []
    current: list[str] = []
    filled = 0
    for name, size in sizes.items():
        if size > most:
            files.append([name])
            continue
        if filled + size > most:
            files.append(current)
            current, filled = [], 0
        current.append(name)
        filled += size
    return [*files, current] if current or not files else files


def shard_names(weights: str, count: int) -> list[str]:
    """What the files are called: `weights` itself if it is one, else WEIGHTS-00001-of-00005.safetensors and so on."""
    if count == 1:
        return [weights]
    stem = weights.removesuffix(".safetensors")
    return [f"{stem}-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)]


def write_index(folder: Path, weights: str, shards: Iterable[tuple[str, Sequence[str]]], size: int) -> None:
    """The index of `shards`, (file, names of its tensors) each, of `size` bytes in all."""
    places = {name: file for file, names in shards for name in names}
    content = {"metadata": {"total_size": size}, "weight_map": dict(sorted(places.items()))}
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (folder / (weights + INDEX_SUFFIX)).write_text(text, encoding="utf-8")
