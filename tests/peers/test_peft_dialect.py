"""The peft dialect against peft's own merge utilities, in float64, on dense task vectors."""

import numpy as np
import pytest
from peers.common import dense, factors, ratio_of

import coremerge_ref as cm
from coremerge_ref.methods.dialects import preset

torch = pytest.importorskip("torch")
utils = pytest.importorskip("peft.utils.merge_utils")

pytestmark = pytest.mark.filterwarnings("ignore:The density:UserWarning")  # peft's word on density 1

WEIGHTS = [0.7, 1.3, -0.4]


def tensors(updates):
    return [torch.from_numpy(matrix) for matrix in dense(updates)]


@pytest.mark.parametrize("density", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("sign", ["total", "frequency"])
def test_ties(density, sign):
    updates = factors(seed=1)
    expected = utils.ties(tensors(updates), torch.tensor(WEIGHTS, dtype=torch.float64), density, sign).numpy()
    elect = {"total": "mass", "frequency": "count"}[sign]
    method = preset("ties", "peft", {"ties": {"density": density, "elect": elect}})
    actual = cm.merge(updates, method, "full", weights=WEIGHTS).to_dense()
    assert ratio_of(actual, expected) < 30


def test_zero_sums_count_as_positive():
    B = np.eye(1)
    updates = [(B, np.array([[1.0, -2.0, -3.0]])), (B, np.array([[-1.0, 1.0, -1.0]]))]
    ones = torch.ones(2, dtype=torch.float64)
    expected = utils.ties([torch.from_numpy(b @ a) for b, a in updates], ones, 1.0).numpy()
    assert expected.tolist() == [[1.0, -2.0, -2.0]]
    method = preset("ties", "peft", {"ties": {"density": 1.0}})
    assert cm.merge(updates, method, "full").to_dense().tolist() == expected.tolist()


def test_magnitude_prune_with_weights():
    updates = factors(seed=2)
    expected = utils.magnitude_prune(tensors(updates), torch.tensor(WEIGHTS, dtype=torch.float64), 0.3).numpy()
    method = preset("trim+ta", "peft", {"trim": {"density": 0.3}})
    assert ratio_of(cm.merge(updates, method, "full", weights=WEIGHTS).to_dense(), expected) < 30


@pytest.mark.parametrize("method", ["dare", "dare+ties"])
def test_dare(method, monkeypatch):
    updates, density = factors(seed=3), 0.6
    drawn = []
    bernoulli = torch.bernoulli

    def spy(*args, **kwargs):
        drawn.append(bernoulli(*args, **kwargs))
        return drawn[-1]

    monkeypatch.setattr(torch, "bernoulli", spy)
    function = {"dare": utils.dare_linear, "dare+ties": utils.dare_ties}[method]
    expected = function(tensors(updates), torch.tensor(WEIGHTS, dtype=torch.float64), density).numpy()
    masks = np.stack([mask.numpy() != 0 for mask in drawn])
    pipeline = preset(method, "peft", {"dare": {"drop": 1 - density, "masks": masks}})
    actual = cm.merge(updates, pipeline, "full", weights=WEIGHTS).to_dense()
    assert ratio_of(actual, expected) < 30
