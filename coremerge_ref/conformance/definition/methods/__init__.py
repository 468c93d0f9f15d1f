"""Definitions of methods, one a file; every file here is imported and puts its own into the table."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
