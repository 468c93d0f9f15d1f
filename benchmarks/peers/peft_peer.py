"""PEFT: a real model of one linear layer in float64, merged by its own add_weighted_adapter."""

import warnings

import torch

from benchmarks.peers.common import drawn, layer_by_layer, require, weights
from coremerge_ref.conformance import Case

TYPES = {
    "ta": "linear",
    "ties": "ties",
    "trim+ta": "magnitude_prune",
    "dare+ta": "dare_linear",
    "dare+ties": "dare_ties",
}
SVD_TYPES = {method: "svd" if kind == "linear" else f"{kind}_svd" for method, kind in TYPES.items()}
ELECTIONS = {"mass": "total", "count": "frequency"}


@layer_by_layer
def on_updates(case: Case) -> torch.Tensor:
    """The *_svd types: ΔW_t merged, then truncated; here to full rank, which truncates nothing."""
    require(case.method in TYPES, "no such method")
    return _merged(case, SVD_TYPES[case.method])


@layer_by_layer
def on_factors(case: Case) -> torch.Tensor:
    """The types without _svd: A and B merged apart from each other."""
    require(case.method in TYPES, "no such method")
    require(case.masks is None, "masks are drawn for A and B")
    require(len({a.shape[0] for _, a, _ in case.updates}) == 1, "ranks differ")
    return _merged(case, TYPES[case.method])


@layer_by_layer
def cat(case: Case) -> torch.Tensor:
    """combination_type="cat": factors side by side."""
    require(case.method == "ta", "no such method")
    return _merged(case, "cat")


def _merged(case: Case, kind: str) -> torch.Tensor:
    import peft

    require(case.space == "full" or case.method == "ta", "no such space")
    require(case.params.get("ties", {}).get("aggregate", "mean") == "mean", "no sums")
    require(case.params.get("dare", {}).get("rescale", "inverse") == "inverse", "no such rescaling")
    require(all(a.shape[0] > 0 for _, a, _ in case.updates), "no rank 0")
    m, n = case.shape[-2:]
    model = torch.nn.Sequential(torch.nn.Linear(n, m, bias=False)).double()
    names = [f"task{t}" for t in range(len(case.updates))]
    configs = [
        peft.LoraConfig(r=a.shape[0], lora_alpha=s * a.shape[0], target_modules=["0"]) for _, a, s in case.updates
    ]
    wrapped = peft.get_peft_model(model, configs[0], names[0])
    for name, config in zip(names[1:], configs[1:], strict=True):
        wrapped.add_adapter(name, config)
    layer = wrapped.base_model.model[0]
    with torch.no_grad():
        for name, (b, a, _) in zip(names, case.updates, strict=True):
            layer.lora_A[name].weight.data = torch.from_numpy(a.astype("float64"))
            layer.lora_B[name].weight.data = torch.from_numpy(b.astype("float64"))
    density = next((p["density"] for p in case.params.values() if "density" in p), None)
    if "dare" in case.params:
        density = 1 - case.params["dare"]["drop"]
    election = ELECTIONS[case.params.get("ties", {}).get("elect", "mass")]
    with warnings.catch_warnings(), drawn("bernoulli", case.masks):
        warnings.simplefilter("ignore")  # its word on density 1
        wrapped.add_weighted_adapter(
            names, weights(case), "merged", combination_type=kind, density=density, majority_sign_method=election,
            **({"svd_rank": min(m, n)} if kind.endswith("svd") else {}),
        )  # fmt: skip
    return layer.get_delta_weight("merged")
