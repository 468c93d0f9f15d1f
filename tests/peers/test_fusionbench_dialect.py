"""The fusionbench dialect against FusionBench's own functions, in float64, on dense task vectors."""

import pytest
from peers.common import dense, factors, full_rank, ratio_of

import coremerge_ref as cm
from coremerge_ref.methods.dialects import preset

torch = pytest.importorskip("torch")
ties = pytest.importorskip("fusion_bench.method.ties_merging.ties_merging_utils", exc_type=ImportError)
tsv = pytest.importorskip("fusion_bench.method.task_singular_vector.utils.TSVM_utils", exc_type=ImportError)
iso = pytest.importorskip("fusion_bench.method.isotropic_merging.iso_utils", exc_type=ImportError)


def vectors(updates):
    return [{"w": torch.from_numpy(matrix)} for matrix in dense(updates)]


@pytest.mark.parametrize("threshold", [20, 50])
@pytest.mark.parametrize("aggregate", ["sum", "mean"])
def test_ties(threshold, aggregate):
    updates = factors(seed=1)
    flat = torch.vstack([torch.from_numpy(matrix).reshape(-1) for matrix in dense(updates)])
    expected = ties.ties_merging(flat, reset_thresh=threshold, merge_func=aggregate).numpy().reshape(12, 15)
    method = preset("ties", "fusionbench", {"ties": {"density": threshold / 100, "aggregate": aggregate}})
    assert ratio_of(cm.merge(updates, method, "full").to_dense(), expected) < 30


def test_ties_sums_by_default():
    assert preset("ties", "fusionbench").parameters["ties"]["aggregate"] == "sum"


def test_tsv_in_full_space_at_full_rank():
    updates = full_rank(seed=2)
    expected = tsv.compute_and_sum_svd_mem_reduction(vectors(updates), accelerator="cpu")["w"].numpy()
    # two SVDs and two polar factors: rounding grows with the spectra's gaps, which are about 1e-2 here
    assert ratio_of(cm.merge(updates, preset("tsv", "fusionbench"), "full").to_dense(), expected) < 3e3


def test_iso_c_in_full_space_at_full_rank():
    updates = full_rank(seed=3)
    expected = iso.iso_c(vectors(updates), accelerator="cpu")["w"].numpy()
    assert ratio_of(cm.merge(updates, preset("iso", "fusionbench"), "full").to_dense(), expected) < 3e3


def test_iso_cts_in_full_space_at_full_rank():
    updates = full_rank(seed=4)
    expected = iso.iso_cts(vectors(updates), 0.8, accelerator="cpu")["w"].numpy()
    assert ratio_of(cm.merge(updates, preset("iso_cts", "fusionbench"), "full").to_dense(), expected) < 3e3


def test_iso_c_on_a_lora_merge_is_decided_by_null_vectors():
    """The defect: on a rank-deficient sum, two SVD drivers of the same package's formula give different matrices."""
    updates = factors(seed=5, ranks=(2, 2))
    theirs = iso.iso_c(vectors(updates), accelerator="cpu")["w"]
    nudged = iso.iso_c([{"w": v["w"] * (1 + 1e-15)} for v in vectors(updates)], accelerator="cpu")["w"]
    ours = cm.merge(updates, "iso", "full").to_dense()
    ours_nudged = cm.merge([(B * (1 + 1e-15), A) for B, A in updates], "iso", "full").to_dense()
    assert torch.linalg.norm(theirs - nudged) > 0.1 * torch.linalg.norm(theirs)
    assert ratio_of(ours_nudged, ours) < 1e3
