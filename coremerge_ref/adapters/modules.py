"""What an adapter holds for one module of the base model."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from coremerge_ref.adapters.patterns import NESTED, module_path
from coremerge_ref.adapters.tensors import DTYPES, Entry
from coremerge_ref.errors import AdapterError, shown

LINEAR, CONV, EMBEDDING = "linear", "conv", "embedding"


@dataclass(frozen=True)
class Module:
    """One adapted module, known from the headers alone.

    name: as in the file, "base_model.model.…". kind: linear, conv or embedding. shape: (m, n) of ΔW as one matrix:
    (out, in) for linear layers whichever way the model stores them, (out, c_in·k…) for convolutions, (vocabulary,
    dimension) for embeddings; n is None where a VeRA adapter does not say. kernel: (c_in, k…) of a convolution.
    stack: (name of the tensors, index, count) where one pair of tensors holds several modules: fused experts.
    """

    name: str
    kind: str
    shape: tuple[int, int | None]
    rank: int
    scale: float
    dtype: str
    kernel: tuple[int, ...] = ()
    stack: tuple[str, int, int] | None = None

    @property
    def stem(self) -> str:
        """The name that its tensors begin with."""
        return self.stack[0] if self.stack else self.name

    @property
    def group(self) -> str:
        """What it must share its rank with in a PEFT adapter.

        Itself, or the attention it is nested in, or the module whose parameters are fused experts.
        """
        return self.stem.split(".base_layer")[0] if self.stack else self.name.split(NESTED)[0]

    @property
    def path(self) -> str:
        """Where it is in the base model."""
        return module_path(self.name)


def floating(name: str, entry: Entry) -> Entry:
    """`entry` if it is of a floating dtype that adapters come in; AdapterError otherwise."""
    if entry.code not in DTYPES:
        raise AdapterError(
            f"tensor {shown(name)}: expected dtype {', '.join(DTYPES.values())}, got {entry.code}; "
            "save the adapter in one of these: widening its numbers changes none of them"
        )
    return entry


def checked(name: str, entry: Entry, dimensions: tuple[int, ...]) -> Entry:
    """`entry` if it is floating and has a number of dimensions among `dimensions`; AdapterError otherwise."""
    floating(name, entry)
    if len(entry.shape) not in dimensions or 0 in entry.shape:
        raise AdapterError(
            f"tensor {shown(name)}: expected {' or '.join(map(str, dimensions))} dimensions of at least 1, got shape "
            f"{entry.shape}; was a shard saved before it was gathered?"
        )
    return entry


def factor_module(name: str, A: Entry, B: Entry, scale: float) -> Module:
    """A module of factors A (r, in) and B (out, r), or A (r, c_in, k…) and B (out, r, 1…) of a convolution."""
    if A.shape[2:] and B.shape[1] != A.shape[0] and A.shape[0] % B.shape[1] == 0:
        raise AdapterError(
            f"module {shown(name)}: refused: a grouped convolution, which PEFT cannot merge either; leave it out with "
            "--exclude"
        )
    rank = A.shape[0]
    if B.shape[1] != rank or B.shape[2:] != (1,) * (len(A.shape) - 2):
        raise AdapterError(
            f"module {shown(name)}: expected A (r, in…) and B (out, r, 1…), got A {A.shape} and B {B.shape}; "
            "the tensors do not belong together"
        )
    kernel = A.shape[1:] if len(A.shape) > 2 else ()
    shape = (B.shape[0], math.prod(A.shape[1:]))
    return Module(name, CONV if kernel else LINEAR, shape, rank, scale, widest(A.dtype, B.dtype), kernel)


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
