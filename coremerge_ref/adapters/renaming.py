"""Modules of an adapter under other paths, and how that is said and recorded."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from coremerge_ref.adapters.modules import Module
from coremerge_ref.adapters.patterns import PREFIX
from coremerge_ref.errors import AdapterError, ParameterError, shown

Modules = Mapping[str, Module]  # path in the base model → what the adapter holds for it
Rename = Callable[[str], str]


@dataclass(frozen=True)
class Renaming:
    """How one adapter's modules are called in the merge.

    how: in words. names: path in its file → path in the merge. rename: the same as a function, of other modules too.
    """

    how: str
    names: dict[str, str]
    rename: Rename

    def then(self, later: "Renaming | None") -> "Renaming | None":
        """This and then `later`; None if nothing gets another name."""
        names = {path: later.names[new] if later else new for path, new in self.names.items()}
        by_hand = any(old != new for old, new in self.names.items())
        how = ", then ".join([self.how] * by_hand + ([later.how] if later else []))
        rename = partial(one_after_another, self.rename, later.rename) if later else self.rename
        return Renaming(how, names, rename) if any(old != new for old, new in names.items()) else None

    def example(self) -> str:
        """One of the renamed modules."""
        old, new = next((old, new) for old, new in self.names.items() if old != new)
        return f"{old} → {new}"


def plain_path(name: str) -> str:
    """Where the module `name` of a PEFT file is in the base model: what follows PEFT's prefix, wherever that stands."""
    return name.partition(PREFIX)[2] or name


def parse_renames(texts: Sequence[str]) -> Rename:
    """["OLD=NEW", …] as one function of paths: each in turn, OLD a regular expression.

    ParameterError if OLD is no regular expression or NEW does not fit it.
    """
    rules = []
    for text in texts:
        old, equals, new = text.partition("=")
        if not (old and equals):
            raise ParameterError(f"rename: expected OLD=NEW, such as ^model=model.language_model, got {shown(text)}")
        try:
            pattern = re.compile(old)
            re.sub(f"{old}|", new, "")  # refuses a NEW that speaks of groups which OLD has not
        except (re.error, RecursionError, OverflowError, IndexError) as error:
            raise ParameterError(f"rename: {shown(text)}: expected a regular expression: {error}") from error
        rules.append((pattern, new))

    def rename(path: str) -> str:
        for pattern, replacement in rules:
            path = pattern.sub(replacement, path)
        return path

    return rename


def renamed(modules: Modules, rename: Rename) -> dict[str, Module]:
    """`modules` under other paths. AdapterError if two would have the same."""
    new: dict[str, Module] = {}
    for path, module in modules.items():
        if rename(path) in new:
            raise AdapterError(
                f"modules {shown(new[rename(path)].name)} and {shown(module.name)}: expected names of different "
                "modules, got two for one; correct --rename, or save the adapter again"
            )
        new[rename(path)] = module
    return new


def same(path: str) -> str:
    """The path itself."""
    return path


def one_after_another(first: Rename, second: Rename, path: str) -> str:
    """Both, in this order."""
    return second(first(path))
