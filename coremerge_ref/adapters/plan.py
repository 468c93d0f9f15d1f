"""What will be merged: the union of the adapters' modules, checked to fit together, cut into batches."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from coremerge_ref.adapters.aligning import aligned, groups_sharing
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.layer import Layer
from coremerge_ref.adapters.modules import Module
from coremerge_ref.adapters.patterns import PREFIX
from coremerge_ref.adapters.renaming import (
    Modules,
    Renaming,
    parse_renames,
    plain_path,
    renamed,
)
from coremerge_ref.adapters.selection import chosen
from coremerge_ref.errors import AdapterError, ParameterError, shown

PEFT = "peft"  # the family of readers whose names have PEFT's prefix
_SHOWN = 5  # adapters named in one note


@dataclass(frozen=True)
class Plan:
    """The layers of a merge; what a reader should know about how they came together; how adapters were renamed."""

    layers: list[Layer]
    notes: list[str]
    renamings: list[Renaming | None]
    complete: bool  # whether no module of any adapter was left out


def planned(
    adapters: Sequence[Adapter],
    *,
    rename: Sequence[str] = (),
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    allow_missing: bool = False,
    left_out: Collection[str] = (),
) -> Plan:
    """One Layer for each module that any adapter has, in the order of their first appearance.

    rename: "OLD=NEW", regular expressions on module paths. include, exclude: patterns as in selection.matcher.
    left_out: paths that were excluded before adapters were read.

    AdapterError naming module and adapters where shapes or kinds differ, where one adapter holds a module twice, and,
    unless allow_missing, where adapters share no module with the others, whatever known renaming is tried.
    """
    rule = parse_renames(rename)
    plain = [_by_path(adapter) for adapter in adapters]
    by_hand = [Renaming("as --rename says", {path: rule(path) for path in modules}, rule) for modules in plain]
    held = [renamed(modules, rule) for modules in plain]
    found = aligned(held)
    held = [
        renamed(modules, way.names.__getitem__) if way else modules for modules, way in zip(held, found, strict=True)
    ]
    renamings = [hand.then(way) for hand, way in zip(by_hand, found, strict=True)]
    notes = [
        f"{adapters[t].path}: {len(way.names)} modules were renamed {way.how}, to those of the other adapters: "
        f"{way.example()}"
        for t, way in enumerate(found)
        if way
    ]
    firsts: dict[str, Module] = {}
    for modules in held:
        firsts |= {path: module for path, module in modules.items() if path not in firsts}
    taken = [path for path, module in firsts.items() if chosen(_owner(path, module), include, exclude)]
    if not taken:
        raise ParameterError(
            f"include, exclude: expected some of the {len(firsts)} modules to be left, such as "
            f"{shown(next(iter(firsts)))}, got none; see coremerge inspect"
        )
    family = adapters[0].reader.family
    layers = [
        Layer(
            path,
            tuple(_called(path, modules[path], family) if path in modules else None for modules in held),
            tuple(modules[path].name if path in modules else None for modules in held),
        )
        for path in taken
    ]
    for layer in layers:
        _check(layer, adapters)
    if not allow_missing:
        _check_connected(adapters, held)
    out = (firsts.keys() | set(left_out)) - set(taken)
    if out:
        notes.append(f"{len(out)} of {len(out) + len(taken)} modules were left out (--include, --exclude)")
    notes += _missing(adapters, layers) + _unprefixed(adapters)
    return Plan(layers, notes, renamings, not out)


def _by_path(adapter: Adapter) -> dict[str, Module]:
    """The adapter's modules by where they are in the base model."""
    by_path: dict[str, Module] = {}
    for name, module in adapter.modules.items():
        path = plain_path(name) if adapter.reader.family == PEFT else name
        if path in by_path:
            raise AdapterError(
                f"{shown(adapter.path)}: modules {shown(by_path[path].name)} and {shown(name)}: expected one prefix in "
                "all names, got two for one module; save the adapter again"
            )
        by_path[path] = module
    return by_path


def _called(path: str, module: Module, family: str) -> Module:
    """The module under the name of the output."""
    prefix = PREFIX if family == PEFT else ""
    stack = module.stack and (prefix + _owner(path, module), *module.stack[1:])
    return replace(module, name=prefix + path, stack=stack)


def _owner(path: str, module: Module) -> str:
    """The path without the number of an expert: what has one pair of tensors."""
    return path.removesuffix(f"[{module.stack[1]}]") if module.stack else path


def _check(layer: Layer, adapters: Sequence[Adapter]) -> None:
    seen = [(adapter, module) for adapter, module in zip(adapters, layer.holders, strict=True) if module is not None]
    (first, expected), *others = seen
    for adapter, module in others:
        if _form(module) != _form(expected):
            raise AdapterError(
                f"module {shown(layer.path)}: expected {expected.kind} {expected.kernel or expected.shape} as "
                f"{shown(first.path)} has, got {module.kind} {module.kernel or module.shape} in {shown(adapter.path)}; "
                "adapters of one base model have equal shapes; leave the module out with --exclude"
            )


def _form(module: Module) -> tuple[object, ...]:
    return module.kind, module.shape, module.kernel, module.stack and module.stack[2]


def _check_connected(adapters: Sequence[Adapter], held: Sequence[Modules]) -> None:
    groups = groups_sharing(held)
    if len(groups) < 2:
        return
    (a, *_), (b, *_) = groups[:2]
    raise AdapterError(
        f"{shown(adapters[a].path)} and {shown(adapters[b].path)} share no module: expected adapters of one base "
        f"model, got {shown(min(held[a]))} and such in one and {shown(min(held[b]))} in the other; if these are one "
        "module under two names, say so with --rename OLD=NEW, if they are not, merge them apart with --allow-missing"
    )


def _missing(adapters: Sequence[Adapter], layers: Sequence[Layer]) -> list[str]:
    """A note on layers that only some adapters have."""
    lacking: Counter[int] = Counter()
    example: dict[int, str] = {}
    for layer in layers:
        for t, module in enumerate(layer.holders):
            if module is None:
                lacking[t] += 1
                example.setdefault(t, layer.path)
    if not lacking:
        return []
    partial = sum(None in layer.holders for layer in layers)
    named = [f"{adapters[t].path} lacks {count} ({example[t]} …)" for t, count in sorted(lacking.items())]
    more = f" and {len(named) - _SHOWN} more adapters lack some" if len(named) > _SHOWN else ""
    return [
        f"{partial} of {len(layers)} layers are not in every adapter and are merged among those that have them: "
        + ", ".join(named[:_SHOWN])
        + more
    ]


def _unprefixed(adapters: Sequence[Adapter]) -> list[str]:
    """A note on files whose names lack PEFT's prefix, which PeftModel cannot load; the output has it."""
    of_peft = [adapter for adapter in adapters if adapter.reader.family == PEFT]
    without = [adapter for adapter in of_peft if any(not name.startswith(PREFIX) for name in adapter.modules)]
    if not without:
        return []
    named = ", ".join(str(adapter.path) for adapter in without[:_SHOWN])
    return [
        f"module names that do not begin with {PREFIX!r} in {named}, which peft cannot place; in the output they do, "
        "so that peft and transformers load it"
    ]
