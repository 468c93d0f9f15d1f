"""What ships with the package."""

import json

import needs_torch  # noqa: F401
import numpy as np
import pytest

from benchmarks.demo_adapters import signs
from benchmarks.demo_adapters.train import ALPHA, RANK
from coremerge_ref.adapters import Adapter
from coremerge_ref.demo.data import CLASSES, FOLDER, TEST, VALIDATION, Data
from coremerge_ref.demo.tasks import TASKS


def test_is_small():
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 1_000_000


def test_holds_nothing_else():
    expected = {"base.safetensors", "signs.safetensors"}
    for task in TASKS:
        expected |= {f"adapters/{task}/adapter_config.json", f"adapters/{task}/adapter_model.safetensors"}
    assert {str(file.relative_to(FOLDER)) for file in FOLDER.rglob("*") if file.is_file()} == expected


def test_written_digits_are_scikit_learns(data: Data):
    parts = signs.split("digits")
    for part in (VALIDATION, TEST):
        images, labels = parts[part]
        np.testing.assert_array_equal(data.images("digits", part), images)
        np.testing.assert_array_equal(data.labels("digits", part), labels)


@pytest.mark.parametrize("task", TASKS)
def test_parts_share_no_image_and_have_every_sign(task: str):
    parts = signs.split(task)
    seen = [{image.tobytes() for image in images} for images, _ in parts.values()]
    assert [len(one) for one in seen] == list(signs.SPLITS.values())
    assert all(not a & b for i, a in enumerate(seen) for b in seen[:i])
    assert all(set(labels) == set(range(10)) for _, labels in parts.values())


@pytest.mark.parametrize("task", TASKS)
def test_images_are_four_bits(data: Data, task: str):
    for part in (CLASSES, VALIDATION, TEST):
        images = data.images(task, part)
        assert images.dtype == np.uint8
        assert images.shape[1:] == (8, 8)
        assert images.max() <= 16


def test_the_base_model_saw_no_sign_of_a_task():
    assert not set(signs.pool()) & {sign for task in TASKS.values() for sign in task.signs}


@pytest.mark.parametrize("task", TASKS)
def test_adapters_are_pefts(data: Data, task: str):
    config = json.loads((data.adapters[task] / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA"
    assert (config["r"], config["lora_alpha"]) == (RANK, ALPHA)
    assert config["peft_version"]
    assert len(Adapter(data.adapters[task]).modules) == 18
