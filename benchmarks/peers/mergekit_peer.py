"""mergekit: its generalized task arithmetic over a base of zeros, as its own methods set it up, in float64."""

from types import SimpleNamespace

import torch

from benchmarks.peers.common import deltas, drawn, layer_by_layer, require, weights
from coremerge_ref.conformance import Case

# method → (consensus, sparsification, normalize): task_arithmetic, linear, ties, dare_linear, dare_ties
METHODS = {
    "ta": (None, None, False),
    "mean": (None, None, True),
    "trim+ta": (None, "magnitude", False),
    "ties": ("sum", "magnitude", True),
    "dare+ta": (None, "random", False),
    "dare+ties": ("sum", "random", False),
}


@layer_by_layer
def on_updates(case: Case) -> torch.Tensor:
    """Its merge methods on the full ΔW_t; it knows no other space."""
    from mergekit.merge_methods import generalized_task_arithmetic as gta
    from mergekit.sparsify import SparsificationMethod

    require(case.method in METHODS, "no such method")
    require(case.space == "full" or case.method in ("ta", "mean"), "no such space")
    consensus, sparsification, normalize = METHODS[case.method]
    asked = case.params.get("ties", {})
    if "ties" in case.params and consensus is not None:
        consensus = {"mass": "sum", "count": "count"}[asked["elect"]]
        normalize = asked["aggregate"] == "mean"
    rescale = case.params.get("dare", {}).get("rescale", "none")
    method = gta.GeneralizedTaskArithmeticMerge(
        consensus_method=consensus and gta.ConsensusMethod(consensus),
        sparsification_method=sparsification and SparsificationMethod[sparsification],
        default_normalize=normalize,
        default_rescale=rescale != "none",
        method_name="peer",
        method_pretty_name=None,
        method_reference_url=None,
    )
    matrices = deltas(case)
    entries = [SimpleNamespace(tensor=matrix, id=t) for t, matrix in enumerate(matrices)]
    group = SimpleNamespace(base=SimpleNamespace(tensor=torch.zeros_like(matrices[0])), non_base=entries)
    density = next((p["density"] for p in case.params.values() if "density" in p), 1.0)
    density = 1 - case.params["dare"]["drop"] if "dare" in case.params else density
    options = {"weight": weights(case), "density": [density] * len(entries), "normalize": normalize}
    with drawn("bernoulli", case.masks):
        return method.merge_group(group, **options, rescale=rescale != "none", int8_mask=False, **{"lambda": 1.0})
