"""Core Space merging of low-rank adapters: the array-API reference implementation (arXiv 2509.17786)."""

from coremerge_ref.certify import certify
from coremerge_ref.conditioning import explain
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
