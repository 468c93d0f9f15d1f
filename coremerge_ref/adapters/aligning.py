"""One name for one module: adapters of one base model whose files name its modules differently.

Names differ because a wrapper was saved with the model (torch.compile, DDP, FSDP), because PEFT's prefix is missing,
because one adapter was trained on the model without its head, or because transformers has renamed the modules since.
Nothing is renamed unless that makes adapters share modules of equal shape which otherwise share none.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from coremerge_ref.adapters.conversions import Table, tables
from coremerge_ref.adapters.modules import Module
from coremerge_ref.adapters.renaming import Modules, Rename, Renaming, one_after_another, same

# What torch.compile, FSDP and activation checkpointing put into names; no module of a model is called so.
_WRAPPERS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
_DISTRIBUTED = "module."  # what DistributedDataParallel puts before all names


def aligned(adapters: Sequence[Modules]) -> list[Renaming | None]:
    """For each adapter how its modules are renamed so that adapters share them; None where nothing is."""
    result: list[Renaming | None] = [None] * len(adapters)

    def rename_group(group: Group, how: str, rename: Rename) -> Group:
        for t in group[0]:
            first = result[t] or Renaming("", {path: path for path in adapters[t]}, same)
            words = ", then ".join(filter(None, (first.how, how)))
            names = {old: rename(new) for old, new in first.names.items()}
            result[t] = Renaming(words, names, partial(one_after_another, first.rename, rename))
        return group[0], {rename(path): module for path, module in group[1].items()}

    groups = _joined([([t], dict(modules)) for t, modules in enumerate(adapters)])
    wrapped = _wrapped(groups)
    groups = _joined(
        [
            rename_group(group, "without what wrappers put into names", _unwrapped) if i in wrapped else group
            for i, group in enumerate(groups)
        ]
    )
    while len(groups) > 1 and (step := _best(groups)):
        i, how, rename = step
        groups = _joined([rename_group(group, how, rename) if g == i else group for g, group in enumerate(groups)])
    return result


def groups_sharing(adapters: Sequence[Modules]) -> list[list[int]]:
    """The adapters in groups that share modules, directly or through others of the group."""
    return [sorted(tasks) for tasks, _ in _joined([([t], dict(modules)) for t, modules in enumerate(adapters)])]


Group = tuple[list[int], dict[str, Module]]


def _joined(groups: list[Group]) -> list[Group]:
    """Groups with those that share a module made one."""
    joined: list[Group] = []
    for tasks, modules in groups:
        near = [group for group in joined if not group[1].keys().isdisjoint(modules)]
        joined = [group for group in joined if group not in near]
        for more, theirs in reversed(near):
            tasks, modules = more + tasks, {**theirs, **modules}
        joined.append((tasks, modules))
    return sorted(joined, key=lambda group: min(group[0]))


def _wrapped(groups: Sequence[Group]) -> set[int]:
    """The groups that share modules with others once all names are without what wrappers put in, and change by that."""
    bare = [{_unwrapped(path): module for path, module in modules.items()} for _, modules in groups]
    met = {
        i
        for i, mine in enumerate(bare)
        for j, theirs in enumerate(bare)
        if i != j and _fit(mine, theirs, same) and len(mine) == len(groups[i][1])
    }
    return {i for i in met if bare[i].keys() != groups[i][1].keys()}


def _best(groups: Sequence[Group]) -> tuple[int, str, Rename] | None:
    """(i, in words, rename): how the modules of group i get the names of another; the way that fits most modules.

    Where two ways fit as many modules and disagree on their names, none is taken.
    """
    stems = [_stems(modules) for _, modules in groups]
    ways = [
        (score, -order, i, how, rename)
        for i, (_, mine) in enumerate(groups)
        for order, words, variant, moved in _variants(stems[i])
        for j, (_, theirs) in enumerate(groups)
        if i != j
        for order, how, rename in _led(order, words, variant, moved, stems[j])
        if (score := _fit(mine, theirs, rename))
    ]
    if not ways:
        return None
    ways.sort(key=lambda way: way[:2], reverse=True)
    score, order, i, how, rename = ways[0]
    for other in ways[1:]:
        alike = other[:3] == (score, order, i)
        if alike and any(other[4](path) != rename(path) for path in groups[i][1]):
            return None
    return i, how, rename


def _fit(mine: Modules, theirs: Modules, rename: Rename) -> int:
    """How many of my modules get the name of one of theirs; 0 if one of these has another shape, or names collide."""
    new = [rename(path) for path in mine]
    if len(set(new)) < len(new):
        return 0
    met = [(module, theirs[path]) for path, module in zip(new, mine.values(), strict=True) if path in theirs]
    return len(met) if all(_alike(a, b) for a, b in met) else 0


def _alike(a: Module, b: Module) -> bool:
    return (a.kind, a.kernel, a.shape) == (b.kind, b.kernel, b.shape)


def _variants(stems: Mapping[str, str]) -> Iterator[tuple[int, str, Rename, list[str]]]:
    """(order, in words, rename, the renamed `stems`) of renamings worth trying, those that change least first.

    Of those that do the same to the stems, the first; the tables of transformers have few that do anything.
    """
    seen = set()
    for table in (None, *tables()):
        for order, before, words in ((1, same, ""), (2, _unwrapped, "without what wrappers put into names")):
            rename = partial(_tabled, before, table) if table else before
            moved = [rename(path) for path in stems.values()]
            if tuple(moved) not in seen:
                seen.add(tuple(moved))
                how = [words] * bool(words) + ([f"as transformers renames {table.name}"] if table else [])
                yield order + 2 * bool(table), ", ".join(how), rename, moved


def _led(
    order: int, words: str, rename: Rename, moved: Sequence[str], theirs: Mapping[str, str]
) -> Iterator[tuple[int, str, Rename]]:
    """(order, in words, rename) of the renaming itself, if it meets their stems, and of each prefix that makes it."""
    if words and any(_numberless(path) in theirs for path in moved):
        yield order, words, rename
    for prefix in sorted({prefix for path in moved for prefix in _prefixes(path, theirs)}):
        how = ", ".join(filter(None, (words, f"with the prefix {prefix!r}")))
        yield order + 2 * ("transformers" in words), how, partial(_prefixed, rename, prefix)


def _prefixes(path: str, theirs: Mapping[str, str]) -> Iterator[str]:
    """What stands before `path` in their stems."""
    tail, parts = f".{_numberless(path)}", path.count(".") + 1
    for stem, example in theirs.items():
        if stem.endswith(tail):
            yield ".".join(example.split(".")[:-parts]) + "."


def _stems(modules: Modules) -> dict[str, str]:
    """{path without its numbers: one path that it is}."""
    return {_numberless(path): path for path in modules}


def _numberless(path: str) -> str:
    return re.sub(r"\d+", "0", path)


def _unwrapped(path: str) -> str:
    return ".".join(part for part in path.removeprefix(_DISTRIBUTED).split(".") if part not in _WRAPPERS)


def _prefixed(before: Rename, prefix: str, path: str) -> str:
    return prefix + before(path)


def _tabled(before: Rename, table: Table, path: str) -> str:
    return table.rename(before(path))
