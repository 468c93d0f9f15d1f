"""How much of an update to keep: a rank, a share of its energy, or what sd-scripts calls sv_ratio and sv_cumulative."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from coremerge_ref.core import linalg
from coremerge_ref.core.arrays import as_float
from coremerge_ref.core.updates import LowRankUpdate, Update
from coremerge_ref.errors import ParameterError

# {name: (in words, whether a number is in its range)}
_SHARES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "retain": ("a share above 0 and at most 1", lambda share: 0 < share <= 1),
    "ratio": ("a number of at least 1", lambda share: share >= 1),
    "cumulative": ("a share above 0 and at most 1", lambda share: 0 < share <= 1),
}


@dataclass(frozen=True)
class Cut:
    """How many singular values σ_1 ≥ σ_2 ≥ … of an update are kept: the fewest k that do, and no more than `rank`.

    retain τ: Σ_{i≤k} σ_i² ≥ τ Σ σ_i², as PEFT's convert_to_lora; sd-scripts' sv_fro of √τ. ratio τ: all σ_k > σ_1 / τ,
    sd-scripts' sv_ratio. cumulative τ: Σ_{i≤k} σ_i ≥ τ Σ σ_i, sd-scripts' sv_cumulative. At most one of the three. (As
    resize_lora.py of sd-scripts 063ef10 keeps them; older copies of that code keep one more.)

    Values that are rounding of the factors count as zero and are never kept; an update that is not zero keeps one at
    least. Raises ParameterError for numbers out of range and for several at once.
    """

    rank: int | None = None
    retain: float | None = None
    ratio: float | None = None
    cumulative: float | None = None

    def __post_init__(self) -> None:
        rank = self.rank
        if rank is not None and (not isinstance(rank, int) or isinstance(rank, bool) or rank < 1):
            raise ParameterError(f"rank: expected an integer of at least 1, got {rank!r}")
        given = [name for name in _SHARES if getattr(self, name) is not None]
        if len(given) > 1:
            raise ParameterError(f"expected one of {', '.join(_SHARES)}, got {' and '.join(given)}")
        for name in given:
            words, fits = _SHARES[name]
            share = getattr(self, name)
            number = isinstance(share, int | float) and not isinstance(share, bool) and math.isfinite(as_float(share))
            if not (number and fits(share)):
                raise ParameterError(f"{name}: expected {words}, got {share!r}")

    @classmethod
    def of(cls, given: Any) -> "Cut | None":
        """A rank, or a mapping of a Cut's fields, as a Cut; None as None. ParameterError for anything else."""
        if given is None or isinstance(given, Cut):
            return given
        if isinstance(given, Mapping):
            if not given or not given.keys() <= {"rank", *_SHARES}:
                raise ParameterError(f"rank: expected some of rank, {', '.join(_SHARES)}, got {dict(given)!r}")
            return cls(**given)
        return cls(rank=given)

    @property
    def described(self) -> Any:
        """As `of` takes it, in JSON."""
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        return self.rank if fields.keys() <= {"rank"} else fields

    @property
    def by_layer(self) -> bool:
        """Whether layers get ranks of their own."""
        return any(getattr(self, name) is not None for name in _SHARES)

    def count(self, S: np.ndarray, beyond: float = 0.0) -> int:
        """k of the singular values S (s,), descending, zero where they are none; beyond: the norm of what they lack.

        All of S where even those are not enough.
        """
        live = int(np.count_nonzero(S))
        if not live:
            return 0
        unit = S[:live] / S[0]
        k = live
        if self.ratio is not None:
            k = int(np.count_nonzero(unit > 1 / self.ratio))
        elif self.retain is not None and self.retain < 1:
            k = _reaches(unit**2, self.retain, (beyond / S[0]) ** 2)
        elif self.cumulative is not None and self.cumulative < 1:
            k = _reaches(unit, self.cumulative, 0.0)
        return max(1, min(k, live if self.rank is None else min(live, self.rank)))

    def apply(self, update: Update, fetch: Callable[[Any], Any] = np.asarray, beyond: float = 0.0) -> LowRankUpdate:
        """The nearest update of the rank that this keeps, with facts about it in `info` (`facts`).

        update: in float64 or float32. fetch: array → NumPy array. beyond: ‖E‖_F of what the update lacks of the one
        that is meant, E orthogonal to it.
        """
        whole = update.truncate(update.rank)  # B = P √S, A = √S Qᵀ
        S = np.asarray(fetch(linalg.column_norms(whole.B))) ** 2 if whole.rank else np.zeros(0)
        S = np.where(_rounding(update, fetch) < S, S, 0.0)
        k = self.count(S, beyond)
        return replace(whole, B=whole.B[:, :k], A=whole.A[:k, :], info={**update.info, **facts(S, k, beyond)})


def facts(S: np.ndarray, k: int, beyond: float = 0.0) -> dict[str, float]:
    """What is known of an update of singular values S (s,) cut to k of them.

    norm: ‖ΔW‖_F; of: how many there are; energy and cumulative: the kept shares of Σ σ² and Σ σ; ratio: σ_1 / σ_k;
    error: ‖ΔW − ΔW_k‖_F / ‖ΔW‖_F. `energy` is 1 and `error` 0 where ΔW = 0.
    """
    live = int(np.count_nonzero(S))
    total = math.hypot(*S.tolist(), beyond)
    if total == 0:
        return {"norm": 0.0, "of": 0, "energy": 1.0, "cumulative": 1.0, "ratio": 1.0, "error": 0.0}
    lost = math.hypot(*S[k:].tolist(), beyond) / total
    return {
        "norm": total,
        "of": live,
        "energy": (math.hypot(*S[:k].tolist()) / total) ** 2,
        "cumulative": math.fsum((S[:k] / S[0]).tolist()) / math.fsum((S / S[0]).tolist()) if live else 0.0,
        "ratio": float(S[0] / S[k - 1]) if k else 1.0,
        "error": lost,
    }


def _reaches(terms: np.ndarray, share: float, more: float) -> int:
    """The fewest leading terms whose sum is `share` of all and `more`; equal terms differ by rounding, which counts."""
    sums = np.cumsum(terms)
    unit = linalg.thresholds(np.dtype(np.float64))[1]
    return int(np.searchsorted(sums, (share - unit) * (sums[-1] + more))) + 1


def _rounding(update: Update, fetch: Callable[[Any], Any]) -> float:
    """ν of the update, up to which its singular values are rounding; a matrix is its product with the identity."""
    if not isinstance(update, LowRankUpdate):
        left = fetch(linalg.column_norms(update.matrix))
        return float(linalg.rounding_level(left, np.ones_like(left), left.dtype))
    if not update.rank:
        return 0.0
    xp = array_namespace(update.B)
    B, A = update.folded(update.B.dtype)
    left, right = (fetch(linalg.column_norms(X)) for X in (B, xp.matrix_transpose(A)))
    return float(linalg.rounding_level(left, right, left.dtype))
