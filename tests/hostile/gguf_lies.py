"""What a GGUF file can say of itself: lengths, counts, types, sizes and offsets that are not so."""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from lies import ESCAPES, Lie

UINT8, UINT32, FLOAT32, TEXT, ARRAY = 0, 4, 6, 8, 9


def text(value: str | bytes) -> bytes:
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def key(name: str, type: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", type) + value


def array(type: int, count: int, elements: bytes = b"") -> bytes:
    return struct.pack("<IQ", type, count) + elements


def tensor(name: str | bytes, sizes: Sequence[int], type: int = 0, offset: int = 0) -> bytes:
    shape = b"".join(struct.pack("<Q", size) for size in sizes)
    return text(name) + struct.pack("<I", len(sizes)) + shape + struct.pack("<IQ", type, offset)


A, B = tensor("x.lora_a", [5, 2]), tensor("x.lora_b", [2, 6], 0, 64)
KEYS = [
    key("general.type", TEXT, text("adapter")),
    key("adapter.type", TEXT, text("lora")),
    key("adapter.lora.alpha", FLOAT32, struct.pack("<f", 2)),
]


def file(
    *more: bytes, tensors: Sequence[bytes] = (A, B), keys: int | None = None, count: int | None = None, version: int = 3
) -> Lie:
    """A file with those keys more and those tensors, or what it says are as many."""
    given = [*KEYS, *more]
    head = struct.pack("<4sIQQ", b"GGUF", version, count or len(tensors), keys or len(given))
    head += b"".join([*given, *tensors])
    return lambda path: path.write_bytes(head + bytes(-len(head) % 32) + bytes(4096))


def renamed(name: str | bytes) -> Lie:
    both = name.encode("utf-8", "surrogatepass") if isinstance(name, str) else name
    return file(tensors=[tensor(both + b".lora_a", [5, 2]), tensor(both + b".lora_b", [2, 6], 0, 64)])


def cut(size: int) -> Callable[[Path], None]:
    def lie(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:size])

    return lie


GGUF: dict[str, Lie] = {
    **{f"{count:,} keys": file(keys=count) for count in (5, 2**31, 2**40, 2**63)},
    **{f"{count:,} tensors": file(count=count) for count in (3, 2**31, 2**40, 2**63)},
    **{f"an array of {n:,} bytes": file(key("z", ARRAY, array(UINT8, n))) for n in (2**20, 2**40, 2**63)},
    "an array of numbers": file(key("z", ARRAY, array(FLOAT32, 3, bytes(12)))),
    "a long array": file(key("z", ARRAY, array(UINT8, 10**6, bytes(10**6)))),
    "many texts": file(key("z", ARRAY, array(TEXT, 99_000, bytes(8 * 99_000)))),
    "too many texts": file(key("z", ARRAY, array(TEXT, 120_000, bytes(8 * 120_000)))),
    "arrays of arrays": file(key("z", ARRAY, array(ARRAY, 1) * 80_000 + array(UINT8, 1, b"x"))),
    "many keys": file(*(key(f"k{i}", UINT32, struct.pack("<I", i)) for i in range(50_000))),
    "a key twice": file(KEYS[0]),
    "a long key": file(key("k" * 100_000, UINT32, bytes(4))),
    "a key beyond the end": file(struct.pack("<Q", 2**63)),
    "a text beyond the end": file(key("z", TEXT, struct.pack("<Q", 2**63))),
    "a text that is no UTF-8": file(key("z", TEXT, text(b"\xff"))),
    "a base of escapes": file(key("general.base_model.0.name", TEXT, text(ESCAPES))),
    "an unknown type": file(key("z", 77, b"")),
    **{f"alignment {n:,}": file(key("general.alignment", UINT32, struct.pack("<I", n))) for n in (0, 3, 2**31)},
    "alignment of text": file(key("general.alignment", TEXT, text("x"))),
    **{f"sizes of {n:,}": file(tensors=[tensor("x.lora_a", [n, 2]), B]) for n in (0, 2**32, 2**62, 2**64 - 1)},
    "sizes that overflow": file(tensors=[tensor("x.lora_a", [2**32, 2**32]), tensor("x.lora_b", [2**32, 2**32])]),
    "rank 0": file(tensors=[tensor("x.lora_a", [5, 0]), tensor("x.lora_b", [0, 6])]),
    "many dimensions": file(tensors=[tensor("x.lora_a", [1] * 90_000), B]),
    "experts of nothing": file(tensors=[tensor("x.lora_a", [0, 1, 2**40]), tensor("x.lora_b", [1, 0, 2**40])]),
    "a tensor twice": file(tensors=[A, A, B]),
    "tensors that overlap": file(tensors=[A, tensor("x.lora_b", [2, 6])]),
    **{f"offset {n:,}": file(tensors=[tensor("x.lora_a", [5, 2], 0, n), B]) for n in (3, 2**40, 2**63, 2**64 - 64)},
    **{f"type {n}": file(tensors=[tensor("x.lora_a", [256, 2], n), B]) for n in (8, 12, 26, 99, 2**32 - 1)},
    "rows of half a block": file(tensors=[tensor("x.lora_a", [5, 2], 8), B]),
    "many tensors": file(tensors=[tensor(f"x{i}.lora_a", [1, 1], 0, 32 * i) for i in range(20_000)]),
    "names of escapes": renamed(ESCAPES),
    "names of 100,000 letters": renamed("x" * 100_000),
    "names that are no UTF-8": renamed(b"\xff"),
    "names of NUL": renamed("\0"),
    **{f"version {n:,}": file(version=n) for n in (0, 1, 2, 4, 2**31)},
    **{f"{size} bytes": cut(size) for size in (4, 20, 60, 150)},
}
