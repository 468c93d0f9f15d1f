"""One GGUF file with the verbs of TensorFile, read by the gguf package (extra `gguf`)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from coremerge_ref.adapters.tensors import Entry
from coremerge_ref.errors import AdapterError, reason, shown

_CODES = {"F32": "F32", "F16": "F16", "BF16": "F32", "Q8_0": "F32"}  # what each is read as, exactly


class GgufFile:
    """A GGUF file with the verbs of TensorFile."""

    def __init__(self, path: Path) -> None:
        """Reads all but the tensors. AdapterError if it is damaged, or the gguf package is not there."""
        try:
            import gguf
        except ImportError as error:
            raise AdapterError(f"{shown(path)}: a GGUF file; pip install gguf to read it") from error
        self.path = path
        try:
            self._reader: Any = gguf.GGUFReader(path)
            self._tensors = {str(tensor.name): tensor for tensor in self._reader.tensors}
            self.values: dict[str, Any] = {
                name: field.contents() for name, field in self._reader.fields.items() if not name.startswith("GGUF.")
            }
            self.entries = {
                name: Entry(_CODES.get(tensor.tensor_type.name, tensor.tensor_type.name), _shape(tensor))
                for name, tensor in self._tensors.items()
            }
        except Exception as error:  # the package checks little and fails in every way on a damaged file
            raise AdapterError(f"{shown(path)}: damaged GGUF file: {reason(error)}; download it again") from error

    def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Those tensors; F32 and F16 as they are, BF16 and Q8_0 as float32. AdapterError for NaN and Inf."""
        from gguf.quants import dequantize

        arrays = {}
        for name in names:
            tensor = self._tensors[name]
            try:
                plain = tensor.tensor_type.name in ("F32", "F16")
                data = np.array(tensor.data) if plain else dequantize(tensor.data, tensor.tensor_type)
                arrays[name] = data.reshape(_shape(tensor))
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


def _shape(tensor: Any) -> tuple[int, ...]:
    """In NumPy's order: ggml's has the fastest axis first."""
    return tuple(int(size) for size in reversed(tensor.shape))
