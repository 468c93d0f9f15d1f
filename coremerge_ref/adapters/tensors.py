"""One safetensors file: its header at once, its tensors when asked for."""

import json
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from coremerge_ref.adapters.files import is_regular_file, open_regular
from coremerge_ref.adapters.free_memory import free_memory
from coremerge_ref.errors import AdapterError, reason, shown

_BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
_LARGEST = 2**31 - 1  # of one dimension; also bounds what an empty tensor may claim for its other dimension

# Bytes of a header, its tensors and the characters of a name. The library allows 100 MB, which it and Python would hold
# in more than a gigabyte; adapters of every expert of the largest open models have headers of 21 MB.
HEADER_LIMIT, MOST_TENSORS, LONGEST_NAME = 25_000_000, 200_000, 1_000
_LONGEST_ENTRY = 1_000  # characters of {"dtype":"F32","shape":[…],"data_offsets":[…]}
_HELD, _LOOKED_AT = 1.5, 1e9  # bytes held for each of a tensor as it is read and looked at; what is read unasked
_JSON = json.JSONDecoder()
_SPACE = re.compile(r"[ \n\r\t]*")

# What the library raises on a file that is damaged or vanishes; AttributeError and KeyError for dtypes NumPy lacks.
_FAILURES = (SafetensorError, OSError, ValueError, KeyError, AttributeError, OverflowError, MemoryError, RecursionError)


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor as the header has it: safetensors dtype code and shape."""

    code: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """ "float32" for "F32"; the code itself where it is no dtype adapters come in."""
        return DTYPES.get(self.code, self.code)

    @property
    def nbytes(self) -> int:
        """Bytes of a tensor in a dtype that adapters come in."""
        return math.prod(self.shape) * _BYTES[self.code]


class TensorFile:
    """A safetensors file whose header holds together: sizes, offsets, names. No tensor is read until asked for.

    The file stays open: what is read later is of the file whose header was read, also where another took its place.
    """

    def __init__(self, path: Path) -> None:
        """Reads the header. AdapterError if `path` is no regular file or its header is damaged or lies."""
        if not is_regular_file(path):
            raise AdapterError(
                f"{shown(path)}: expected a safetensors file; save the adapter with PEFT's save_pretrained"
            )
        self.path = path
        try:
            self.entries = dict(_entries(_header(path)))
            # pread, not mmap: a file cut short meanwhile gives an error instead of a bus error, and pages of
            # files many times the memory's size do not pile up in this process.
            self._file = safe_open(os.fspath(path), framework="numpy", backend="pread")
            if self.entries.keys() != set(self._file.keys()):
                raise ValueError("it was replaced meanwhile")
        except _FAILURES as error:
            raise self._damaged(error) from error
        self._all = self.entries  # whoever leaves some of them out sets `entries`, and may read the others all the same
        for name, entry in self.entries.items():
            if max(entry.shape, default=0) > _LARGEST:
                raise AdapterError(
                    f"{shown(path)}: tensor {shown(name)}: no adapter has shape {entry.shape}; download it again"
                )

    @property
    def metadata(self) -> dict[str, str]:
        """The header's __metadata__."""
        return dict(self._file.metadata() or {})

    def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Those tensors as NumPy arrays in the dtype they are stored in (bfloat16 is ml_dtypes').

        AdapterError naming the file and the tensor if one holds NaN or Inf, can no longer be read, or is larger than
        the memory that is free.
        """
        names, arrays = list(names), {}
        self._check_memory(names)
        try:
            for name in names:
                arrays[name] = self._file.get_tensor(name)
        except _FAILURES as error:
            raise self._damaged(error) from error
        for name, array in arrays.items():
            if not np.all(np.isfinite(array)):
                raise AdapterError(
                    f"{shown(self.path)}: tensor {shown(name)}: expected finite numbers, got NaN or Inf; "
                    "the training run diverged or the file is damaged"
                )
        return arrays

    def _check_memory(self, names: Sequence[str]) -> None:
        """A file of a few kilobytes on disk may say that it has, and even have, terabytes of zeros."""
        sizes = {name: self._all[name].nbytes for name in names if self._all[name].code in _BYTES}
        needed = sum(sizes.values()) * _HELD
        if needed > _LOOKED_AT and (free := free_memory()) is not None and needed > free:
            largest = max(sizes, key=sizes.__getitem__)
            raise AdapterError(
                f"{shown(self.path)}: tensor {shown(largest)} {self._all[largest].shape}: needs about "
                f"{needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free; leave its module out"
            )

    def _damaged(self, error: Exception) -> AdapterError:
        if isinstance(error, OSError):
            return AdapterError(f"{shown(self.path)}: cannot be read: {reason(error)}")
        return AdapterError(f"{shown(self.path)}: damaged safetensors file: {reason(error)}; download or save it again")


def _header(path: Path) -> str:
    """The JSON at the head of the file; "" where it is shorter than it says, which the library explains."""
    with open_regular(path) as file:
        size = int.from_bytes(file.read(8), "little")
        if size > os.fstat(file.fileno()).st_size - 8:
            return ""
        if size > HEADER_LIMIT:
            raise ValueError(f"expected a header of at most {HEADER_LIMIT} bytes, got {size}")
        return file.read(size).decode("utf-8")


def byte_ranges(path: Path) -> dict[str, tuple[int, int]]:
    """{tensor: where its bytes begin and end in the file}, of a file whose header a TensorFile has found sound."""
    with open_regular(path) as file:
        start = 8 + int.from_bytes(file.read(8), "little")
    ranges = {}
    for name, value in _values(_header(path)):
        match value:
            case {"data_offsets": [int(begin), int(end)]}:
                ranges[name] = (start + begin, start + end)
    return ranges


def _entries(text: str) -> Iterator[tuple[str, Entry]]:
    """Name and entry of each tensor in a header; ValueError for what is none. The library judges what they say."""
    for name, value in _values(text):
        match value:
            case {"dtype": str(code), "shape": list(shape)}:
                yield name, Entry(sys.intern(code), tuple(shape))
            case _:
                raise ValueError(f"tensor {shown(name)}: expected dtype, shape and data_offsets")


def _values(text: str) -> Iterator[tuple[str, object]]:
    """Name and value of each tensor in a header, one at a time and as they stand.

    ValueError for what is no header, and for a name that is there twice: which is meant would depend on the reader.
    """
    if not text:
        return
    scanner = _Scanner(text)
    for name in scanner.keys():  # noqa: SIM118 (not a dict)
        if name == "__metadata__":
            if scanner.null():  # as mlx writes it
                continue
            for _ in scanner.keys():  # noqa: SIM118
                scanner.string()
            continue
        if len(name) > LONGEST_NAME:
            raise ValueError(f"expected names of at most {LONGEST_NAME} characters, got {shown(name)}")
        yield name, scanner.entry()


class _Scanner:
    """JSON read in pieces that are let go: a whole header, as Python has it, takes forty times its bytes."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def keys(self) -> Iterator[str]:
        """The keys of the object that begins here; each one's value is to be read before the next is asked for."""
        self._mark("{")
        seen: set[str] = set()
        while not (self._next("}") and not seen):
            key = self.string()
            if key in seen:
                raise ValueError(f"the key {shown(key)} is there twice")
            if len(seen) > MOST_TENSORS:
                raise ValueError(f"expected at most {MOST_TENSORS} names")
            seen.add(key)
            self._mark(":")
            yield key
            if self._next("}"):
                break
            self._mark(",")
        self._mark("}")

    def string(self) -> str:
        """The string that begins here."""
        if not self._next('"'):
            raise ValueError(f"expected a string at character {self._at} of the header")
        text, self._at = _JSON.raw_decode(self._text, self._at)
        return str(text)

    def null(self) -> bool:
        """Whether null begins here, which is read then."""
        found = self._next("null")
        self._at += len("null") if found else 0
        return found

    def entry(self) -> object:
        """The short value that begins here."""
        self._next("")
        value, length = _JSON.raw_decode(self._text[self._at : self._at + _LONGEST_ENTRY])
        self._at += length
        return value

    def _next(self, mark: str) -> bool:
        if self._text.startswith((" ", "\n", "\r", "\t"), self._at):
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
        return self._text.startswith(mark, self._at)

    def _mark(self, mark: str) -> None:
        if not self._next(mark):
            raise ValueError(f"expected {mark} at character {self._at} of the header")
        self._at += 1
