"""The demo run once, and its base model in torch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coremerge_ref.demo import run
from coremerge_ref.demo.data import Data


@pytest.fixture(scope="session")
def data() -> Data:
    return Data()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "merged"


@pytest.fixture(scope="session")
def result(folder: Path) -> dict[str, Any]:
    return run(folder)


@pytest.fixture
def torch_base(data: Data) -> Any:
    """The base model in torch, in double precision, so that what differs is the code and not the rounding."""
    import torch

    from benchmarks.demo_adapters.model import Encoder

    model = Encoder().double().eval()
    model.load_state_dict({name: torch.from_numpy(array.astype(np.float64)) for name, array in data.base.items()})
    return model


@pytest.fixture(scope="session")
def wide_base(data: Data) -> dict[str, np.ndarray]:
    """The same weights in NumPy, in double precision."""
    return {name: array.astype(np.float64) for name, array in data.base.items()}
