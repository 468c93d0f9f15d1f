"""Core Space merging of low-rank adapters: the array-API reference implementation (arXiv 2509.17786)."""

from typing import TYPE_CHECKING, Any

from coremerge_ref.analysis import diagnostics  # noqa: F401  (cm.diagnostics)
from coremerge_ref.analysis.certify import certify
from coremerge_ref.analysis.explain import explain
from coremerge_ref.core.compressed import Compressed
from coremerge_ref.core.merging import merge
from coremerge_ref.core.models import merge_adapters, prepare
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import Core, Frames, Full, Knots, project, reconstruct, reference_bases
from coremerge_ref.core.stages import STAGES, Stage, register
from coremerge_ref.core.updates import DenseUpdate, LowRankUpdate
from coremerge_ref.errors import (
    AdapterError,
    CoreMergeError,
    DTypeError,
    NamespaceError,
    NonFiniteError,
    ParameterError,
    ShapeError,
)
from coremerge_ref.methods import Cart, Dare, Drm, Iso, IsoCts, Mean, Ta, Ties, Trim, Tsv
from coremerge_ref.methods.dialects import preset
from coremerge_ref.version import package_version

if TYPE_CHECKING:
    from coremerge_ref.adapters import add_merged_adapter

__all__ = [
    "AdapterError",
    "Cart",
    "Compressed",
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
    "Stage",
    "Ta",
    "Ties",
    "Trim",
    "Tsv",
    "__version__",
    "add_merged_adapter",
    "certify",
    "explain",
    "merge",
    "merge_adapters",
    "prepare",
    "preset",
    "project",
    "reconstruct",
    "reference_bases",
    "register",
]

__version__ = package_version()


def __getattr__(name: str) -> Any:
    """What is imported when asked for, since reading adapters takes more than arrays; methods not named above."""
    if name == "add_merged_adapter":
        from coremerge_ref.adapters import add_merged_adapter

        return add_merged_adapter
    for stage in STAGES.values():
        if stage.__name__ == name and stage.__module__.startswith(f"{__name__}."):
            return stage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
