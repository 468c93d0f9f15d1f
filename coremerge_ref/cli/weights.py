"""Weights from the command line: W,W,… as one word."""

import re
from collections.abc import Sequence
from pathlib import Path

from coremerge_ref.cli.methods import scalar
from coremerge_ref.errors import ParameterError


def split_weights(text: str | None, adapters: Sequence[str]) -> list[float] | None:
    """The numbers in `text`, joined by commas or spaces; None where none are given.

    ParameterError for what is no number, and for weights that were written as words of their own, which the command
    line takes for `adapters`.
    """
    if text is None:
        return None
    words = [word for word in re.split(r"[,\s]+", text.strip()) if word]
    for word in words:
        if not _is_number(word):
            raise ParameterError(f"weights: expected numbers joined by commas, such as 0.7,0.3, got {word!r}")
    stray = [word for word in adapters if _is_number(word) and not Path(word).exists()]
    if stray:
        raise ParameterError(
            f"weights: expected one word, numbers joined by commas, got {text!r} and apart from it "
            f"{', '.join(map(repr, stray))}; write --weights {','.join([*words, *stray])}"
        )
    return [float(word) for word in words]


def _is_number(word: str) -> bool:
    return isinstance(scalar(word), int | float) and not isinstance(scalar(word), bool)
