"""The NumPy forward pass is the torch model's, with and without what peft adds."""

import needs_torch  # noqa: F401
import numpy as np
import pytest
import torch
from peft import PeftModel

from benchmarks.demo_adapters.model import HEADS, DigitTransformer
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.demo import forward
from coremerge_ref.demo.data import TEST, Data
from coremerge_ref.demo.evaluate import adapted
from coremerge_ref.demo.forward import logits
from coremerge_ref.demo.tasks import TASKS, seen

# Some twenty layers, each a backward-stable product of inner size ≤ 192 or a normalization: a ratio of a few dozen.
# A wrong constant (norm eps, head size, order of operations) shows at 1e-6 and above, ten orders higher.
RATIO = 1000


def ratio(actual: np.ndarray, expected: np.ndarray) -> float:
    """The error in units of double rounding."""
    return float(np.abs(actual - expected).max() / np.abs(expected).max() / np.finfo(np.float64).eps)


@torch.no_grad()
def torch_logits(model: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    return model(torch.from_numpy(images)).numpy()


def test_constants_agree():
    assert forward.HEADS == HEADS
    assert DigitTransformer().norm.eps == forward.NORM_EPS


@pytest.mark.parametrize("count", [1, 3, 50])
def test_base_model_as_in_torch(data: Data, torch_base: DigitTransformer, wide_base: dict[str, np.ndarray], count: int):
    images = data.images(TEST)[:count] / 16.0
    assert ratio(logits(wide_base, images), torch_logits(torch_base, images)) < RATIO


@pytest.mark.parametrize("task", TASKS)
def test_adapter_as_in_peft(data: Data, torch_base: DigitTransformer, wide_base: dict[str, np.ndarray], task: str):
    t = list(TASKS).index(task)
    images = seen(task, data.images(TEST)[:20]).astype(np.float64)
    model = PeftModel.from_pretrained(torch_base, data.adapters[task]).double().eval()
    wide = {layer: LowRankUpdate(*updates[t].folded(np.float64)) for layer, updates in data.updates.items()}
    weights = adapted(wide_base, {layer: update.to_dense() for layer, update in wide.items()})
    assert ratio(logits(weights, images), torch_logits(model, images)) < RATIO


def test_single_precision_names_the_same_digits(data: Data, torch_base: DigitTransformer):
    images = data.images(TEST).astype(np.float32) / 16
    named = logits(data.base, images)
    assert named.dtype == np.float32
    np.testing.assert_array_equal(named.argmax(1), torch_logits(torch_base, images.astype(np.float64)).argmax(1))
