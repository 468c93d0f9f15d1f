"""Which rank and alpha a module has: PEFT's matching of `rank_pattern` and `alpha_pattern`."""

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from coremerge_ref.adapters.files import shown
from coremerge_ref.errors import AdapterError

if TYPE_CHECKING:
    from coremerge_ref.adapters.config import AdapterConfig

PREFIX = "base_model.model."  # what PEFT puts before every module path in an adapter file
NESTED = ".base_layer."  # nn.MultiheadAttention: PEFT wraps out_proj inside the wrapped attention


def module_path(name: str) -> str:
    """The module's path in the base model, which patterns and target_modules speak of."""
    return name.removeprefix(PREFIX)


def pattern_path(name: str) -> str:
    """The path PEFT matches patterns with: a module nested in another takes its parent's rank and alpha."""
    return module_path(name).split(NESTED)[0]


def matched(patterns: Mapping[str, float], path: str, default: float) -> float:
    """The value of the first pattern that matches, in the file's order, else `default`.

    As peft.utils.other.get_pattern_key (0.21.2): a pattern is a regular expression that must match the whole path or
    what follows one of its dots. AdapterError for a pattern that is no regular expression.
    """
    for key, value in patterns.items():
        try:
            if re.match(rf"(.*\.)?({key})$", path):
                return value
        except (re.error, RecursionError, OverflowError) as error:
            raise AdapterError(
                f"pattern {shown(key)}: expected a regular expression: {error}; correct the config"
            ) from error
    return patterns.get(path, default)


def scaling(name: str, config: "AdapterConfig") -> tuple[int, float]:
    """(rank, scaling) of a LoRA module as PEFT sets them: alpha / r, or alpha / √r for rsLoRA."""
    path = pattern_path(name)
    rank = int(matched(config.rank_pattern, path, config.rank))
    alpha = float(matched(config.alpha_pattern, path, config.lora_alpha))
    if rank == 0:
        raise AdapterError(f"module {shown(name)}: expected a rank of at least 1, as PEFT does; leave the module out")
    return rank, alpha / (math.sqrt(rank) if config.use_rslora else rank)


def exact_pattern(path: str) -> str:
    """A pattern that matches `path` and nothing else.

    Anchored, because PEFT lets "layers.1.q" match "decoder.layers.1.q" too; escaped, because "." matches any character.
    """
    return "^" + re.escape(path)
