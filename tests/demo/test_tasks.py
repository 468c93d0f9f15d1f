"""The distortions and the accuracy they are judged by."""

import numpy as np
import pytest

from coremerge_ref.demo.data import TEST, Data
from coremerge_ref.demo.evaluate import accuracies, mean, normalised
from coremerge_ref.demo.tasks import TASKS, seen


@pytest.mark.parametrize("task", TASKS)
def test_shows_every_image_by_itself(data: Data, task: str):
    images = data.images(TEST)
    shown = seen(task, images)
    assert shown.dtype == np.float32
    assert shown.shape == images.shape
    assert 0 <= shown.min() <= shown.max() <= 1
    np.testing.assert_array_equal(seen(task, images[7:9]), shown[7:9])


def test_no_two_show_the_same(data: Data):
    shown = [seen(task, data.images(TEST)) for task in TASKS]
    upright = data.images(TEST).astype(np.float32) / 16
    assert all((a != b).any() for i, a in enumerate(shown) for b in [*shown[:i], upright])


@pytest.mark.parametrize("task", TASKS)
def test_different_digits_stay_different(data: Data, task: str):
    assert len(np.unique(seen(task, data.images(TEST)), axis=0)) == len(np.unique(data.images(TEST), axis=0))


def test_accuracy_counts_right_answers(data: Data):
    zero = {name: np.zeros_like(array) for name, array in data.base.items()}
    zero["head.bias"][3] = 1  # says 3, always
    threes = float((data.labels(TEST) == 3).mean())
    assert accuracies(data, zero, TEST) == dict.fromkeys(TASKS, threes)


def test_averages():
    single = {"a": 0.8, "b": 0.5}
    assert mean(single) == 0.65
    assert normalised({"a": 0.4, "b": 0.5}, single) == 0.75
