"""The NumPy forward pass is the torch model's, with and without what peft adds."""

import needs_torch  # noqa: F401
import numpy as np
import pytest
import torch
from peft import PeftModel

from benchmarks.demo_adapters.model import HEADS, Encoder
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.demo import forward
from coremerge_ref.demo.data import TEST, Data
from coremerge_ref.demo.evaluate import adapted
from coremerge_ref.demo.forward import embed
from coremerge_ref.demo.tasks import TASKS, seen

# Some twenty layers, each a backward-stable product of inner size ≤ 192 or a normalization: a ratio of a few dozen.
# A wrong constant (norm eps, head size, order of operations) shows at 1e-6 and above, ten orders higher.
RATIO = 1000


def ratio(actual: np.ndarray, expected: np.ndarray) -> float:
    """The error in units of double rounding."""
    return float(np.abs(actual - expected).max() / np.abs(expected).max() / np.finfo(np.float64).eps)


@torch.no_grad()
def torch_vectors(model: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    return model(torch.from_numpy(images)).numpy()


def test_constants_agree():
    assert forward.HEADS == HEADS
    assert Encoder().norm.eps == forward.NORM_EPS


@pytest.mark.parametrize("count", [1, 3, 50])
def test_base_model_as_in_torch(data: Data, torch_base: Encoder, wide_base: dict[str, np.ndarray], count: int):
    images = data.images("greek", TEST)[:count] / 16.0
    assert ratio(embed(wide_base, images), torch_vectors(torch_base, images)) < RATIO


@pytest.mark.parametrize("task", TASKS)
def test_adapter_as_in_peft(data: Data, torch_base: Encoder, wide_base: dict[str, np.ndarray], task: str):
    t = list(TASKS).index(task)
    images = seen(task, data.images(task, TEST)[:20]).astype(np.float64)
    model = PeftModel.from_pretrained(torch_base, data.adapters[task]).double().eval()
    wide = {layer: LowRankUpdate(*updates[t].folded(np.float64)) for layer, updates in data.updates.items()}
    weights = adapted(wide_base, {layer: update.to_dense() for layer, update in wide.items()})
    assert ratio(embed(weights, images), torch_vectors(model, images)) < RATIO


@pytest.mark.parametrize("task", TASKS)
def test_single_precision_names_the_same_signs(data: Data, torch_base: Encoder, task: str):
    shown, classes = seen(task, data.images(task, TEST)), data.class_vectors[task]
    vectors = embed(data.base, shown)
    assert vectors.dtype == np.float32
    expected = torch_vectors(torch_base, shown.astype(np.float64)) @ classes.astype(np.float64).T
    np.testing.assert_array_equal((vectors @ classes.T).argmax(1), expected.argmax(1))
