"""The words of `coremerge merge` that make again what `compare` has identified."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.updates import DenseUpdate
from coremerge_ref.errors import ParameterError

if TYPE_CHECKING:
    from coremerge_ref.compare import Match, Target


def again(
    match: "Match", inputs: Sequence[str], weights: Sequence[float] | None, targets: "Mapping[str, Target]"
) -> str | None:
    """A command to paste; None for what no merge of ours is: a mistake, or masks that nobody knows the seed of."""
    one, settings, numbers = match.candidate, match.settings(), match.fitted()
    try:
        Pipeline.parse(one.method, one.parameters)
    except ParameterError:
        return None
    each = [value for name, value in numbers.items() if name.startswith("weight ")]
    own = {name: value for name, value in numbers.items() if name.partition(".")[0] in one.method.split("+")}
    if one.mistake or {*numbers} - {"scale", *own} - {f"weight {t + 1}" for t in range(len(each))}:
        return None
    words = ["coremerge", "merge", *inputs, "-o", "again", "--method", one.method]
    where = _space(one.space)
    words += where
    for name, value in {**settings, **own}.items():
        words += ["--set", f"{name}={'relative' if value is None else _text(value)}"]
    given = each or list(weights or ())
    words += [f"--weights={','.join(map(_text, given))}"] if given else []
    words += [f"--scale={_text(numbers['scale'])}"] if numbers.get("scale", 1.0) != 1 else []
    stored = [target.update for target in targets.values()]
    if any(isinstance(update, DenseUpdate) for update in stored):
        words += ["--dense"]
    elif match.truncated or "full" in where:
        words += ["--rank", str(max(1, *(update.rank for update in stored)))]
    return shlex.join(words)


def _space(label: str) -> list[str]:
    """The words that choose a space of compare's table; none for what is one ΔW in every space."""
    from coremerge_ref.compare.tables import SPACES

    if label not in SPACES:
        return []
    space = SPACES[label]
    words = [] if label == "core" else ["--space", space.name]
    for field in fields(space):  # type: ignore[arg-type]
        if (value := getattr(space, field.name)) != field.default:
            words += ["--set", f"{space.name}.{field.name}={_text(value)}"]
    return words


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)
