"""The signs, how they are printed, and the accuracy they are judged by."""

import numpy as np
import pytest

from coremerge_ref.demo.data import CLASSES, TEST, Data
from coremerge_ref.demo.evaluate import accuracies, mean, normalised
from coremerge_ref.demo.tasks import TASKS, seen
from coremerge_ref.testing import THRESHOLD


@pytest.mark.parametrize("task", TASKS)
def test_shows_every_image_by_itself(data: Data, task: str):
    images = data.images(task, TEST)
    shown = seen(task, images)
    assert shown.dtype == np.float32
    assert shown.shape == images.shape
    assert 0 <= shown.min() <= shown.max() <= 1
    np.testing.assert_array_equal(seen(task, images[7:9]), shown[7:9])


def test_no_two_print_the_same(data: Data):
    images = data.images("digits", TEST)
    shown = [seen(task, images) for task in TASKS]
    assert all((a != b).any() for i, a in enumerate(shown) for b in shown[:i])


def test_no_sign_is_in_two_tasks():
    signs = "".join(task.signs for task in TASKS.values())
    assert len(set(signs)) == len(signs) == 10 * len(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_class_vectors_are_the_tasks_own_and_of_norm_one(data: Data, task: str):
    vectors = data.class_vectors[task]
    assert len(vectors) == len(data.images(task, CLASSES)) == len(TASKS[task].signs)
    assert np.linalg.matrix_rank(vectors) == len(vectors)
    assert np.abs(np.linalg.norm(vectors.astype(np.float64), axis=1) - 1).max() < THRESHOLD * np.finfo(np.float32).eps


def test_class_vectors_are_the_base_models_and_stay_so(data: Data):
    """Accuracy of other weights is judged by the same vectors: a model that turns every image into one class's clean
    drawing's embedding names that class, always."""
    fixed = {name: np.zeros_like(array) for name, array in data.base.items()}
    fixed["norm.bias"] = data.class_vectors["greek"][3].copy()
    expected = {task: data.class_vectors[task] @ fixed["norm.bias"] for task in TASKS}
    named = {task: float((data.labels(task, TEST) == scores.argmax()).mean()) for task, scores in expected.items()}
    assert expected["greek"].argmax() == 3
    assert accuracies(data, fixed, TEST) == named


def test_averages():
    single = {"a": 0.8, "b": 0.5}
    assert mean(single) == 0.65
    assert normalised({"a": 0.4, "b": 0.5}, single) == 0.75
