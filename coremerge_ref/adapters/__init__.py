"""Adapters: read lazily, merged batch by batch, written whole or not at all; on disk, or on a live PeftModel."""

from pathlib import Path

from coremerge_ref.adapters.beside import open_one
from coremerge_ref.adapters.convert import ConvertReport, convert_adapter
from coremerge_ref.adapters.extract import ExtractReport, extract_adapter
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.joining import join_parts
from coremerge_ref.adapters.live import add_merged_adapter
from coremerge_ref.adapters.merge import merge_folders
from coremerge_ref.adapters.others import REFUSE
from coremerge_ref.adapters.prepared import PreparedFolders, prepare_folders
from coremerge_ref.adapters.renaming import plain_path
from coremerge_ref.adapters.report import MergeReport
from coremerge_ref.adapters.resize import ResizeReport, resize_adapter
from coremerge_ref.adapters.selection import PerModule
from coremerge_ref.adapters.widths import BaseShapes, resolve_widths
from coremerge_ref.core.updates import LowRankUpdate

__all__ = [
    "Adapter",
    "ConvertReport",
    "ExtractReport",
    "MergeReport",
    "PerModule",
    "PreparedFolders",
    "ResizeReport",
    "add_merged_adapter",
    "convert_adapter",
    "extract_adapter",
    "join_parts",
    "load",
    "merge_folders",
    "prepare_folders",
    "resize_adapter",
]


def load(path: str | Path, base: str | Path | None = None, others: str = REFUSE) -> dict[str, LowRankUpdate]:
    """{layer: update} of the adapter at `path`, as NumPy arrays in the dtypes of its file; layers by module path.

    base: the base model's safetensors, for adapters that do not hold the sizes of their modules (VeRA, MiSS). others:
    "refuse", or "drop" for the updates alone of an adapter that has heads, biases or token embeddings beside them.
    AdapterError for anything that cannot be read or is no low-rank product, ParameterError for another `others`.
    """
    adapter, _ = open_one(path, others)
    resolve_widths([adapter], None if base is None else BaseShapes(base))
    return {plain_path(name): update for name, update in adapter.load(adapter.modules).items()}
