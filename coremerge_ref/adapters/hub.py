"""Paths that name what lies on the Hugging Face hub: hf://org/name, hf://org/name/folder@revision, hf://…/file.

huggingface_hub (the extra "hub") fetches them into its cache, or finds them there: its settings hold here, such as
HF_HUB_OFFLINE, HF_HUB_CACHE and HF_ENDPOINT. Only a path that begins with hf:// is looked up.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from coremerge_ref.errors import AdapterError, ParameterError, reason, shown

SCHEME = "hf://"
_ID = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?P<inside>(?:/[^/@]+)*)(?:@(?P<revision>[^@]+))?")
_FILES = (".safetensors", ".gguf")  # of what is inside, what is a file
# What adapters are made of, by the names that their writers give them: a repository may hold a whole model besides.
ADAPTER = (
    "adapter_config.json", "adapter_model*.safetensors", "adapter_model.safetensors.index.json", "adapters.safetensors",
    "pytorch_lora_weights.safetensors", "*coremerge.json",
)  # fmt: skip
MODEL = ("*.json", "*.safetensors", "*.txt", "*.model", "*.py", "*.jinja")


@dataclass(frozen=True)
class HubId:
    """repo: "org/name". inside: a folder or file in it, "" for all. revision: a branch, tag or commit; None is main."""

    repo: str
    inside: str = ""
    revision: str | None = None

    @classmethod
    def of(cls, text: str) -> "HubId":
        """ParameterError unless `text` is an id as above."""
        found = _ID.fullmatch(text)
        if found is None or ".." in found["inside"].split("/"):
            raise ParameterError(f"{shown(text)}: expected hf://org/name, with /folder or /file and @revision at will")
        return cls(found["repo"], found["inside"].strip("/"), found["revision"])

    def __str__(self) -> str:
        inside = f"/{self.inside}" if self.inside else ""
        return f"{SCHEME}{self.repo}{inside}{f'@{self.revision}' if self.revision else ''}"


def is_hub_id(path: object) -> bool:
    """Whether `path` is a text that names something on the hub."""
    return isinstance(path, str) and path.startswith(SCHEME)


def located(path: str | Path, wanted: tuple[str, ...]) -> tuple[Path, str]:
    """(where it is on this machine, what to call it): for an id the place in the cache, and the id with its commit.

    wanted: patterns of the files that are fetched of a folder. AdapterError in one line where it cannot be had.
    """
    if not is_hub_id(path):
        return Path(path), str(path)
    id = HubId.of(str(path))
    try:
        import huggingface_hub
        from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    except ImportError as error:
        raise ParameterError(f"{shown(path)}: huggingface_hub is not installed; pip install huggingface_hub") from error
    before = "" if not id.inside or id.inside.endswith(_FILES) else f"{id.inside}/"
    quiet = are_progress_bars_disabled()
    disable_progress_bars()  # they draw with control characters, which no stream of the command line lets through
    try:
        if id.inside.endswith(_FILES):
            place = Path(huggingface_hub.hf_hub_download(id.repo, id.inside, revision=id.revision))
            commit = place.parts[-1 - len(Path(id.inside).parts)]
        else:
            patterns = [before + name for name in wanted]
            nested = [f"{before}*/*"]  # a * matches the slash, too
            root = Path(
                huggingface_hub.snapshot_download(
                    id.repo, revision=id.revision, allow_patterns=patterns, ignore_patterns=nested
                )
            )
            place, commit = root / id.inside, root.name
    except Exception as error:  # whatever the network, the hub or its client say
        raise AdapterError(
            f"{shown(path)}: cannot be had from the hub or its cache: {reason(error)}; check the name and the "
            "network, and whether HF_HUB_OFFLINE is set"
        ) from error
    finally:
        if not quiet:
            enable_progress_bars()
    return place, str(HubId(id.repo, id.inside, commit))
