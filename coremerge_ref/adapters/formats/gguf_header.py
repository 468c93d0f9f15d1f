"""The header of a GGUF file, read in time and memory that its size bounds.

After ggml's docs/gguf.md, versions 2 and 3, little-endian: a count of tensors and of keys, each key with a typed value,
each tensor with its sizes, type and offset. The gguf package trusts what lengths say: an array of 2**40 bytes in a file
of 300 keeps it busy for ever, and each element of an array takes it microseconds and hundreds of bytes.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coremerge_ref.adapters.files import open_regular
from coremerge_ref.errors import shown

HEADER = 16 * 2**20  # bytes
VALUES = 100_000  # keys, elements of arrays and tensors
TENSORS = 20_000
NAME = 1000  # characters
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY, _UINT32 = 8, 9, 4
_ALIGNMENT, _DIMENSIONS = "general.alignment", 4


@dataclass(frozen=True)
class GgufTensor:
    """type: the number of its ggml type. sizes: the fastest axis first. place: where in the file its bytes begin."""

    type: int
    sizes: tuple[int, ...]
    place: int


def read_header(path: Path) -> tuple[dict[str, Any], dict[str, GgufTensor], int]:
    """(values by key, tensors by name, bytes of the file). OSError, or ValueError in words for what is no such file."""
    with open_regular(path) as file:
        read = _Header(file.read(HEADER))
        size = file.seek(0, 2)
    return *read.all(), size


class _Header:
    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.left = data, 0, VALUES

    def all(self) -> tuple[dict[str, Any], dict[str, GgufTensor]]:
        magic, version, tensors, keys = self.numbers("4sIQQ")
        if magic != b"GGUF" or version not in (2, 3):
            raise ValueError("expected GGUF of version 2 or 3, little-endian")
        values = self.named(keys, VALUES, "keys", self.value)
        alignment = values.get(_ALIGNMENT, 32)
        if isinstance(alignment, bool) or not isinstance(alignment, int) or alignment < 1 or alignment & alignment - 1:
            raise ValueError(f"expected an alignment of a power of two, got {shown(str(alignment))}")
        found = self.named(tensors, TENSORS, "tensors", self.tensor)
        start = -(-self.at // alignment) * alignment
        for name, tensor in found.items():
            if tensor.place % alignment:
                raise ValueError(f"tensor {shown(name)} begins between multiples of the alignment, {alignment}")
        return values, {name: GgufTensor(t.type, t.sizes, start + t.place) for name, t in found.items()}

    def named(self, count: int, most: int, what: str, read: Callable[[], Any]) -> dict[str, Any]:
        """`count` names, each with what `read` finds after it."""
        self.spend(count, most, what)
        found: dict[str, Any] = {}
        for _ in range(count):
            name = self.text(NAME)
            if name in found:
                raise ValueError(f"{shown(name)} is there twice")
            found[name] = read()
        return found

    def tensor(self) -> GgufTensor:
        (dimensions,) = self.numbers("I")
        if dimensions > _DIMENSIONS:
            raise ValueError(f"expected at most {_DIMENSIONS} dimensions, got {dimensions}")
        *sizes, type, offset = self.numbers(f"{dimensions}QIQ")
        return GgufTensor(type, tuple(sizes), offset)

    def value(self) -> Any:
        (type,) = self.numbers("I")
        if type != _ARRAY:
            return self.one(type)
        type, count = self.numbers("IQ")
        self.spend(count, VALUES, "values")
        if type in _SCALARS:
            return list(self.numbers(f"{count}{_SCALARS[type]}"))
        return [self.one(type) for _ in range(count)]

    def one(self, type: int) -> Any:
        if type == _TEXT:
            return self.text(HEADER)
        if type not in _SCALARS:
            raise ValueError(f"expected a number, a text or an array of them, got a value of type {type}")
        return self.numbers(_SCALARS[type])[0]

    def text(self, most: int) -> str:
        (length,) = self.numbers("Q")
        if length > most:
            raise ValueError(f"expected a text of at most {most} bytes, got {length}")
        return bytes(self.numbers(f"{length}s")[0]).decode("utf-8")

    def numbers(self, code: str) -> tuple[Any, ...]:
        here, self.at = self.at, self.at + struct.calcsize("<" + code)
        if self.at > len(self.data):
            raise ValueError(f"expected more than its {len(self.data)} bytes")
        return struct.unpack_from("<" + code, self.data, here)

    def spend(self, count: int, most: int, what: str) -> None:
        self.left -= count
        if count > most or self.left < 0:
            raise ValueError(f"expected at most {most} {what}, got {count}")


def check_data(tensors: dict[str, GgufTensor], sizes: dict[str, int], end: int) -> None:
    """ValueError unless every tensor's bytes, of which there are `sizes`, are in the file, and no one else's."""
    last, before = 0, ""
    for name in sorted(tensors, key=lambda name: tensors[name].place):
        place = tensors[name].place
        if place < last:
            raise ValueError(f"tensors {shown(before)} and {shown(name)} overlap")
        last, before = place + sizes[name], name
        if last > end:
            raise ValueError(f"tensor {shown(name)} ends after the file")


def bytes_of(tensor: GgufTensor, block: int, size: int) -> int:
    """How many bytes a tensor has, of a type with `size` bytes for each `block` numbers of its fastest axis."""
    if tensor.sizes and tensor.sizes[0] % block:
        raise ValueError(f"expected rows of a multiple of {block}, got {tensor.sizes[0]}")
    return math.prod(tensor.sizes) // block * size
