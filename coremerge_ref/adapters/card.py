"""README.md beside a merged adapter: a model card, as the Hugging Face hub shows it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from coremerge_ref.adapters.files import is_regular_file

NAME = "README.md"
MARK = "<!-- Written by coremerge. Remove this line and later merges into this folder keep the file as it is. -->"
_LIMIT = 2**20  # bytes in which the mark is looked for


def is_ours(path: Path) -> bool:
    """Whether the file is a card that coremerge wrote, and nobody has made their own."""
    if os.path.islink(path) or not is_regular_file(path):
        return False
    with open(path, "rb") as file:
        return MARK.encode() in file.read(_LIMIT)


def model_card(
    base_models: Sequence[str | None], record: Mapping[str, Any], library: str = "peft", fused: bool = False
) -> str:
    """The card: YAML front matter, what was merged and how, and what the merge said about it; fused: into the base."""
    names = sorted({name for name in base_models if name and not name.startswith((".", "/", "~", "\\"))})
    front: dict[str, Any] = {"library_name": library, "tags": [*([] if fused else ["lora"]), "merge", "coremerge"]}
    if names:
        front = {
            "base_model": names[0] if len(names) == 1 else names,
            "base_model_relation": "merge" if fused else "adapter",
            **front,
        }
    shown = {key: record[key] for key in ("method", "parameters", "space", "scale", "weights", "rank") if key in record}
    inputs = [{"path": each["path"], "sha256": each["sha256"]} for each in record["inputs"]]
    parts = [
        f"---\n{_yaml(front)}---\n{MARK}\n\n# Merged {'model' if fused else 'adapter'}\n",
        f"{len(inputs)} adapter{'s'[: len(inputs) != 1]} merged into {'the base model' if fused else 'one LoRA'} by "
        f"coremerge_ref {record['coremerge_ref']}:",
        _fenced(_yaml({**shown, "inputs": inputs})),
        "`coremerge.json` has the whole record: `coremerge verify` of this folder checks it, "
        "`coremerge merge --config coremerge.json` repeats the merge.",
    ]
    if record["notes"]:
        parts.append("What was said about the merge:\n\n" + _fenced(_yaml(list(record["notes"]))))
    return "\n\n".join(parts) + "\n"


class _OneLine(yaml.SafeDumper):
    """Text with line breaks or control characters as one quoted line, so that it cannot end a block."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """A scalar."""
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=None if data.isprintable() else '"')


_OneLine.add_representer(str, _OneLine.represent_str)


def _yaml(value: Any) -> str:
    return str(yaml.dump(value, Dumper=_OneLine, sort_keys=False, allow_unicode=False, width=_LIMIT))


def _fenced(text: str) -> str:
    """A code block, whose fence is longer than any in the text."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}yaml\n{text}{fence}"
