"""What passes between the judge and the process that is asked: cases one way, answers the other.

Cases travel as pickles, since the judge made them. Answers come from a stranger's process: a JSON header and the
bytes of an array, nothing that could run.
"""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

import numpy as np

from .answers import ANSWERED, Answer, fits
from .questions import Case
from .text import MESSAGE, TRACE, clean

HEADER = 1 << 17  # bytes that a header may have
WIDEST = 16  # bytes of an entry
DTYPES = {
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "bfloat16"),
}


def write(stream: BinaryIO, data: bytes) -> None:
    """The number of bytes, then the bytes."""
    stream.write(struct.pack("<Q", len(data)) + data)
    stream.flush()


def read(stream: BinaryIO, limit: int) -> bytes | None:
    """The next bytes written, None at the end of the stream or where it breaks off or announces too much."""
    head = stream.read(8)
    if len(head) < 8 or (size := struct.unpack("<Q", head)[0]) > limit:
        return None
    data = stream.read(size)
    return data if len(data) == size else None


def pack(answer: Answer, case: Case) -> tuple[bytes, bytes]:
    """Header and bytes of an answer. An array of another shape sends its shape alone."""
    array = answer.array
    header: dict[str, Any] = {"kind": answer.kind, "message": answer.message, "traceback": answer.traceback}
    header["numeric"] = answer.numeric
    if array is None:
        return json.dumps(header).encode(), b""
    name = "complex" if array.dtype.kind == "c" else array.dtype.name
    header |= {"shape": array.shape, "dtype": name}
    data = np.ascontiguousarray(array).tobytes() if fits(array, case) and name in DTYPES else b""
    return json.dumps(header).encode(), data


def unpack(header: bytes, data: bytes, case: Case) -> Answer:
    """The answer; ValueError for anything that :func:`pack` does not make."""
    said = json.loads(header)
    kind = str(said["kind"])
    answer = Answer(kind, None, clean(said["message"], 2 * MESSAGE), clean(said["traceback"], 2 * TRACE, lines=True))
    answer.numeric = said["numeric"] is True
    if "shape" not in said:
        if kind == ANSWERED:
            raise ValueError("no array")
        return answer
    shape = tuple(int(n) for n in said["shape"])
    if data:
        array = np.frombuffer(data, dtype=_dtype(said["dtype"])).reshape(shape)
        if not fits(array, case):
            raise ValueError("an array of another shape")
        answer.array = array
    else:
        zero = np.zeros((), dtype=np.complex128 if said["dtype"] == "complex" else np.float64)
        answer.array = np.broadcast_to(zero, shape)
    return answer


def _dtype(name: Any) -> Any:
    if name not in DTYPES:
        raise ValueError(f"dtype {name!r:.50}")
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def room(case: Case) -> int:
    """Bytes that an answer to the case may have."""
    return WIDEST * int(np.prod(case.shape)) + HEADER
