"""Make one LoRA adapter of several, exactly, in small matrices: Core Space merging (arXiv 2509.17786).

Arrays of NumPy, torch, CuPy or JAX go in and come out: `merge` merges one layer, `merge_adapters` a model. Adapters on
disk are for `coremerge_ref.adapters` and the command `coremerge`.

>>> import numpy as np
>>> import coremerge_ref as cm
>>> cm.merge([(np.eye(4)[:, :2], np.ones((2, 3))), (np.eye(4)[:, 2:], np.ones((2, 3)))], "tsv")
LowRankUpdate(4 × 3, rank 3, float64, cpu)
>>> cm.__version__.count(".") >= 2
True
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from coremerge_ref.analysis import diagnostics  # noqa: F401  (cm.diagnostics)
from coremerge_ref.analysis.certify import certify
from coremerge_ref.analysis.explain import explain
from coremerge_ref.core.compressed import Compressed
from coremerge_ref.core.frames import Frames
from coremerge_ref.core.merging import merge
from coremerge_ref.core.models import merge_adapters
from coremerge_ref.core.models import prepare as _prepare
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.projecting import project, reconstruct, reference_bases
from coremerge_ref.core.registering import register
from coremerge_ref.core.spaces import Core, Full, Knots
from coremerge_ref.core.stages import STAGES, Stage
from coremerge_ref.core.updates import DenseUpdate, LowRankUpdate
from coremerge_ref.errors import (
    AdapterError,
    CoreMergeError,
    DTypeError,
    NamespaceError,
    NonFiniteError,
    ParameterError,
    ScoreError,
    ShapeError,
)
from coremerge_ref.methods import Cart, Dare, Drm, Iso, IsoCts, Mean, Ta, Ties, Trim, Tsv
from coremerge_ref.methods.dialects import preset
from coremerge_ref.version import package_version

if TYPE_CHECKING:
    from coremerge_ref.adapters import add_merged_adapter
    from coremerge_ref.adapters.prepared import PreparedFolders
    from coremerge_ref.core.merging import Prepared
    from coremerge_ref.core.models import PreparedModel
    from coremerge_ref.core.spaces import Space
    from coremerge_ref.tuning.search import search
    from coremerge_ref.tuning.sweep import sweep

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
    "ScoreError",
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
    "search",
    "sweep",
]

__version__ = package_version()


def prepare(
    updates: Any, space: "str | Space" = "core", compute_dtype: Any = "float64", **reading: Any
) -> "Prepared | PreparedModel | PreparedFolders":
    """Finds frames and core matrices once, for people who try many settings.

    updates: as merge takes them; or {layer: updates} as merge_adapters does; or paths of adapters, for which `reading`
    may hold include, exclude, rename, allow_missing, others, backend, device and base, as merge_folders has them.

    The result's merge(method, scale=…, weights=…) gives what merge, merge_adapters or merge_folders would; that of
    adapters takes the output first. Such a merge costs work on core matrices and the product that decodes its result.
    Raises what they raise.

    >>> updates = [(np.eye(2), np.eye(2)), (np.eye(2), np.diag([1.0, 3.0]))]
    >>> ready = cm.prepare(updates)
    >>> float(ready.merge("ta", scale=0.5).to_dense().sum())
    3.0
    """
    paths = not isinstance(updates, Mapping) and all(isinstance(each, str | os.PathLike) for each in updates)
    if not paths:
        return _prepare(updates, space, compute_dtype, **reading)
    from coremerge_ref.adapters import prepare_folders

    if compute_dtype != "float64":
        raise ParameterError(
            f"compute_dtype: expected float64, in which adapters on disk are merged, got {compute_dtype!r}"
        )
    return prepare_folders(updates, space, **reading)


def __getattr__(name: str) -> Any:
    """What is imported when asked for, since reading adapters takes more than arrays; methods not named above."""
    if name == "add_merged_adapter":
        from coremerge_ref.adapters import add_merged_adapter

        return add_merged_adapter
    if name == "search":
        from coremerge_ref.tuning.search import search

        return search
    if name == "sweep":
        from coremerge_ref.tuning.sweep import sweep

        return sweep
    for stage in STAGES.values():
        if stage.__name__ == name and stage.__module__.startswith(f"{__name__}."):
            return stage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
