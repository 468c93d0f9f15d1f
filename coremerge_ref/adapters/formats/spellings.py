"""How single files spell the factors of a module, and by what name their other tensors are refused."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from coremerge_ref.adapters.formats import hadamard, kronecker
from coremerge_ref.errors import AdapterError, shown


class Spelling(NamedTuple):
    """The ends of the names of a module's A (r, in…) and B (out, r…)."""

    A: str
    B: str


KOHYA = Spelling(".lora_down.weight", ".lora_up.weight")
# The spellings that ComfyUI and diffusers read; a PEFT state dict has the adapter's name in place of NAME.
SPELLINGS = (
    KOHYA,  # kohya, LyCORIS, OneTrainer, musubi
    Spelling(".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),  # diffusers' text encoders
    Spelling(".lora.down.weight", ".lora.up.weight"),  # diffusers
    Spelling("_lora.down.weight", "_lora.up.weight"),  # diffusers' attention processors
    Spelling(".lora_A.weight", ".lora_B.weight"),  # PEFT, diffusers, ai-toolkit
    Spelling(".lora_A", ".lora_B"),  # Mochi
)
_NAMED = re.compile(r"(\.lora_[AB])(\.[^.]+)(\.weight)$")
_OTHER_ROLES = {
    "alpha": ".alpha",
    "mid": ".lora_mid.weight",
    **{f"hada_{role}": end for role, end in hadamard.SUFFIXES.items()},
    **{f"lokr_{role}": end for role, end in kronecker.SUFFIXES.items()},
}

_LOSE = "remove these tensors if you can do without them, or merge whole checkpoints"
_REFUSED = (
    (r"\.(dora_scale|lora_magnitude_vector)", "DoRA's magnitudes; merge the LoRA into its checkpoint and extract one"),
    (r"\.(diff_b|b_norm|w_norm)$|bias$", f"a trained bias or norm, no product of factors; {_LOSE}"),
    (r"\.diff$", f"a whole difference, no product of factors; {_LOSE}"),
    (r"\.(set_weight|reshape_weight)$", "a weight that replaces the base's; merge whole checkpoints"),
    (r"\.(oft_blocks|rescale|oft_diag|on_input|[ab][12]\.weight|bm\.weight)$", "it multiplies the base weights"),
    (r"\.(lora_a|lora_b|m)$", "of an MLX adapter; give the folder that holds adapter_config.json beside it"),
    (r"^bundle_emb\.|^emb_params", f"an embedding bundled with the LoRA; {_LOSE}"),
)


class Found(NamedTuple):
    """The tensors of one module: names by role ("A", "B", "alpha", "mid", "hada_w1_a" …), and their spelling."""

    roles: dict[str, str]
    spelling: Spelling


def split(name: str) -> tuple[str, str, Spelling] | None:
    """(module, role, spelling) of a tensor's name, None where it is not of a module's update."""
    if match := _NAMED.search(name):
        ends = [match[1][:-1] + factor + match[2] + match[3] for factor in "AB"]
        return (name[: match.start()], match[1][-1], Spelling(*ends)) if match.start() else None
    for spelling in SPELLINGS:
        for role, end in zip("AB", spelling, strict=True):
            if name.endswith(end) and name != end:
                return name.removesuffix(end), role, spelling
    for role, end in _OTHER_ROLES.items():
        if name.endswith(end) and name != end:
            return name.removesuffix(end), role, KOHYA
    return None


def is_update(name: str) -> bool:
    """Whether the name is of a factor of some update, by which single files are recognised."""
    parts = split(name)
    return parts is not None and parts[1] != "alpha"


def group(names: Iterable[str]) -> dict[str, Found]:
    """The modules of a file. AdapterError, naming the tensor and what it is, for any that is not of an update."""
    modules: dict[str, Found] = {}
    for name in names:
        parts = split(name) if name.isprintable() else None
        if parts is None:
            what = next((what for pattern, what in _REFUSED if re.search(pattern, name)), "an unknown name")
            raise AdapterError(f"tensor {shown(name)} is not part of a LoRA product: {what}")
        module, role, spelling = parts
        found = modules.setdefault(module, Found({}, spelling))
        if role in "AB" and found.spelling != spelling:
            if found.roles.keys() & {"A", "B"}:
                raise AdapterError(
                    f"module {shown(module)}: expected one spelling of its factors, got {shown(found.spelling.A)} and "
                    f"{shown(spelling.A)}; save the adapter again"
                )
            found = modules[module] = Found(found.roles, spelling)
        found.roles[role] = name
    return modules
