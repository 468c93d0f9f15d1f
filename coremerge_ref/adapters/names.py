"""Names of tensors in a LoRA adapter file: whose factor each is, and by what name the others are refused."""

import re
from collections.abc import Iterable, Mapping

from coremerge_ref.errors import AdapterError, shown

# role of a tensor → the end of its name
SUFFIXES = {
    "A": ".lora_A.weight",
    "B": ".lora_B.weight",
    "embedding_A": ".lora_embedding_A",
    "embedding_B": ".lora_embedding_B",
}
BASE = ".base_layer.weight"  # PEFT saves a targeted embedding's own weights beside its factors

_OTHERS = (
    (
        r"\.lora_magnitude_vector",
        "DoRA's magnitudes; merge the adapter into its base weights and extract a LoRA with coremerge extract",
    ),
    (r"\.lora_B\.bias$", "a trained bias of lora_B; retrain with lora_bias=false"),
    (r"\.lora_velora_", "VeLoRA's training state; remove it and set velora_config to null"),
    (r"\.lora_diag", "KaSA's diagonal; retrain without it"),
    (r"\.lora_E$|\.lora_E\.|\.ranknum", "AdaLoRA's singular values; the peft_type is another: correct the config"),
    (r"trainable_tokens", "trained token embeddings; see --others"),
    (r"modules_to_save", "a whole module trained beside the LoRA (modules_to_save); see --others"),
    (r"\.m$", "DoRA's magnitudes; merge the adapter into its base weights and extract a LoRA with coremerge extract"),
    (r"\.lora_[AB]\.weight$", "LoRA, in an adapter whose peft_type is another; correct the config"),
    (r"\.lora_(embedding_)?[AB]\.[^.]+(\.weight)?$", "a raw state dict with adapter names; use PEFT's save_pretrained"),
    (r"vera_", "VeRA in an adapter whose peft_type is LORA; correct the config"),
    (r"\.(hada|lokr|ia3|oft|boft|ln_tuning|hra)_", "another PEFT type than the config says; correct the config"),
    (r"(^|\.)bias$|bias", "a trained bias; see --others"),
    (r"\.weight$", "whole weights (modules_to_save, or embeddings resized in training); see --others"),
)


def factors(names: Iterable[str]) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """({module: {role: tensor name}}, {module: name of its saved base weights}).

    AdapterError, naming the tensor and what it is, for any that is not part of a LoRA product; for a module that lacks
    a factor; for control characters, which no module path has.
    """
    modules: dict[str, dict[str, str]] = {}
    others = []
    for name in names:
        role = next((role for role, suffix in SUFFIXES.items() if name.endswith(suffix)), None)
        if role is None or not name.isprintable() or name == SUFFIXES[role]:
            others.append(name)
        else:
            modules.setdefault(name.removesuffix(SUFFIXES[role]), {})[role] = name
    kept = {
        name.removesuffix(BASE): name for name in others if name.endswith(BASE) and name.removesuffix(BASE) in modules
    }
    for name in others:
        if name not in kept.values():
            raise AdapterError(f"tensor {shown(name)} is not part of a LoRA product: {_what(name)}")
    for module, roles in modules.items():
        if roles.keys() not in ({"A", "B"}, {"embedding_A", "embedding_B"}):
            raise AdapterError(
                f"module {shown(module)}: expected lora_A and lora_B, got {', '.join(sorted(roles))} alone; "
                "the file is incomplete: save the adapter again"
            )
    return modules, kept


def by_role(names: Iterable[str], suffixes: Mapping[str, str], kind: str) -> dict[str, dict[str, str]]:
    """{module: {role: tensor name}} by the ends of the names. AdapterError for any that is no tensor of that kind."""
    modules: dict[str, dict[str, str]] = {}
    ends = sorted(suffixes.items(), key=lambda item: -len(item[1]))
    for name in names:
        role, end = next((item for item in ends if name.endswith(item[1])), ("", ""))
        if not role or name == end or not name.isprintable():
            raise AdapterError(f"tensor {shown(name)} is not part of {kind}: {_what(name)}")
        modules.setdefault(name.removesuffix(end), {})[role] = name
    return modules


def _what(name: str) -> str:
    return next(
        (what for pattern, what in _OTHERS if re.search(pattern, name)), "an unknown name; is this a PEFT adapter?"
    )
