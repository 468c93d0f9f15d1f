"""Defects of other packages, shown by running them at the version that docs/defects.md names; one that is fixed fails.

Each test asserts the wrong behaviour, so that the documentation cannot outlive the defect.
"""

import os
from importlib.metadata import version

import numpy as np
import pytest
from peers.common import dense, factors

import coremerge_ref as cm

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch = pytest.importorskip("torch", exc_type=ImportError)


def installed(module, package, pinned):
    """The module, at the version that the defect is documented for; skips otherwise."""
    found = pytest.importorskip(module, exc_type=ImportError)
    if version(package) != pinned:
        pytest.skip(f"{package} {version(package)} is installed; the defect is documented for {pinned}")
    return found


@pytest.fixture
def peft():
    return installed("peft", "peft", "0.21.2")


@pytest.fixture
def sparsify():
    return installed("mergekit.sparsify", "mergekit", "0.1.5")


def fusionbench(module):
    return installed(f"fusion_bench.method.{module}", "fusion-bench", "0.2.33")


def weighted(peft, updates, kind, weights=None, alphas=None, density=None, **config):
    """ΔW that add_weighted_adapter makes of float64 updates (B, A), and its scaling."""
    m, n = updates[0][0].shape[0], updates[0][1].shape[1]
    model, names = torch.nn.Sequential(torch.nn.Linear(n, m, bias=False)).double(), []
    for t, (B, A) in enumerate(updates):
        names.append(f"task{t}")
        alpha = A.shape[0] if alphas is None else alphas[t]
        one = peft.LoraConfig(r=A.shape[0], lora_alpha=alpha, target_modules=["0"], **config)
        if t == 0:
            wrapped = peft.get_peft_model(model, one, names[0])
        else:
            wrapped.add_adapter(names[t], one)
        layer = wrapped.base_model.model[0]
        layer.lora_A[names[t]].weight.data = torch.from_numpy(A)
        layer.lora_B[names[t]].weight.data = torch.from_numpy(B)
    weights = weights or [1.0] * len(names)
    wrapped.add_weighted_adapter(names, weights, "merged", combination_type=kind, density=density)
    return layer.get_delta_weight("merged").detach().numpy(), layer.scaling["merged"]


def error(actual, expected):
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


def test_peft_linear_merges_a_and_b_apart(peft):
    updates = factors(seed=1, ranks=(4, 4, 4))
    linear, _ = weighted(peft, updates, "linear")
    assert error(linear, sum(dense(updates))) > 0.5
    assert error(linear, sum(B for B, _ in updates) @ sum(A for _, A in updates)) < 1e-12
    assert error(weighted(peft, updates, "cat")[0], sum(dense(updates))) < 1e-12


def test_peft_merged_adapters_inherit_rslora(peft):
    updates = factors(seed=2, ranks=(4, 4))
    merged, scaling = weighted(peft, updates, "cat", use_rslora=True, alphas=(2, 2))  # alpha / √r = 1
    assert scaling == pytest.approx(8**0.5)
    assert error(merged, 8**0.5 * sum(dense(updates))) < 1e-12


def test_peft_takes_roots_of_weights_in_single_precision(peft):
    ((B, A),) = factors(seed=3, ranks=(4,))
    merged, _ = weighted(peft, [(B, A)], "svd", weights=[0.3])  # one adapter: always "linear"
    assert 1e-9 < error(merged, 0.3 * B @ A) < 1e-6


def test_peft_never_trims_a_single_adapter(peft):
    updates = factors(seed=3, ranks=(4,))
    merged, _ = weighted(peft, updates, "ties_svd", density=0.2)
    assert error(merged, dense(updates)[0]) < 1e-12
    trimmed = cm.merge(updates, cm.preset("trim", "peft", {"trim": {"density": 0.2}}), "full").to_dense()
    assert error(merged, trimmed) > 0.3


def test_peft_density_below_one_entry_keeps_none(peft):
    utils = pytest.importorskip("peft.utils.merge_utils")
    assert not utils.magnitude_based_pruning(torch.tensor([3.0, 2.0, 1.0, 1.0]), 0.2).any()


def test_mergekit_sorts_magnitudes_in_float32(sparsify):
    """Two float64 numbers that float32 cannot tell apart: the smaller is kept, by its place."""
    numbers = torch.tensor([1.0 - 2.0**-40, 1.0], dtype=torch.float64)
    kept = sparsify.magnitude(numbers, density=0.5)
    assert kept.tolist() == [1.0 - 2.0**-40, 0.0]


def test_mergekit_keeps_arbitrary_ones_of_equal_magnitudes(sparsify):
    """The first half of ten equal entries, but the second half of sixty-four: an unstable sort."""
    kept = {size: sparsify.magnitude(torch.ones(size), density=0.5).nonzero().ravel() for size in (10, 64)}
    assert kept[10].tolist() == list(range(5))
    assert kept[64].tolist() != list(range(32))


def test_mergekit_drops_in_float32(sparsify, monkeypatch):
    monkeypatch.setattr(torch, "bernoulli", lambda p: torch.ones_like(p))
    numbers = torch.tensor([1.0 + 2.0**-40, 1e-60], dtype=torch.float64)
    assert sparsify.bernoulli(numbers, density=0.5).tolist() == [1.0, 0.0]


def test_mergekit_does_not_rescale_small_updates(sparsify, monkeypatch):
    """Where the l1 norm is below an absolute 1e-7, DARE's rescaling is left out in silence."""
    monkeypatch.setattr(torch, "bernoulli", lambda p: torch.tensor([1.0, 0.0]))
    l1 = sparsify.RescaleNorm.l1
    assert sparsify.bernoulli(torch.tensor([1.0, 1.0]), 0.5, l1).tolist() == [2.0, 0.0]
    assert sparsify.bernoulli(torch.tensor([1.0, 1.0]) * 2.0**-30, 0.5, l1).tolist() == [2.0**-30, 0.0]


def iso_c(matrix):
    iso = fusionbench("isotropic_merging.iso_utils")
    return iso.iso_c([{"w": torch.from_numpy(matrix)}], accelerator="cpu")["w"].numpy()


def test_fusionbench_iso_c_is_decided_by_null_vectors(capsys):
    B, A = factors(seed=4, ranks=(2,))[0]
    theirs, nudged = iso_c(B @ A), iso_c((B @ A) * (1 + 1e-15))
    assert error(nudged, theirs) > 0.1
    U, V = np.linalg.qr(B)[0], np.linalg.qr(A.T)[0]
    inside = np.linalg.norm(U.T @ theirs @ V) ** 2 / np.linalg.norm(theirs) ** 2
    assert inside == pytest.approx(2 / 12)  # 1 − 2/12 of the energy lies where no task has anything
    ours, ours_nudged = (cm.merge([(B * c, A)], "iso").to_dense() for c in (1, 1 + 1e-15))
    assert error(ours_nudged, ours) < 1e-12


def test_fusionbench_tsv_takes_null_vectors(capsys):
    tsv = fusionbench("task_singular_vector.utils.TSVM_utils")

    def merged(nudge):
        tasks = [{"w": torch.from_numpy(B @ A * nudge)} for B, A in factors(seed=5, ranks=(2, 2))]
        return tsv.compute_and_sum_svd_mem_reduction(tasks, accelerator="cpu")["w"].numpy()

    assert error(merged(1 + 1e-15), merged(1)) > 1e-3


def test_fusionbench_tsv_with_49_tasks_keeps_nothing(capsys):
    tsv = fusionbench("task_singular_vector.utils.TSVM_utils")
    tasks = [{"w": torch.diag(torch.eye(49, dtype=torch.float64)[t])} for t in range(49)]  # 49 · (1 / 49) < 1
    assert not tsv.compute_and_sum_svd_mem_reduction(tasks, accelerator="cpu")["w"].any()


def test_fusionbench_knots_cuts_at_an_absolute_size():
    knots = fusionbench("knots.knots_utils")
    matrices = [torch.from_numpy(matrix) for matrix in dense(factors(seed=6))]
    assert len(knots.subspace_alignment(matrices)[1]) == 12
    assert len(knots.subspace_alignment([1e-7 * matrix for matrix in matrices])[1]) == 0


def test_fusionbench_ties_cannot_keep_all():
    ties = fusionbench("ties_merging.ties_merging_utils")
    with pytest.raises(RuntimeError, match="kthvalue"):
        ties.ties_merging(torch.ones(2, 10), reset_thresh=100, merge_func="mean")


def test_peft_convert_to_lora_drops_doras_magnitudes(peft):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5, bias=False)).double()
    wrapped = peft.get_peft_model(model, peft.LoraConfig(r=2, lora_alpha=2, target_modules=["0"], use_dora=True))
    layer = wrapped.base_model.model[0]
    with torch.no_grad():
        layer.lora_B["default"].weight.normal_()
        layer.lora_magnitude_vector["default"].weight.mul_(1.5)
        identity = torch.eye(6, dtype=torch.float64)
        added = (wrapped(identity) - layer.base_layer(identity)).T.numpy()
        product = layer.get_delta_weight("default").numpy()
    with pytest.warns(UserWarning, match="already a LoRA"):
        config, tensors = peft.convert_to_lora(wrapped, 2, progressbar=False)
    B, A = (
        next(x.double().numpy() for name, x in tensors.items() if letter in name) for letter in ("lora_B", "lora_A")
    )
    converted = config.lora_alpha / config.r * (B @ A)
    assert not config.use_dora
    assert error(converted, product) < 1e-5
    assert error(converted, added) > 0.5


@pytest.mark.parametrize("kind", ["loha.LohaModule", "lokr.LokrModule"])
def test_lycoris_get_diff_weight_applies_the_scale_twice(kind):
    installed("lycoris", "lycoris-lora", "4.1.3")
    module, name = kind.split(".")
    torch.manual_seed(0)
    layer = torch.nn.Linear(36, 36, bias=False).double()
    made = getattr(pytest.importorskip(f"lycoris.modules.{module}"), name)("m", layer, 1.0, 2, 1.0).double()  # α/r = ½
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
        identity = torch.eye(36, dtype=torch.float64)
        before = layer(identity).T
        made.apply_to()
        added = (layer(identity).T - before).numpy()
        told = made.get_diff_weight(1.0)
    told = (told[0] if isinstance(told, tuple) else told).numpy().reshape(36, 36)
    assert made.scale == 0.5
    assert error(2 * told, added) < 1e-12
