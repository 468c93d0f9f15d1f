"""Which modules the output's config makes PEFT adapt: those the inputs adapt, in the inputs' words where they agree.

A pattern such as `target_modules=["q_proj"]` outlives a renaming of the base model's modules, which a list of full
paths does not, and other readers than PEFT know it; so the inputs' patterns are kept, or joined, where that is exact.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from coremerge_ref.adapters.layer import Layer
from coremerge_ref.adapters.patterns import module_path

FIELDS = ("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern")
ALL_LINEAR = "all-linear"  # PEFT's word for every linear layer but the head
Fields = Mapping[str, Any]


def target_fields(configs: Sequence[Fields], layers: Sequence[Layer], complete: bool) -> dict[str, Any]:
    """target_modules and what narrows it, for an adapter of exactly `layers`.

    configs: the inputs' fields. complete: no module that an input adapts was left out.
    """
    paths = sorted({module_path(layer.first.group) for layer in layers if not layer.first.stack})
    fields = joined(configs) if complete else None
    if fields is None or not all(catches(fields, path) for path in paths):
        fields = {"target_modules": exactly(paths) if paths else None}
    return {field: fields.get(field) for field in FIELDS}


def _given(config: Fields) -> dict[str, Any]:
    """The fields of a config as PEFT writes them: None for what is absent, empty or of another type."""
    target, exclude = (_names(config.get(field)) for field in FIELDS[:2])
    indices, patterns = config.get("layers_to_transform"), _names(config.get("layers_pattern"))
    if not (isinstance(indices, int) or (isinstance(indices, list) and all(isinstance(i, int) for i in indices))):
        indices = None
    return dict(zip(FIELDS, (target, exclude, None if indices == [] else indices, patterns), strict=True))


def _names(value: Any) -> Any:
    fits = isinstance(value, str) or (isinstance(value, list) and all(isinstance(name, str) for name in value))
    return (value or None) if fits else None


def joined(configs: Sequence[Fields]) -> dict[str, Any] | None:
    """Fields that catch what any of `configs` catches, in every base model; None where no such fields are known."""
    given = [_given(config) for config in configs]
    first = given[0]
    if all(_as_sets(other) == _as_sets(first) for other in given):
        return first if first["target_modules"] else None
    targets = [config["target_modules"] for config in given]
    narrowed = any(config[field] is not None for config in given for field in FIELDS[1:])
    if narrowed or any(target is None or _is_all_linear(target) for target in targets):
        return None
    if all(isinstance(target, list) for target in targets):
        return {"target_modules": sorted({name for target in targets for name in target})}
    return {"target_modules": "|".join(dict.fromkeys(f"(?:{_expression(target)})" for target in targets))}


def catches(fields: Fields, path: str) -> bool:
    """Whether PEFT adapts the module at `path`: as peft.tuners.tuners_utils.check_target_module_exists (0.21.2)."""
    target, exclude = fields.get("target_modules"), fields.get("exclude_modules")
    if exclude and _named(exclude, path):
        return False
    if _is_all_linear(target):
        return True  # which layers are linear is not in the file; all inputs say all-linear
    if isinstance(target, str) or path in (target or ()):
        return _named(target, path)
    return _named(target, path) and _in_layers(fields, path)


def exactly(paths: Sequence[str]) -> str:
    """A regular expression that matches `paths` and nothing else; layer numbers in one alternation."""
    stems: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in paths:
        number = re.search(r"(?<=\.)\d+(?=\.)", path)
        before, after = (path[: number.start()], path[number.end() :]) if number else (path, "")
        stems[before, after].append(number[0] if number else "")
    by_numbers: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (before, after), numbers in stems.items():
        by_numbers[before, tuple(sorted(numbers, key=lambda text: (len(text), text)))].append(after)
    return "|".join(
        re.escape(before) + _one_of(numbers) + _one_of([re.escape(after) for after in afters])
        for (before, numbers), afters in by_numbers.items()
    )


def _one_of(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"(?:{'|'.join(texts)})"


def _named(names: Any, path: str) -> bool:
    if isinstance(names, str):
        try:
            return re.fullmatch(names, path) is not None
        except (re.error, RecursionError, OverflowError):
            return False
    return any(path == name or path.endswith(f".{name}") for name in names)


def _in_layers(fields: Fields, path: str) -> bool:
    indices, patterns = fields.get("layers_to_transform"), fields.get("layers_pattern") or None
    if indices is None or indices == []:
        return True
    if patterns is None:
        match = re.match(r".*?\.[^.]*\.(?P<idx>\d+)\.", path)
    else:
        tried = [patterns] if isinstance(patterns, str) else patterns
        matches = (re.match(rf"(?:^|.*?\.){pattern}\.(?P<idx>\d+)\.", path) for pattern in tried)
        match = next((match for match in matches if match), None)
    return match is not None and int(match["idx"]) in ([indices] if isinstance(indices, int) else indices)


def _is_all_linear(target: Any) -> bool:
    return isinstance(target, str) and target.lower() == ALL_LINEAR


def _expression(target: Any) -> str:
    return target if isinstance(target, str) else rf"(?:.*\.)?(?:{'|'.join(map(re.escape, target))})"


def _as_sets(fields: Fields) -> dict[str, Any]:
    return {key: frozenset(map(str, value)) if isinstance(value, list) else value for key, value in fields.items()}
