"""PEFT adapter folders: read lazily, merged batch by batch, written whole or not at all."""

from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.merge import merge_folders
from coremerge_ref.adapters.report import MergeReport

__all__ = ["Adapter", "MergeReport", "merge_folders"]
