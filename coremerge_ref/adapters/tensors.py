"""One safetensors file: its header at once, its tensors when asked for."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from coremerge_ref.adapters.files import is_regular_file, parse_json, reason, shown
from coremerge_ref.errors import AdapterError

DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
_LARGEST = 2**31 - 1  # of one dimension; also bounds what an empty tensor may claim for its other dimension

# What the library raises on a file that is damaged or vanishes; AttributeError and KeyError for dtypes NumPy lacks.
_FAILURES = (SafetensorError, OSError, ValueError, KeyError, AttributeError, OverflowError, MemoryError, RecursionError)


@dataclass(frozen=True)
class Entry:
    """A tensor as the header has it: safetensors dtype code and shape."""

    code: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """ "float32" for "F32"; the code itself where it is no dtype adapters come in."""
        return DTYPES.get(self.code, self.code)


class TensorFile:
    """A safetensors file whose header holds together: sizes, offsets, names. No tensor is read until asked for."""

    def __init__(self, path: Path) -> None:
        """Reads the header. AdapterError if `path` is no regular file or its header is damaged or lies."""
        if not is_regular_file(path):
            raise AdapterError(
                f"{shown(path)}: expected a safetensors file; save the adapter with PEFT's save_pretrained"
            )
        self.path = path
        try:
            _check_unique_names(path)
            with self._opened() as file:
                slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
                self.entries = {n: Entry(s.get_dtype(), tuple(s.get_shape())) for n, s in slices.items()}
        except _FAILURES as error:
            raise self._damaged(error) from error
        for name, entry in self.entries.items():
            if max(entry.shape, default=0) > _LARGEST:
                raise AdapterError(
                    f"{shown(path)}: tensor {shown(name)}: no adapter has shape {entry.shape}; download it again"
                )

    def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Those tensors as NumPy arrays in the dtype they are stored in (bfloat16 is ml_dtypes').

        AdapterError naming the file and the tensor if one holds NaN or Inf, or can no longer be read.
        """
        arrays = {}
        try:
            with self._opened() as file:
                for name in names:
                    arrays[name] = file.get_tensor(name)
        except _FAILURES as error:
            raise self._damaged(error) from error
        for name, array in arrays.items():
            if not np.all(np.isfinite(array)):
                raise AdapterError(
                    f"{shown(self.path)}: tensor {shown(name)}: expected finite numbers, got NaN or Inf; "
                    "the training run diverged or the file is damaged"
                )
        return arrays

    def _opened(self) -> Any:
        # pread, not mmap: a file cut short meanwhile gives an error instead of a bus error, and pages of
        # files many times the memory's size do not pile up in this process.
        return safe_open(os.fspath(self.path), framework="numpy", backend="pread")

    def _damaged(self, error: Exception) -> AdapterError:
        return AdapterError(f"{shown(self.path)}: damaged safetensors file: {reason(error)}; download or save it again")


def _check_unique_names(path: Path) -> None:
    """ValueError if the header names a tensor twice: which of the two is meant would depend on the reader."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size <= os.fstat(file.fileno()).st_size - 8:  # else the library says what is wrong
            parse_json(file.read(size).decode("utf-8"))
