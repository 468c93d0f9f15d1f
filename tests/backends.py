"""Array libraries under test: how to make an array in each, and how to get its numbers back."""

from dataclasses import dataclass
from typing import Any

import cupy_double
import ml_dtypes
import numpy as np
import pytest

import coremerge_ref as cm


def find_card() -> bool:
    """Whether CuPy finds a GPU."""
    try:
        import cupy

        return bool(cupy.cuda.runtime.getDeviceCount())
    except Exception:  # its own error class lives where there is no CUDA to import it
        return False


CARD = find_card()
if not CARD:
    cupy_double.install()

HOST = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32, "float64": np.float64}
EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
EVERY = ("float16", "bfloat16", "float32", "float64")


@dataclass(frozen=True)
class Backend:
    """One library on one device. `examples`: share of the profile's Hypothesis examples it runs (compiling is slow)."""

    name: str
    dtypes: tuple[str, ...] = EVERY
    examples: float = 1.0

    def __str__(self) -> str:
        return self.name

    def array(self, values: Any, dtype: str = "float64") -> Any:
        """`values` rounded to `dtype` on the host, so that every library holds the same numbers."""
        rounded = np.asarray(values).astype(HOST[dtype])
        return self._from(rounded, dtype)

    def _from(self, rounded: np.ndarray, dtype: str) -> Any:
        raise NotImplementedError

    def host(self, array: Any) -> np.ndarray:
        """The numbers of `array` as NumPy float64."""
        raise NotImplementedError

    def updates(self, factors: Any, dtype: str = "float64") -> list[Any]:
        """LowRankUpdates of factors (B, A, s); None stays None."""
        return [
            f if f is None else cm.LowRankUpdate(self.array(f[0], dtype), self.array(f[1], dtype), f[2])
            for f in factors
        ]

    def dense(self, update: Any) -> np.ndarray:
        """ΔW of a merge result as NumPy float64."""
        return self.host(update.to_dense())


class NumPy(Backend):
    def _from(self, rounded: np.ndarray, dtype: str) -> Any:
        return rounded

    def host(self, array: Any) -> np.ndarray:
        assert isinstance(array, np.ndarray | np.generic), type(array)
        return np.asarray(array, dtype=np.float64)


class Strict(Backend):
    """array-api-strict: has nothing but the standard; on "device1" it also refuses to be turned into NumPy arrays."""

    def device(self) -> Any:
        array_api_strict = pytest.importorskip("array_api_strict")

        return array_api_strict.Device("device1" if self.name.endswith("device1") else "CPU_DEVICE")

    def _from(self, rounded: np.ndarray, dtype: str) -> Any:
        xp = pytest.importorskip("array_api_strict")

        return xp.asarray(rounded, dtype=getattr(xp, dtype), device=self.device())

    def host(self, array: Any) -> np.ndarray:
        xp = pytest.importorskip("array_api_strict")

        assert array.device == self.device()
        return np.asarray(xp.asarray(array, device=xp.Device("CPU_DEVICE"))).astype(np.float64)


class Torch(Backend):
    def _from(self, rounded: np.ndarray, dtype: str) -> Any:
        torch = pytest.importorskip("torch")

        return torch.from_numpy(np.array(rounded, dtype=np.float64)).to(getattr(torch, dtype))

    def host(self, array: Any) -> np.ndarray:
        torch = pytest.importorskip("torch")

        assert isinstance(array, torch.Tensor)
        return array.detach().to(torch.float64).numpy()


class Jax(Backend):
    def _from(self, rounded: np.ndarray, dtype: str) -> Any:
        jnp = pytest.importorskip("jax.numpy")

        return jnp.asarray(rounded, dtype=getattr(jnp, dtype))

    def host(self, array: Any) -> np.ndarray:
        jax = pytest.importorskip("jax")

        assert isinstance(array, jax.Array)
        return np.asarray(array).astype(np.float64)


class CuPy(Backend):
    """CuPy where it finds a GPU, and its double where there is none."""

    def _from(self, rounded: np.ndarray, dtype: str) -> Any:
        import cupy

        return cupy.asarray(rounded.astype(np.float64)).astype(HOST[dtype])

    def host(self, array: Any) -> np.ndarray:
        import cupy

        assert isinstance(array, cupy.ndarray)
        return cupy.asnumpy(array).astype(np.float64)


class TorchCuda(Torch):
    """torch on a GPU."""

    def _from(self, rounded: np.ndarray, dtype: str) -> Any:
        return super()._from(rounded, dtype).cuda()

    def host(self, array: Any) -> np.ndarray:
        assert array.is_cuda
        return super().host(array.cpu())


def cupy_dtypes() -> tuple[str, ...]:
    """bfloat16 is ml_dtypes', which CuPy takes from 14 on."""
    import cupy

    return EVERY if int(cupy.__version__.split(".")[0]) >= 14 else ("float16", "float32", "float64")


WORKING = ("float32", "float64")
BACKENDS = {
    b.name: b
    for b in (
        NumPy("numpy"),
        Strict("strict", WORKING, 0.25),
        Strict("strict-device1", WORKING, 0.1),
        Torch("torch", EVERY, 0.25),
        Jax("jax", EVERY, 0.1),
        CuPy("cupy", cupy_dtypes(), 0.1),
        TorchCuda("torch-cuda", EVERY, 0.1),
    )
}


def available(name: str) -> Backend:
    """The backend of that name; skips the test, with the reason, where it cannot run."""
    if name.startswith("strict"):
        pytest.importorskip("array_api_strict")
    if name.startswith("torch"):
        torch = pytest.importorskip("torch")
        if name == "torch-cuda" and not torch.cuda.is_available():
            pytest.skip("torch finds no CUDA device")
    if name == "jax":
        pytest.importorskip("jax")
    return BACKENDS[name]
