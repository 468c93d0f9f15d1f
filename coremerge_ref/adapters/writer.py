"""A safetensors file written tensor by tensor.

The safetensors package wants all tensors in memory at once; here only one is. The format is 8 bytes of header length,
a JSON header, the tensors' bytes. The header is written last, into room kept for it, and padded with spaces, as the
format allows.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import ml_dtypes
import numpy as np

_CODES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64"}
METADATA = {"format": "pt"}  # transformers and PEFT ask for it


def numpy_dtype(name: str) -> np.dtype:
    """The NumPy dtype called `name`, bfloat16 included."""
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


class TensorWriter:
    """Writes tensors to a new file in the order they come; `close` completes it."""

    def __init__(self, path: Path, names: list[str], dimensions: int, metadata: Mapping[str, str] = METADATA) -> None:
        """names: of all tensors to come, of at most `dimensions` dimensions. metadata: as long as it will be.

        They bound the header's size, no more.
        """
        digits = len(str(2**63))
        entry = len('"":{"dtype":"BF16","shape":[],"data_offsets":[,]},') + digits * (dimensions + 2) + dimensions
        room = len(json.dumps({"__metadata__": {**metadata}})) + sum(len(json.dumps(name)) + entry for name in names)
        self._room = 8 * math.ceil(room / 8)  # so that the data is aligned
        self._header: dict[str, object] = {"__metadata__": {**metadata}}
        self._hash = hashlib.sha256()
        self._end = 0
        self._file = open(path, "xb")  # noqa: SIM115 (closed by close or abandon)
        self._file.seek(8 + self._room)

    def add(self, name: str, array: np.ndarray) -> None:
        """Appends one tensor."""
        data = np.asarray(array, order="C")  # ascontiguousarray would give numbers an axis
        begin, self._end = self._end, self._end + data.nbytes
        self._header[name] = {
            "dtype": _CODES[data.dtype.name],
            "shape": list(data.shape),
            "data_offsets": [begin, self._end],
        }
        content = data.reshape(-1).view(np.uint8).data
        self._hash.update(content)
        self._file.write(content)

    def copy(self, name: str, code: str, shape: Sequence[int], pieces: Iterable[bytes]) -> None:
        """Appends one tensor of any dtype `code` as the bytes that another file has of it."""
        begin = self._end
        for piece in pieces:
            self._end += len(piece)
            self._hash.update(piece)
            self._file.write(piece)
        self._header[name] = {"dtype": code, "shape": list(shape), "data_offsets": [begin, self._end]}

    @property
    def digest(self) -> str:
        """SHA-256 of the tensors' bytes, all that follows the header, as hex."""
        return self._hash.hexdigest()

    def close(self, metadata: Mapping[str, str] | None = None) -> None:
        """Writes the header, with `metadata` in place of what was announced, and hands everything to the disk."""
        if metadata is not None:
            self._header["__metadata__"] = {**metadata}
        if not self._header["__metadata__"]:
            del self._header["__metadata__"]
        header = json.dumps(self._header, separators=(",", ":")).encode().ljust(self._room)
        self._file.seek(0)
        self._file.write(len(header).to_bytes(8, "little") + header)
        self._file.close()

    def abandon(self) -> None:
        """Closes the file as it is; used where writing failed and the file will be removed."""
        with suppress(OSError):  # a full disk refuses the last buffer; what failed first has been said already
            self._file.close()
