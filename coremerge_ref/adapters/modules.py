"""What an adapter holds for one module of the base model."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from coremerge_ref.adapters.files import shown
from coremerge_ref.adapters.patterns import module_path
from coremerge_ref.adapters.tensors import DTYPES, Entry
from coremerge_ref.errors import AdapterError

LINEAR, CONV, EMBEDDING = "linear", "conv", "embedding"


@dataclass(frozen=True)
class Module:
    """One adapted module, known from the headers alone.

    name: as in the file, "base_model.model.…". kind: linear, conv or embedding. shape: (m, n) of ΔW as one matrix:
    (out, in) for linear layers whichever way the model stores them, (out, c_in·k…) for convolutions, (vocabulary,
    dimension) for embeddings; n is None where a VeRA adapter does not say. kernel: (c_in, k…) of a convolution.
    """

    name: str
    kind: str
    shape: tuple[int, int | None]
    rank: int
    scale: float
    dtype: str
    kernel: tuple[int, ...] = ()

    @property
    def path(self) -> str:
        """Where it is in the base model."""
        return module_path(self.name)


def checked(name: str, entry: Entry, dimensions: tuple[int, ...]) -> Entry:
    """`entry` if it is floating and has a number of dimensions among `dimensions`; AdapterError otherwise."""
    if entry.code not in DTYPES:
        raise AdapterError(
            f"tensor {shown(name)}: expected dtype {', '.join(DTYPES.values())}, got {entry.code}; "
            "adapters are merged in floating point: save this one unquantized"
        )
    if len(entry.shape) not in dimensions or 0 in entry.shape:
        raise AdapterError(
            f"tensor {shown(name)}: expected {' or '.join(map(str, dimensions))} dimensions of at least 1, got shape "
            f"{entry.shape}; was a shard saved before it was gathered?"
        )
    return entry


def widest(*dtypes: str) -> str:
    """The dtype that holds all of `dtypes` exactly; float16 with bfloat16 needs float32."""
    order = ("bfloat16", "float16", "float32", "float64")
    if {*dtypes} >= {"float16", "bfloat16"}:
        dtypes = (*dtypes, "float32")
    return max(dtypes, key=order.index)


def as_matrix(array: Any) -> np.ndarray:
    """(a, b…) flattened to (a, Πb)."""
    made: np.ndarray = array.reshape(array.shape[0], -1)
    return made
