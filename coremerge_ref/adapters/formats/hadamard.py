"""LoHa: ΔW = s · (B₁ A₁) ∘ (B₂ A₂), a Hadamard product of two products, itself one of rank r²."""

from collections.abc import Mapping

import numpy as np

from coremerge_ref.adapters.formats.products import expect, thin
from coremerge_ref.adapters.modules import CONV, LINEAR, Module, checked, widest
from coremerge_ref.adapters.tensors import Entry

SUFFIXES = {role: f".hada_{role}" for role in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")}


def hadamard_module(name: str, entries: Mapping[str, Entry], scale: float) -> tuple[Module, int]:
    """(the module, r). Linear: w·_a (out, r), w·_b (r, in). Tucker: t· (r, r, k, l), w·_a (r, out), w·_b (r, in)."""
    tucker = "t1" in entries
    for role, entry in entries.items():
        checked(name + SUFFIXES[role], entry, (4,) if role in ("t1", "t2") else (2,))
    roles = {"w1_a", "w1_b", "w2_a", "w2_b"} | ({"t1", "t2"} if tucker else set())
    expect(entries.keys() == roles, name, "hada_w1_a, hada_w1_b, hada_w2_a, hada_w2_b and both or no hada_t", entries)
    w1_a, w1_b, w2_a, w2_b = (entries[role].shape for role in ("w1_a", "w1_b", "w2_a", "w2_b"))
    r, n = w1_b
    m = w1_a[1] if tucker else w1_a[0]
    first = (r, m) if tucker else (m, r)
    fits = w1_a == w2_a == first and w2_b == w1_b
    if tucker:
        fits = fits and entries["t1"].shape == entries["t2"].shape and entries["t1"].shape[:2] == (r, r)
    expect(fits, name, "two products of one rank and shape", entries)
    kernel = (n, *entries["t1"].shape[2:]) if tucker else ()
    if len(kernel) == 3 and kernel[2] == 1 < kernel[1]:  # Conv1d: PEFT stores a last axis of 1
        kernel = kernel[:2]
    width = int(np.prod(kernel)) if tucker else n
    dtype = widest(*(entry.dtype for entry in entries.values()))
    return Module(name, CONV if tucker else LINEAR, (m, width), min(r * r, m, width), scale, dtype, kernel), r


def hadamard_product(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """B (m, R) and A (R, n) of rank min(r², m, n): B[:, ij] = B₁[:, i] B₂[:, j], A[ij, :] = A₁[i, :] A₂[j, :]."""
    (B1, A1), (B2, A2) = (half(arrays, x) for x in "12")
    B = (B1[:, :, None] * B2[:, None, :]).reshape(B1.shape[0], -1)
    A = (A1[:, None, :] * A2[None, :, :]).reshape(-1, A1.shape[1])
    return thin(B, A)


def half(arrays: Mapping[str, np.ndarray], x: str) -> tuple[np.ndarray, np.ndarray]:
    """One of the two products as B (m, r) and A (r, n)."""
    w_a, w_b = arrays[f"w{x}_a"], arrays[f"w{x}_b"]
    return tucker_product(arrays[f"t{x}"], w_a, w_b) if f"t{x}" in arrays else (w_a, w_b)


def tucker_product(t: np.ndarray, w_a: np.ndarray, w_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """B (out, r) and A (r, in·k·l) of Σ_ij t[i, j, k, l] w_a[i, out] w_b[j, in]."""
    A = np.einsum("ijkl,jq->iqkl", t, w_b)
    return w_a.T, A.reshape(A.shape[0], -1)
