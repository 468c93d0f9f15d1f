"""What the literature looks at to explain why merges do well: alignment, ranks, truncation, interference.

All but sign_conflict are invariant under orthonormal changes of frame (isometry theorem): a core matrix gives what ΔW
gives. Updates are LowRankUpdate, DenseUpdate or pairs (B, A), leading dimensions a batch; no m × n matrix is formed of
factors. Factors count as exact numbers, and singular values that are rounding of ‖B‖ ‖A‖ as zero. Arithmetic runs in
float64 where that exists; results stay in the library and on the device.

What looks at single singular vectors (a number k of them, interference) is defined where their singular values are
distinct: an isotropized update has none to tell apart.

All raise what as_updates raises (ShapeError, NamespaceError, NonFiniteError, …), and ParameterError for settings.
"""

from coremerge_ref.analysis.diagnostics.conflicts import interference, sign_conflict
from coremerge_ref.analysis.diagnostics.spectra import Truncation, numerical_rank, stable_rank, truncation
from coremerge_ref.analysis.diagnostics.subspaces import alignment, overlap

__all__ = [
    "Truncation",
    "alignment",
    "interference",
    "numerical_rank",
    "overlap",
    "sign_conflict",
    "stable_rank",
    "truncation",
]
