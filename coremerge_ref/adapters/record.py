"""coremerge.json: how an output was merged, for whoever finds it later."""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

from coremerge_ref.adapters.files import is_regular_file, read_json
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.renaming import Renaming
from coremerge_ref.adapters.replace_file import record_beside
from coremerge_ref.adapters.workers import failures
from coremerge_ref.adapters.writing import Outcome
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import Space
from coremerge_ref.errors import AdapterError, shown
from coremerge_ref.version import package_version

NAME = "coremerge.json"


class Hashes:
    """SHA-256 of every input file, computed while the merge runs: on a thread, or by an executor's workers."""

    def __init__(self, adapters: Sequence[Adapter], executor: Executor | None = None) -> None:
        self._executor = executor or ThreadPoolExecutor(max_workers=1)
        self._own = executor is None
        token = uuid4().hex
        with failures(self._executor, ()):
            self._made: list[dict[str, Future[str]]] = [
                {
                    _called(path, adapter): self._executor.submit(sha256, path, token)
                    for path in map(Path.absolute, adapter.files)
                }
                for adapter in adapters
            ]

    def results(self) -> list[dict[str, str]]:
        """For each adapter {file name: hex digest}; OSError if a file vanished meanwhile."""
        with failures(self._executor, ()):
            return [{name: future.result() for name, future in files.items()} for files in self._made]

    def __enter__(self) -> "Hashes":
        return self

    def __exit__(self, *_: object) -> None:
        for future in (future for files in self._made for future in files.values()):
            future.cancel()
        if self._own:
            self._executor.shutdown()


def _called(path: Path, adapter: Adapter) -> str:
    """The file's name; of TRAINED@INITIAL, with an @ before those of INITIAL."""
    return path.name if path.parent == adapter.files[0].parent.absolute() else f"@{path.name}"


def check_recorded(adapter: Adapter, digests: Mapping[str, str]) -> None:
    """AdapterError if the adapter is not the one that was opened, or its coremerge.json says that it has other files.

    Then it was replaced while it was read, so that config and weights may be of two merges, or somebody edited it.
    """
    adapter.check_unchanged()
    first = adapter.files[0]
    path = record_beside(first, NAME) if adapter.path == first else first.parent / NAME
    if not is_regular_file(path):
        return
    outputs = read_json(path).get("outputs")
    recorded = outputs if isinstance(outputs, dict) else {}
    for name, digest in digests.items():
        if recorded.get(name, digest) != digest:
            raise AdapterError(
                f"{shown(first.parent / name)}: is not the file that {path.name} beside it describes: it changed while "
                f"it was read, or was edited since; try again, or remove {NAME} if the change was meant"
            )


def record(
    adapters: Sequence[Adapter],
    how: dict[str, Any],
    outcome: Outcome,
    notes: Sequence[str],
    renamings: Sequence[Renaming | None],
    inputs: Sequence[dict[str, str]],
    outputs: dict[str, str],
) -> dict[str, Any]:
    """The content of coremerge.json. how: method, space and the other arguments. inputs, outputs: SHA-256 by file."""
    return {
        "coremerge_ref": package_version(),
        **how,
        "inputs": [
            {
                "path": adapter.called,
                "peft_type": adapter.config.peft_type,
                "base_model_name_or_path": adapter.config.base_model_name_or_path,
                "sha256": digests,
                **({"renamed": {"how": renaming.how, "names": renaming.names}} if renaming else {}),
            }
            for adapter, digests, renaming in zip(adapters, inputs, renamings, strict=True)
        ],
        "outputs": outputs,
        "layers": outcome.facts,
        "notes": list(notes),
    }


def described(pipeline: Pipeline) -> dict[str, Any]:
    """A method with every parameter, as JSON."""
    parameters = {stage: {k: plain(v) for k, v in values.items()} for stage, values in pipeline.parameters.items()}
    return {"method": str(pipeline), "parameters": parameters}


def described_space(space: Space) -> dict[str, Any]:
    """A space with every parameter, as JSON."""
    return {"name": space.name, **vars(space)}


def sha256(path: Path, token: str = "") -> str:
    """The hex digest of a file. token: so that no executor takes it for what it did before, as dask's does."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plain(value: Any) -> Any:
    """`value` as JSON has it: arrays and functions by their type's name, since their content is not the record's."""
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return f"<{type(value).__name__}>"
