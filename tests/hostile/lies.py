"""What a file can be instead of what its name says: functions of its path that put the lie in its place."""

import gzip
import json
import os
import pickle
import random
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

Lie = Callable[[Path], object]
ESCAPES = "\x1b]0;owned\x07\x1b[2J\r\n\u202e\x9b31m\u2028\ud7ff\ufeff"


def instead(content: bytes | str) -> Lie:
    """The file holds `content`."""
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode())


def place(make: Lie) -> Lie:
    """The file is removed first, then made."""

    def lie(path: Path) -> None:
        path.unlink()
        make(path)

    return lie


def grown(path: Path) -> None:
    """A gigabyte of nothing, that takes no space on disk, after what is there."""
    os.truncate(path, 2**30)


def listen(path: Path) -> None:
    """A socket; its name must be short."""
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def to_itself(path: Path) -> None:
    """A link to itself."""
    path.symlink_to(path.name)


# any file
ANY: dict[str, Lie] = {
    "missing": Path.unlink,
    "empty": instead(b""),
    "one byte": instead(b"{"),
    "zeros": instead(bytes(4096)),
    "ones": instead(b"\xff" * 4096),
    "noise": instead(random.Random(0).randbytes(5000)),
    "a line": instead("x" * 100_000),
    "escapes": instead(ESCAPES * 100),
    "UTF-16": lambda path: path.write_bytes(path.read_bytes().decode("latin-1").encode("utf-16")),
    "byte order mark": lambda path: path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes()),
    "not UTF-8": lambda path: path.write_bytes(path.read_bytes() + b"\xc3\x28\xa0\xff"),
    "twice": lambda path: path.write_bytes(2 * path.read_bytes()),
    "gzip": lambda path: path.write_bytes(gzip.compress(path.read_bytes())),
    "pickle": instead(pickle.dumps({"a": [1, 2]})),
    "a web page": instead("<!DOCTYPE html>\n<html><body>404</body></html>\n"),
    "git-lfs pointer": instead("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"),
    "a gigabyte": grown,
    "folder": place(Path.mkdir),
    "pipe": place(os.mkfifo),
    "socket": place(listen),
    "/dev/zero": place(lambda path: path.symlink_to("/dev/zero")),
    "/dev/full": place(lambda path: path.symlink_to("/dev/full")),
    "/dev/stdin": place(lambda path: path.symlink_to("/dev/stdin")),
    "dangling link": place(lambda path: path.symlink_to("nowhere")),
    "link to itself": place(to_itself),
    "deep lists": instead("[" * 200_000),
    "deep mappings": instead('{"a":' * 100_000),
    "deep and closed": instead("[" * 50_000 + "]" * 50_000),
    "many lists": instead("[" + "[]," * 300_000 + "[]]"),
    "many numbers": instead("[" + "1e5," * 300_000 + "1]"),
    "many keys": instead("{" + ",".join(f'"k{i}":{i}' for i in range(100_000)) + "}"),
    "one key many times": instead("{" + '"a":1,' * 50_000 + '"a":1}'),
    "last key twice": instead("{" + ",".join(f'"k{i}":{i}' for i in range(50_000)) + ',"k49999":1}'),
    "a long string": instead('{"a":"' + "b" * 4_000_000 + '"}'),
    "a long key": instead('{"' + "b" * 4_000_000 + '":1}'),
    "a long number": instead('{"a":' + "9" * 4_000_000 + "}"),
    "NaN": instead('{"a":NaN}'),
    "an infinity": instead('{"a":1e999}'),
    "half a pair": instead('{"a":"\\ud800"}'),
    "a list": instead("[]"),
    "null": instead("null"),
    "a number": instead("1"),
    "true": instead("true"),
    "an empty object": instead("{}"),
}


def damaged(seed: int) -> Lie:
    """Bytes changed, cut off, added or moved, at random places."""

    def lie(path: Path) -> None:
        draw = random.Random(seed)
        content = bytearray(path.read_bytes())
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(content) + 1)
            match draw.randrange(5):
                case 0:
                    content[at : at + 1] = bytes([draw.randrange(256)])
                case 1:
                    del content[at:]
                case 2:
                    content[at:at] = draw.randbytes(draw.randrange(1, 30))
                case 3:
                    del content[at : at + draw.randrange(1, 30)]
                case 4:
                    content[at : at + 1] = draw.choice([b"[", b"]", b"{", b"}", b'"', b"9", b"-", b"e", b"\\", b"\x1b"])
        path.write_bytes(bytes(content))

    return lie


# fields of a JSON object: every one of them is given each of these values in turn
VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "zero": 0,
    "minus one": -1,
    "2**31": 2**31,
    "2**63": 2**63,
    "10**400": 10**400,
    "-0.0": -0.0,
    "1e308": 1e308,
    "1e-320": 1e-320,
    "a text": "x",
    "escapes": ESCAPES,
    "a path": "../../../../etc/passwd",
    "an empty text": "",
    "a NUL": "\x00",
    "a long text": "x" * 1_000_000,
    "an empty list": [],
    "a list": [1, "x", None, [[]]],
    "a long list": [0] * 100_000,
    "an empty object": {},
    "an object": {"x": {"x": {"x": 1}}},
    "a large object": {f"k{i}": i for i in range(20_000)},
    "an object of escapes": {ESCAPES: ESCAPES},
    "a backtracking pattern": {"(a+)+$": 2, "(.*.*.*.*.*.*.*.*.*.*)x": 3, "((((.*)*)*)*)*x": 4},
    "many patterns": {f"[ab]x{i}": 2 for i in range(5_000)},
    "no pattern": {"(": 2, "[": 2, "*": 2},
    "a repetition": {"((x{500}){500}){500}": 2},
}


def field(name: str, value: Any) -> Lie:
    """The JSON object has `value` under `name`."""

    def lie(path: Path) -> None:
        content = json.loads(path.read_text())
        content[name] = value
        path.write_text(json.dumps(content))

    return lie


def renamed(change: Callable[[str], str]) -> Lie:
    """Names in a safetensors header are changed."""
    return header(lambda head: {change(name): entry for name, entry in head.items()})


def header(change: Callable[[dict[str, Any]], Any]) -> Lie:
    """The header of a safetensors file is changed; its offsets are left as they are."""

    def lie(path: Path) -> None:
        head, data = parts(path)
        changed = change(head)
        write(path, changed if isinstance(changed, str) else json.dumps(changed), data)

    return lie


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    """Header and data of a safetensors file."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    head = json.loads(content[8 : 8 + size])
    head.pop("__metadata__", None)
    return head, content[8 + size :]


def write(path: Path, head: str, data: bytes) -> None:
    """A safetensors file of those."""
    text = head.encode("utf-8", "surrogatepass")
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def length(value: int) -> Lie:
    """The header says that it is `value` bytes long; so is the file, at least, up to a terabyte."""

    def lie(path: Path) -> None:
        with open(path, "r+b") as file:
            file.write(struct.pack("<Q", value))
        os.truncate(path, max(path.stat().st_size, min(value + 8, 2**40)))

    return lie


def entries(**fields: Any) -> Lie:
    """Every tensor's entry has those fields."""
    return header(lambda head: {name: {**entry, **fields} for name, entry in head.items()})


def first(**fields: Any) -> Lie:
    """The first tensor's entry has those fields."""

    def change(head: dict[str, Any]) -> dict[str, Any]:
        name = next(iter(head))
        return {**head, name: {**head[name], **fields}}

    return header(change)


def empty(count: int, name: Callable[[int], str] = str) -> Lie:
    """A file of `count` tensors that hold nothing."""
    one = '"%s":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    return lambda path: write(path, "{" + ",".join(one % name(i) for i in range(count)) + "}", b"")


PREFIX = "base_model.model."
SAFETENSORS: dict[str, Lie] = {
    **{
        f"header of {size:,}": length(size)
        for size in (0, 1, 2, 2**20, 24_000_000, 10**8, 2**30, 2**32, 2**63, 2**64 - 1)
    },
    "no tensors": header(lambda head: {}),
    "metadata alone": header(lambda head: {"__metadata__": {"format": "pt"}}),
    "metadata of numbers": header(lambda head: {"__metadata__": {"format": 1}, **head}),
    "metadata of lists": header(lambda head: {"__metadata__": [[]], **head}),
    "metadata of escapes": header(lambda head: {"__metadata__": {ESCAPES: ESCAPES}, **head}),
    "much metadata": header(lambda head: {"__metadata__": {f"{i:x}": "ab" for i in range(30_000)}, **head}),
    "metadata twice": header(lambda head: '{"__metadata__":{},' + json.dumps({"__metadata__": {}, **head})[1:]),
    "a metadatum twice": header(lambda head: '{"__metadata__":{"a":"1","a":"2"},' + json.dumps(head)[1:]),
    "every tensor twice": header(lambda head: json.dumps(head)[:-1] + "," + json.dumps(head)[1:]),
    "a dtype twice": header(lambda head: json.dumps(head).replace('"dtype"', '"dtype":"F64","dtype"')),
    "spaces around": header(lambda head: " \n" + json.dumps(head, indent=1) + " " * 5000),
    "spaces after 10 MB": header(lambda head: json.dumps(head) + " " * 10_000_000),
    "spaces of 10 MB": header(lambda head: json.dumps(head).replace(":", ":" + " " * 10_000_000, 1)),
    "sizes of commas": header(lambda head: json.dumps(head, separators=(",", ":")).replace("[", "[,,", 1)),
    "no object": header(lambda head: [head]),
    "entries of null": header(lambda head: dict.fromkeys(head)),
    "entries of lists": header(lambda head: {name: [1, 2] for name in head}),
    "a large entry": first(extra=list(range(100_000))),
    "other fields": first(extra="x"),
    "a long shape": first(shape=[1] * 100_000),
    "negative sizes": first(shape=[-2, -4]),
    "sizes of 2**63": first(shape=[2**63, 2]),
    "sizes that overflow": first(shape=[2**32, 2**32]),
    "empty and wide": first(shape=[0, 2**40], data_offsets=[0, 0]),
    "sizes of floats": first(shape=[2.0, 4.0]),
    "sizes of texts": first(shape=["2", "4"]),
    "sizes of true": first(shape=[True, True]),
    "no sizes": first(shape=[]),
    "an unknown dtype": first(dtype="F999"),
    "a dtype of escapes": first(dtype=ESCAPES),
    "a dtype of null": first(dtype=None),
    "integers": entries(dtype="I32"),
    "float8": first(dtype="F8_E4M3"),
    "complex": first(dtype="C64"),
    "half the width": entries(dtype="F16"),
    "negative offsets": first(data_offsets=[-8, 0]),
    "offsets backwards": first(data_offsets=[8, 0]),
    "offsets beyond": first(data_offsets=[0, 2**40]),
    "offsets of 2**64": first(data_offsets=[0, 2**64]),
    "one offset": first(data_offsets=[0]),
    "all at the start": entries(data_offsets=[0, 32]),
    "no offsets": first(data_offsets=None),
    "20,000 tensors": empty(20_000),
    "10,000 modules": empty(20_000, lambda i: f"{PREFIX}layers.{i // 2}.q.lora_{'AB'[i % 2]}.weight"),
    "20,000 factors A": empty(20_000, lambda i: f"{PREFIX}layers.{i}.q.lora_A.weight"),
    "20,000 base weights": empty(20_000, lambda i: f"{PREFIX}layers.{i}.base_layer.weight"),
    "20,000 lambdas": empty(20_000, lambda i: f"{PREFIX}layers.{i}.vera_lambda_b"),
    "names of escapes": renamed(lambda name: name.replace("q", ESCAPES)),
    "names of dots": renamed(lambda name: PREFIX + "." * 900 + name),
    "names of 100,000 letters": renamed(lambda name: "x" * 100_000 + name),
    "empty names": renamed(lambda name: ""),
    "names of suffixes alone": renamed(lambda name: name[name.index(".lora") :] if ".lora" in name else name),
    "names of prefixes alone": renamed(lambda name: PREFIX),
    "names that nest": renamed(lambda name: name.replace(PREFIX, PREFIX + "x.base_layer.base_layer.")),
    "names of surrogates": header(lambda head: json.dumps({"\ud800" + name: entry for name, entry in head.items()})),
    "names of NUL": renamed(lambda name: name + "\x00"),
    "names of markup": renamed(lambda name: name.replace("q", "[bold red]q[/]")),
}

ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 10))
YAML: dict[str, Lie] = {
    "aliases": instead(ALIASES),
    "merge keys": instead(MERGES),
    "an alias to itself": instead("adapters: &a [*a]\n"),
    "a key twice": instead("method: ties\nmethod: tsv\n"),
    "a key twice in set": instead("set: {ties: {density: 0.1, density: 0.2}}\n"),
    "a Python object": instead("method: !!python/object/apply:os.system ['touch owned']\n"),
    "a tag": instead("method: !!binary aGVsbG8=\n"),
    "two documents": instead("method: ta\n---\nmethod: tsv\n"),
    "rank true": instead("rank: true\n"),
    "rank of text": instead("rank: '4'\n"),
    "scale of text": instead("scale: '4'\n"),
    "scale infinite": instead("scale: .inf\n"),
    "scale 1e999": instead("scale: 1e999\n"),
    "dense of a number": instead("dense: 1\n"),
    "dense of a word": instead("dense: yes\n"),
    "method of a number": instead("method: 1\n"),
    "a date": instead("method: 2020-01-01\n"),
    "weights of texts": instead("weights: ['1', '2']\n"),
    "weights of lists": instead("weights: [[1], [2]]\n"),
    "a key of a list": instead("? [1, 2]\n: 3\n"),
    "a key of a mapping": instead("? {a: 1}\n: 3\n"),
    "a key of null": instead("~: 3\n"),
    "a key of escapes": lambda path: path.write_text(yaml.safe_dump({ESCAPES: 1})),
    "an output of escapes": lambda path: path.write_text(yaml.safe_dump({"output": ESCAPES})),
    "an output of NUL": instead('output: "a\\0b"\n'),
    "an output of half a pair": instead('output: "\\ud800"\n'),
    "an output too long": instead(f"output: {'x' * 5000}\n"),
    "k of 10**400": instead(f"set: {{tsv: {{k: 1{'0' * 400}}}}}\n"),
    "a base in 60": instead("rank: 1:30\n"),
    "many anchors": instead("".join(f"- &a{i} x\n" for i in range(20_000))),
    "a long text": instead(f"method: {'x' * 60_000}\n"),
    "many adapters": instead("adapters: [" + "x, " * 20_000 + "x]\n"),
    "tabs": instead("\tmethod: ta\n"),
    "a directive": instead("%YAML 9.9\n---\nmethod: ta\n"),
    "comments": instead("#" * 60_000 + "\n"),
}
