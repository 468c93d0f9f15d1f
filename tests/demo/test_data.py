"""What ships with the package."""

import json

import needs_torch  # noqa: F401
import numpy as np
import pytest

from benchmarks.demo_adapters.train import ALPHA, RANK, split
from coremerge_ref.adapters import Adapter
from coremerge_ref.demo.data import FOLDER, TEST, VALIDATION, Data
from coremerge_ref.demo.tasks import TASKS


def test_is_small():
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 1_000_000


def test_holds_nothing_else():
    expected = {"base.safetensors", "digits.safetensors"}
    for task in TASKS:
        expected |= {f"adapters/{task}/adapter_config.json", f"adapters/{task}/adapter_model.safetensors"}
    assert {str(file.relative_to(FOLDER)) for file in FOLDER.rglob("*") if file.is_file()} == expected


@pytest.mark.parametrize("part", [VALIDATION, TEST])
def test_digits_are_scikit_learns(data: Data, part: str):
    images, labels = split()[part]
    np.testing.assert_array_equal(data.images(part), images)
    np.testing.assert_array_equal(data.labels(part), labels)
    assert set(labels) == set(range(10))


def test_parts_share_no_image(data: Data):
    parts = [{image.tobytes() for image in images} for images, _ in split().values()]
    assert all(not a & b for i, a in enumerate(parts) for b in parts[:i])


@pytest.mark.parametrize("task", TASKS)
def test_adapters_are_pefts(data: Data, task: str):
    config = json.loads((data.adapters[task] / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA"
    assert (config["r"], config["lora_alpha"]) == (RANK, ALPHA)
    assert config["peft_version"]
    assert len(Adapter(data.adapters[task]).modules) == 18
