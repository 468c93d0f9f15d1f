"""The methods, one file each. Every file here is imported, and its class registers itself: a method is one new file."""

from importlib import import_module
from pkgutil import iter_modules

from coremerge_ref.core.stages import STAGES as STAGES
from coremerge_ref.core.stages import Custom as Custom
from coremerge_ref.core.stages import Stage as Stage
from coremerge_ref.methods.cart import Cart as Cart
from coremerge_ref.methods.dare import Dare as Dare
from coremerge_ref.methods.drm import Drm as Drm
from coremerge_ref.methods.iso import Iso as Iso
from coremerge_ref.methods.iso_cts import IsoCts as IsoCts
from coremerge_ref.methods.mean import Mean as Mean
from coremerge_ref.methods.ta import Ta as Ta
from coremerge_ref.methods.ties import Ties as Ties
from coremerge_ref.methods.trim import Trim as Trim
from coremerge_ref.methods.tsv import Tsv as Tsv

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
