"""coremerge.json: how an output was merged, for whoever finds it later."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import Space

NAME = "coremerge.json"
_CHUNK = 2**20


class Hashes:
    """SHA-256 of every input file, computed on a thread while the merge runs."""

    def __init__(self, adapters: Sequence[Adapter]) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._made: list[dict[str, Future[str]]] = [
            {path.name: self._pool.submit(_sha256, path) for path in adapter.files} for adapter in adapters
        ]

    def results(self) -> list[dict[str, str]]:
        """For each adapter {file name: hex digest}; OSError if a file vanished meanwhile."""
        return [{name: future.result() for name, future in files.items()} for files in self._made]

    def __enter__(self) -> "Hashes":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)


def record(
    adapters: Sequence[Adapter],
    pipeline: Pipeline,
    space: Space,
    settings: dict[str, Any],
    layers: dict[str, dict[str, Any]],
    notes: Sequence[str],
    hashes: Sequence[dict[str, str]],
) -> dict[str, Any]:
    """The content of coremerge.json. settings: the other arguments of the merge. layers: what was found, by module."""
    return {
        "coremerge_ref": package_version(),
        **described(pipeline, space),
        **settings,
        "inputs": [
            {
                "path": str(adapter.path),
                "peft_type": adapter.config.peft_type,
                "base_model_name_or_path": adapter.config.base_model_name_or_path,
                "sha256": digests,
            }
            for adapter, digests in zip(adapters, hashes, strict=True)
        ],
        "layers": layers,
        "notes": list(notes),
    }


def described(pipeline: Pipeline, space: Space) -> dict[str, Any]:
    """Method and space with every parameter, as JSON."""
    parameters = {stage: {k: plain(v) for k, v in values.items()} for stage, values in pipeline.parameters.items()}
    return {"method": str(pipeline), "parameters": parameters, "space": {"name": space.name, **vars(space)}}


def plain(value: Any) -> Any:
    """`value` as JSON has it: arrays and functions by their type's name, since their content is not the record's."""
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return f"<{type(value).__name__}>"


def package_version() -> str:
    """This package's version, "unknown" where it runs from a source tree."""
    try:
        return version("coremerge_ref")
    except PackageNotFoundError:
        return "unknown"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
