"""Core Space merging of low-rank adapters: the array-API reference implementation (arXiv 2509.17786)."""

from typing import TYPE_CHECKING, Any

from coremerge_ref.core_space import project, reconstruct, reference_bases
from coremerge_ref.dialects import preset
from coremerge_ref.errors import (
    AdapterError,
    CoreMergeError,
    DTypeError,
    NamespaceError,
    NonFiniteError,
    ParameterError,
    ShapeError,
)
from coremerge_ref.frames import Frames
from coremerge_ref.merging import merge
from coremerge_ref.models import merge_adapters
from coremerge_ref.pipeline import Pipeline
from coremerge_ref.spaces import Core, Full, Knots
from coremerge_ref.stages import Cart, Dare, Drm, Iso, IsoCts, Mean, Ta, Ties, Trim, Tsv
from coremerge_ref.updates import DenseUpdate, LowRankUpdate

if TYPE_CHECKING:
    from coremerge_ref.certify import certify
    from coremerge_ref.conditioning import explain

__all__ = [
    "AdapterError",
    "Cart",
    "Core",
    "CoreMergeError",
    "DTypeError",
    "Dare",
    "DenseUpdate",
    "Drm",
    "Frames",
    "Full",
    "Iso",
    "IsoCts",
    "Knots",
    "LowRankUpdate",
    "Mean",
    "NamespaceError",
    "NonFiniteError",
    "ParameterError",
    "Pipeline",
    "ShapeError",
    "Ta",
    "Ties",
    "Trim",
    "Tsv",
    "certify",
    "explain",
    "merge",
    "merge_adapters",
    "preset",
    "project",
    "reconstruct",
    "reference_bases",
]

_LAZY = {"certify": "coremerge_ref.certify", "explain": "coremerge_ref.conditioning"}


def __getattr__(name: str) -> Any:
    """Imports what few need only when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
