"""Fixtures for all tests: one array library after the other, and how hard Hypothesis looks."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

# Before any library starts its threads: the matrices here are small and the machines shared.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false --xla_backend_optimization_level=0")
os.environ.setdefault("JAX_ENABLE_X64", "1")
# What JAX compiles, each small operation by itself, is most of what its tests take: kept for the next run and process.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / "build" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import pytest
from backends import BACKENDS, Backend, NumPy, available
from hypothesis import HealthCheck, Phase, settings

_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much]}
settings.register_profile("ci", max_examples=40, derandomize=True, database=None, **_COMMON)
settings.register_profile("thorough", max_examples=500, **_COMMON)
# thousands of times in a row: fewer examples than "ci", and no search for the smallest of those that fail
_FEW = {"max_examples": 5, "phases": [Phase.explicit, Phase.generate]}
settings.register_profile("mutants", settings.get_profile("ci"), **_FEW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

try:
    import torch
except ImportError:
    pass
else:
    torch.set_num_threads(1)


def pytest_collection_finish() -> None:
    """Fifteen thousand tests and what they import stay: garbage collection need not walk through them, nor so often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


@pytest.fixture(autouse=True, scope="module")
def _forgets_what_jax_compiled() -> Iterator[None]:
    """One file's shapes are of no use to the next, and all of them take gigabytes."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


@pytest.fixture(params=list(BACKENDS), scope="session")
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every array library in turn; CuPy is its double where there is no GPU, torch on CUDA skips."""
    return available(request.param)


@pytest.fixture(params=["float64", "float32"], scope="session")
def precision(request: pytest.FixtureRequest) -> str:
    """The dtype of inputs and arithmetic."""
    return request.param


@pytest.fixture(scope="session")
def numpy_backend() -> Backend:
    return BACKENDS["numpy"] if isinstance(BACKENDS["numpy"], NumPy) else NumPy("numpy")
