"""LoKr: ΔW = s · W₁ ⊗ W₂, a product of low rank where W₂ is decomposed."""

from collections.abc import Mapping

import numpy as np

from coremerge_ref.adapters.formats.hadamard import tucker_product
from coremerge_ref.adapters.formats.products import expect, thin
from coremerge_ref.adapters.modules import CONV, LINEAR, Module, checked, widest
from coremerge_ref.adapters.tensors import Entry
from coremerge_ref.errors import AdapterError, shown

SUFFIXES = {role: f".lokr_{role}" for role in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")}


def kronecker_module(name: str, entries: Mapping[str, Entry], scale: float, advice: str) -> tuple[Module, int]:
    """(the module, r). AdapterError where W₂ is a full matrix, saying `advice`, or tensors do not fit."""
    for role, entry in entries.items():
        dimensions = (4,) if role == "t2" else (2, 3, 4) if role == "w2" else (2,)
        checked(name + SUFFIXES[role], entry, dimensions)
    if "w2" in entries:
        raise AdapterError(
            f"module {shown(name)}: refused: a Kronecker product with a full matrix lokr_w2 is of full rank; {advice}"
        )
    first = entries.keys() & {"w1", "w1_a", "w1_b"}
    whole = first in ({"w1"}, {"w1_a", "w1_b"}) and entries.keys() >= {"w2_a", "w2_b"}
    expect(whole, name, "lokr_w1 or lokr_w1_a and lokr_w1_b, and lokr_w2_a and lokr_w2_b", entries)
    w2_a, w2_b = entries["w2_a"].shape, entries["w2_b"].shape
    r, n2 = w2_b
    tucker = "t2" in entries
    m2 = w2_a[1] if tucker else w2_a[0]
    fits = w2_a == ((r, m2) if tucker else (m2, r)) and (not tucker or entries["t2"].shape[:2] == (r, r))
    if "w1" in entries:
        m1, n1 = entries["w1"].shape
        rank = min(m1, n1) * r
    else:
        (m1, r1), (r1_, n1) = entries["w1_a"].shape, entries["w1_b"].shape
        fits, rank = fits and r1 == r1_, r1 * r
    expect(fits, name, "factors of one rank", entries)
    kernel = (n1 * n2, *entries["t2"].shape[2:]) if tucker else ()
    if len(kernel) == 3 and kernel[2] == 1 < kernel[1]:  # Conv1d: PEFT stores a last axis of 1
        kernel = kernel[:2]
    m, n = m1 * m2, int(np.prod(kernel)) if tucker else n1 * n2
    dtype = widest(*(entry.dtype for entry in entries.values()))
    return Module(name, CONV if tucker else LINEAR, (m, n), min(rank, m, n), scale, dtype, kernel), r


def kronecker_product(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """B (m, R) and A (R, n) of W₁ ⊗ W₂, for convolutions at every position of the kernel."""
    w2_a, w2_b = arrays["w2_a"], arrays["w2_b"]
    B2, A2 = tucker_product(arrays["t2"], w2_a, w2_b) if "t2" in arrays else (w2_a, w2_b)
    if "w1" in arrays:
        w1 = arrays["w1"]
        wide = w1.shape[0] < w1.shape[1]
        B1, A1 = (np.eye(w1.shape[0]), w1) if wide else (w1, np.eye(w1.shape[1]))
    else:
        B1, A1 = arrays["w1_a"], arrays["w1_b"]
    return thin(np.kron(B1, B2), np.kron(A1, A2))
