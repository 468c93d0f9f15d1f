"""This package's version, which pyproject.toml alone says."""

from importlib.metadata import PackageNotFoundError, version


def package_version() -> str:
    """The version of the installed package, "unknown" where it runs from sources that nobody installed."""
    try:
        return version("coremerge_ref")
    except PackageNotFoundError:
        return "unknown"
