"""The methods, one file each. Every file here is imported, and its class registers itself: a method is one new file."""

from importlib import import_module
from pkgutil import iter_modules

from coremerge_ref.core.stages import STAGES, Custom, Stage
from coremerge_ref.methods.cart import Cart
from coremerge_ref.methods.dare import Dare
from coremerge_ref.methods.drm import Drm
from coremerge_ref.methods.iso import Iso
from coremerge_ref.methods.iso_cts import IsoCts
from coremerge_ref.methods.mean import Mean
from coremerge_ref.methods.ta import Ta
from coremerge_ref.methods.ties import Ties
from coremerge_ref.methods.trim import Trim
from coremerge_ref.methods.tsv import Tsv

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["STAGES", "Cart", "Custom", "Dare", "Drm", "Iso", "IsoCts", "Mean", "Stage", "Ta", "Ties", "Trim", "Tsv"]
