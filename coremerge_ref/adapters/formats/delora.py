"""DeLoRA: directions of norm one, one strength λ for all, columns weighted by the norms of the base's."""

from collections.abc import Mapping

import numpy as np

from coremerge_ref.adapters.formats.products import ProductReader, expect
from coremerge_ref.adapters.modules import LINEAR, Module, checked, widest
from coremerge_ref.adapters.patterns import scaling
from coremerge_ref.adapters.tensors import Entry

_LEAST_NORM = 1e-4  # as PEFT clamps them


class DeloraReader(ProductReader):
    """ΔW = B diag(λ / (r ‖A_j‖ ‖B_j‖)) A diag(w) (peft.tuners.delora.layer, 0.21.2)."""

    title = "PEFT DeLoRA"
    peft_type = "DELORA"
    harmless = frozenset({"delora_lambda", "lambda_pattern"})
    required = frozenset({"A", "B", "lambda", "w_norm"})
    suffixes = {  # noqa: RUF012 (a table)
        "A": ".delora_A",
        "B": ".delora_B",
        "lambda": ".delora_lambda",
        "w_norm": ".delora_w_norm",
    }

    def describe(self, name: str, entries: Mapping[str, Entry]) -> Module:
        """A (r, in), B (out, r), λ (1,), w (in,)."""
        A, B = (checked(name + self.suffixes[role], entries[role], (2,)).shape for role in "AB")
        for role in ("lambda", "w_norm"):
            checked(name + self.suffixes[role], entries[role], (1,))
        rank, _ = scaling(name, self.config)
        fits = A[0] == B[1] == rank and entries["lambda"].shape == (1,) and entries["w_norm"].shape == A[1:]
        expect(fits, name, f"A (r, in), B (out, r), lambda (1,), w_norm (in,) with r = {rank}", entries)
        return Module(name, LINEAR, (B[0], A[1]), rank, 1.0, widest(*(entry.dtype for entry in entries.values())))

    def product(self, module: Module, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """B with its columns scaled, A with its columns scaled."""
        A, B = arrays["A"], arrays["B"]
        norms = [np.maximum(np.linalg.norm(X, axis=axis), _LEAST_NORM) for X, axis in ((A, 1), (B, 0))]
        return B * (arrays["lambda"] / module.rank / (norms[0] * norms[1])), A * arrays["w_norm"]
