"""One GGUF file with the verbs of TensorFile; its numbers are read by the gguf package (extra `gguf`)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from coremerge_ref.adapters.files import open_regular
from coremerge_ref.adapters.formats.gguf_header import bytes_of, check_data, read_header
from coremerge_ref.adapters.tensors import Entry
from coremerge_ref.errors import AdapterError, reason, shown

_CODES = {"F32": "F32", "F16": "F16", "BF16": "F32", "Q8_0": "F32"}  # what each is read as, exactly


class GgufFile:
    """A GGUF file with the verbs of TensorFile."""

    def __init__(self, path: Path) -> None:
        """Reads all but the tensors. AdapterError if it is damaged, or the gguf package is not there."""
        try:
            from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
        except ImportError as error:
            raise AdapterError(f"{shown(path)}: a GGUF file; pip install gguf to read it") from error
        self.path = path
        try:
            self.values, self._tensors, end = read_header(path)
            self._types: dict[str, Any] = {name: GGMLQuantizationType(t.type) for name, t in self._tensors.items()}
            self._bytes = {name: bytes_of(t, *GGML_QUANT_SIZES[self._types[name]]) for name, t in self._tensors.items()}
            check_data(self._tensors, self._bytes, end)
        except (OSError, ValueError, KeyError) as error:
            raise AdapterError(f"{shown(path)}: damaged GGUF file: {reason(error)}; download it again") from error
        self.entries = {
            name: Entry(_CODES.get(self._types[name].name, self._types[name].name), tensor.sizes[::-1])
            for name, tensor in self._tensors.items()
        }

    def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Those tensors; F32 and F16 as they are, BF16 and Q8_0 as float32. AdapterError for NaN and Inf."""
        arrays = {}
        for name in names:
            try:
                arrays[name] = self._read(name)
            except (ValueError, TypeError, IndexError, OSError, NotImplementedError) as error:
                raise AdapterError(
                    f"{shown(self.path)}: tensor {shown(name)}: cannot be read: {reason(error)}; download it again"
                ) from error
            if not np.all(np.isfinite(arrays[name])):
                raise AdapterError(
                    f"{shown(self.path)}: tensor {shown(name)}: expected finite numbers, got NaN or Inf; "
                    "the training run diverged or the file is damaged"
                )
        return arrays

    def _read(self, name: str) -> np.ndarray:
        from gguf.quants import dequantize

        shape, type = self.entries[name].shape, self._types[name]  # in NumPy's order: the slowest axis first
        with open_regular(self.path) as file:
            file.seek(self._tensors[name].place)
            data = np.frombuffer(bytearray(file.read(self._bytes[name])), np.uint8)
        if len(data) != self._bytes[name]:
            raise ValueError("the file became shorter")
        if type.name in ("F32", "F16"):
            return data.view(np.float32 if type.name == "F32" else np.float16).reshape(shape)
        numbers: np.ndarray = dequantize(data.reshape(*shape[:-1], -1), type)
        return numbers.reshape(shape)
