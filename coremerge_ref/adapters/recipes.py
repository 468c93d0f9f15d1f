"""The settings of a merge as `coremerge merge --config` reads them, so that coremerge.json repeats it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coremerge_ref.adapters import record as records
from coremerge_ref.adapters.ready import Options
from coremerge_ref.adapters.selection import PerModule


def recipe(
    paths: Sequence[str | Path],
    output: str | Path,
    options: Options,
    ragged: bool,
    others: str,
    base: str | Path | None,
    most: int | str | None = None,
) -> dict[str, Any] | None:
    """Settings under the names of the command line; None where a method is no text: a Python function, or masks."""
    pipelines, weights = options.pipelines, options.task_weights
    if not isinstance(pipelines, PerModule) or pipelines.rules:
        return None
    made = records.described(pipelines.default)
    parameters = {
        stage: {k: v for k, v in values.items() if v is not None} for stage, values in made["parameters"].items()
    }
    space = records.described_space(options.where)
    name = space.pop("name")
    settings = {**parameters, name: space}
    if any(
        isinstance(value, str) and value.startswith("<") for values in settings.values() for value in values.values()
    ):
        return None
    rules: Any = [{"match": match, "values": list(map(float, values))} for match, values in weights.rules]
    plain = None if weights.default is None else list(map(float, weights.default))
    return {
        "adapters": [os.fspath(path) for path in paths],
        "output": os.fspath(output),
        "method": made["method"],
        "space": name,
        "set": {stage: values for stage, values in settings.items() if values},
        "weights": rules or plain,
        "scale": float(options.scale),
        "rank": options.cut and options.cut.described,
        "ragged": ragged,
        "dtype": options.dtype,
        "include": list(options.include),
        "exclude": list(options.exclude),
        "rename": list(options.rename),
        "allow_missing": options.allow_missing,
        "others": others,
        "backend": options.backend,
        "device": options.device,
        "base": None if base is None else os.fspath(base),
        "dense": options.dense,
        **({} if most is None else {"max_shard_size": most}),
        **({"into": os.fspath(options.into)} if options.into is not None else {}),
    }
