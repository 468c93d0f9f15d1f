"""A safetensors file written tensor by tensor.

The safetensors package wants all tensors in memory at once; here only one is. The format is 8 bytes of header length,
a JSON header, the tensors' bytes. The header is written last, into room kept for it, and padded with spaces, as the
format allows.
"""

import json
import math
from contextlib import suppress
from pathlib import Path

import ml_dtypes
import numpy as np

_CODES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64"}
_METADATA = {"format": "pt"}  # transformers and PEFT ask for it


def numpy_dtype(name: str) -> np.dtype:
    """The NumPy dtype called `name`, bfloat16 included."""
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


class TensorWriter:
    """Writes tensors to a new file in the order they come; `close` completes it."""

    def __init__(self, path: Path, names: list[str], dimensions: int) -> None:
        """names: of all tensors to come, of at most `dimensions` dimensions; both only bound the header's size."""
        digits = len(str(2**63))
        entry = len('"":{"dtype":"BF16","shape":[],"data_offsets":[,]},') + digits * (dimensions + 2) + dimensions
        room = len(json.dumps({"__metadata__": _METADATA})) + sum(len(json.dumps(name)) + entry for name in names)
        self._room = 8 * math.ceil(room / 8)  # so that the data is aligned
        self._header: dict[str, object] = {"__metadata__": _METADATA}
        self._end = 0
        self._file = open(path, "xb")  # noqa: SIM115 (closed by close or abandon)
        self._file.seek(8 + self._room)

    def add(self, name: str, array: np.ndarray) -> None:
        """Appends one tensor."""
        data = np.ascontiguousarray(array)
        begin, self._end = self._end, self._end + data.nbytes
        self._header[name] = {
            "dtype": _CODES[data.dtype.name],
            "shape": list(data.shape),
            "data_offsets": [begin, self._end],
        }
        self._file.write(data.reshape(-1).view(np.uint8).data)

    def close(self) -> None:
        """Writes the header and hands everything to the disk."""
        header = json.dumps(self._header, separators=(",", ":")).encode().ljust(self._room)
        self._file.seek(0)
        self._file.write(len(header).to_bytes(8, "little") + header)
        self._file.close()

    def abandon(self) -> None:
        """Closes the file as it is; used where writing failed and the file will be removed."""
        with suppress(OSError):  # a full disk refuses the last buffer; what failed first has been said already
            self._file.close()
