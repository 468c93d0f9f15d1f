"""FusionBench: its own functions on the full ΔW_t, and its KnOTS alignment, in float64."""

from collections.abc import Callable

import torch

from benchmarks.peers.common import Matrices, deltas, drawn, layer_by_layer, require, weights
from coremerge_ref.conformance import Case


def _ta(matrices: Matrices, case: Case) -> torch.Tensor:
    require(set(weights(case)) == {1.0}, "one scaling for all tasks")
    return sum(matrices[1:], matrices[0])


def _ties(matrices: Matrices, case: Case) -> torch.Tensor:
    from fusion_bench.method.ties_merging.ties_merging_utils import ties_merging

    asked = case.params["ties"]
    require(set(asked["weights"]) == {1.0}, "one scaling for all tasks")
    require(asked["elect"] == "mass", "no election by count")
    flat = torch.stack([matrix.reshape(-1) for matrix in matrices])
    merged = ties_merging(flat, reset_thresh=100 * asked["density"], merge_func=asked["aggregate"])
    return merged.reshape(matrices[0].shape)


def _dropped(matrices: Matrices, case: Case) -> Matrices:
    from fusion_bench.method.dare.utils import param_random_drop_

    asked = case.params["dare"]
    require(asked["rescale"] != "l1", "no such rescaling")
    with drawn("rand_like", case.masks):
        for matrix in matrices:
            param_random_drop_(matrix, asked["drop"], rescale=asked["rescale"] == "inverse")
    return matrices


def _tsv(matrices: Matrices, case: Case) -> torch.Tensor:
    from fusion_bench.method.task_singular_vector.utils.TSVM_utils import compute_and_sum_svd_mem_reduction

    require(case.params["tsv"]["k"] is None, "relative ranks alone")
    return compute_and_sum_svd_mem_reduction([{"w": matrix} for matrix in matrices], accelerator="cpu")["w"]


def _iso(matrices: Matrices, case: Case) -> torch.Tensor:
    from fusion_bench.method.isotropic_merging.iso_utils import iso_c

    require(set(weights(case)) == {1.0}, "one scaling for all tasks")
    return iso_c([{"w": matrix} for matrix in matrices], accelerator="cpu")["w"]


def _iso_cts(matrices: Matrices, case: Case) -> torch.Tensor:
    from fusion_bench.method.isotropic_merging.iso_utils import iso_cts

    fraction = case.params["iso_cts"]["common_fraction"]
    return iso_cts([{"w": matrix} for matrix in matrices], fraction, accelerator="cpu")["w"]


METHODS: dict[str, Callable[[Matrices, Case], torch.Tensor]] = {
    "ta": _ta,
    "ties": _ties,
    "dare+ta": lambda matrices, case: _ta(_dropped(matrices, case), case),
    "dare+ties": lambda matrices, case: _ties(_dropped(matrices, case), case),
    "tsv": _tsv,
    "ta+iso": _iso,
    "iso_cts": _iso_cts,
}
ALIGNED = ("ta", "ties")  # what its KnOTS alignment is meant for


@layer_by_layer
def on_updates(case: Case) -> torch.Tensor:
    """Its merge methods on the full ΔW_t."""
    require(case.method in METHODS, "no such method")
    require(case.space == "full", "no such space")
    return METHODS[case.method](deltas(case), case)


@layer_by_layer
def in_knots(case: Case) -> torch.Tensor:
    """Its methods on diag(S) V_tᵀ of its subspace_alignment."""
    from fusion_bench.method.knots.knots_utils import subspace_alignment

    require(case.method in ALIGNED, "no such method")
    require(case.space == "knots", "another space")
    U, S, blocks = subspace_alignment(deltas(case))
    return U @ METHODS[case.method]([S[:, None] * block for block in blocks], case)
