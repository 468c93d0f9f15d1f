"""Methods of other packages: what declares the entry point `coremerge_ref.methods` is found without an import."""

from importlib.metadata import EntryPoint, entry_points

from coremerge_ref.core.registering import register

GROUP = "coremerge_ref.methods"


def load_plugins() -> list[str]:
    """Loads every entry point of GROUP, a stage's class or a module that registers some; returns what went wrong.

    One line for each that cannot be loaded, naming it and its package; the others are there all the same.
    """
    return [problem for entry in entry_points(group=GROUP) if (problem := _load(entry))]


def _load(entry: EntryPoint) -> str:
    try:
        loaded = entry.load()
        if isinstance(loaded, type):
            register(loaded)  # again, where a decorator has done it: nothing changes
    except (
        Exception,
        SystemExit,
    ) as error:  # whatever is wrong with another package's code
        package = entry.dist.name if entry.dist is not None else "an unknown package"
        return (
            f"plug-in {entry.name!r} of {package} ({entry.value}) is left out: {type(error).__name__}: {error}; "
            "mend or uninstall it"
        )
    return ""
