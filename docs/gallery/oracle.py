"""An implementation of your own, held to an oracle: known answers in 60 digits, and theorems on random updates."""

from dataclasses import replace

import numpy as np

from coremerge_ref import conformance


def merge(case):
    """Sums, and sums made isotropic, by way of the full matrix: what is on trial here."""
    if case.method not in ("ta", "ta+iso") or case.params.get("iso", {}).get("support") == "size":
        raise NotImplementedError(case.method)
    weights = case.params["ta"]["weights"] or [1.0] * len(case.updates)
    total = sum(w * s * (B.astype(float) @ A.astype(float)) for w, (B, A, s) in zip(weights, case.updates, strict=True))
    if case.method == "ta":
        return total
    P, S, Qh = np.linalg.svd(total, full_matrices=False)
    live = S > 1e-12 * S[..., :1]
    level = np.sum(S * live, axis=-1) / np.maximum(np.sum(live, axis=-1), 1)
    return level[..., None, None] * (P * live[..., None, :]) @ Qh


def forgetful(case):
    """The same, with alpha / r left out: the most common mistake."""
    return merge(replace(case, updates=[(B, A, 1.0) for B, A, _ in case.updates]))


report = conformance.run(merge, only=["ta/core", "iso/core/generic"])
print(report.ok)  # True
print(conformance.check_properties(merge, only=["order", "lossless"], examples=4, seed=0).ok)  # True

wrong = conformance.run(forgetful, only=["ta/core/generic"])
print(wrong.results[0].verdict, "-", wrong.results[0].diagnosis.partition(":")[0])  # fail - scaling-ignored
