"""What a GGUF header must begin with, by hand."""

import struct
from pathlib import Path

import pytest

from coremerge_ref.adapters.formats.gguf_header import read_header


def header(path: Path, magic: bytes, version: int, order: str = "<") -> Path:
    path.write_bytes(magic + struct.pack(f"{order}IQQ", version, 0, 0))
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_an_empty_file_of_either_version_is_one(version: int, tmp_path: Path) -> None:
    assert read_header(header(tmp_path / "x", b"GGUF", version)) == ({}, {}, 24)


@pytest.mark.parametrize(
    ("magic", "version", "order"), [(b"GGUF", 1, "<"), (b"GGUF", 4, "<"), (b"GGUF", 3, ">"), (b"GGML", 3, "<")]
)
def test_another_magic_or_version_or_order_of_bytes_is_refused(
    magic: bytes, version: int, order: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="expected GGUF of version 2 or 3, little-endian"):
        read_header(header(tmp_path / "x", magic, version, order))
