"""How transformers has renamed the modules of its models: its own tables, as data.

renamings.json holds what `transformers.conversion_mapping` says for each model class, written by
tests/adapters/renaming_tables.py, which also checks it against the installed package. Nothing here imports
transformers: merging needs no array library but the one that merges.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_TENSOR = ".lora_A.weight"  # patterns are written for names of tensors, and some look at what follows the module


@dataclass(frozen=True)
class Step:
    """One WeightRenaming: the first of `sources` that matches is replaced by `target`, below `scope` alone."""

    sources: re.Pattern[str]
    target: str
    scope: str | None
    model_prefix: str

    def rename(self, key: str) -> str:
        """As transformers.core_model_loading.WeightTransform.rename_source_key (5.23)."""
        before = ""
        if self.scope is not None:
            scope = f"{self.scope}." if self.scope else ""
            before = next((p for p in (self.model_prefix + scope, scope) if key.startswith(p)), "\0")
            if before == "\0":
                return key
            key = key[len(before) :]
        match = self.sources.search(key)
        if match is None:
            return before + key
        group = next(name for name, value in match.groupdict().items() if value is not None)
        target = self.target
        if r"\1" in target:
            target = target.replace(r"\1", match.group(self.sources.groupindex[group] + 1))
        return before + key.replace(match.group(0), target, 1)


@dataclass(frozen=True)
class Table:
    """The renamings of one model class, or of several that share them. name: the first of those."""

    name: str
    steps: tuple[Step, ...]

    def rename(self, path: str) -> str:
        """The module's path today; `path` itself where the table does not rename the module alone."""
        key = path + _TENSOR
        for step in self.steps:
            key = step.rename(key)
        return key.removesuffix(_TENSOR) if key.endswith(_TENSOR) else path


@cache
def tables() -> tuple[Table, ...]:
    """All tables."""
    content = json.loads(files("coremerge_ref.adapters").joinpath("renamings.json").read_text(encoding="utf-8"))
    return tuple(Table(name, tuple(map(_step, steps))) for name, steps in content["tables"].items())


def _step(fields: Sequence[str | None]) -> Step:
    pattern, target, scope, prefix = fields
    assert pattern is not None
    assert target is not None
    return Step(re.compile(pattern), target, scope, f"{prefix}." if prefix else "")
