"""The mergekit dialect against mergekit's own merge methods, in float64, on dense task vectors."""

from types import SimpleNamespace

import numpy as np
import pytest
from peers.common import dense, factors, ratio_of

import coremerge_ref as cm
from coremerge_ref.methods.dialects import preset

torch = pytest.importorskip("torch")
gta = pytest.importorskip("mergekit.merge_methods.generalized_task_arithmetic", exc_type=ImportError)
sparsify = pytest.importorskip("mergekit.sparsify", exc_type=ImportError)

WEIGHTS = [0.7, 1.3, 0.4]


def run(updates, consensus, sparsification, normalize, rescale, density):
    """mergekit's generalized task arithmetic over a zero base."""
    method = gta.GeneralizedTaskArithmeticMerge(
        consensus_method=consensus,
        sparsification_method=sparsification,
        default_normalize=normalize,
        default_rescale=rescale,
        method_name="test",
        method_pretty_name=None,
        method_reference_url=None,
    )
    matrices = [torch.from_numpy(matrix) for matrix in dense(updates)]
    entries = [SimpleNamespace(tensor=matrix, id=i) for i, matrix in enumerate(matrices)]
    group = SimpleNamespace(base=SimpleNamespace(tensor=torch.zeros_like(matrices[0])), non_base=entries)
    parameters = {"weight": WEIGHTS, "density": [density] * len(entries), "normalize": normalize, "rescale": rescale}
    return method.merge_group(group, **parameters, int8_mask=False, **{"lambda": 1.0}).numpy()


@pytest.mark.parametrize("density", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("sign", ["sum", "count"])
def test_ties(density, sign):
    updates = factors(seed=1)
    magnitude = sparsify.SparsificationMethod.magnitude
    expected = run(updates, gta.ConsensusMethod(sign), magnitude, True, False, density)
    elect = {"sum": "mass", "count": "count"}[sign]
    method = preset("ties", "mergekit", {"ties": {"density": density, "elect": elect}})
    assert ratio_of(cm.merge(updates, method, "full", weights=WEIGHTS).to_dense(), expected) < 30


@pytest.mark.parametrize("method", ["dare", "dare+ties"])
def test_dare(method, monkeypatch):
    updates, density = factors(seed=2), 0.6
    drawn, bernoulli = [], torch.bernoulli

    def spy(*args, **kwargs):
        drawn.append(bernoulli(*args, **kwargs))
        return drawn[-1]

    monkeypatch.setattr(torch, "bernoulli", spy)
    consensus = gta.ConsensusMethod.sum if "ties" in method else None
    expected = run(updates, consensus, sparsify.SparsificationMethod.random, False, True, density)
    masks = np.stack([mask.numpy() != 0 for mask in drawn])
    pipeline = preset(method, "mergekit", {"dare": {"masks": masks}})
    actual = cm.merge(updates, pipeline, "full", weights=WEIGHTS).to_dense()
    # mergekit multiplies and rescales in float32 whatever it is given
    assert np.linalg.norm(actual - expected) < 8 * np.finfo(np.float32).eps * np.linalg.norm(expected)
