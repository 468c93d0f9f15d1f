"""The table of stages: a new method is one new file here and one line below."""

from coremerge_ref.methods.arithmetic import Mean, Ta
from coremerge_ref.methods.base import Custom, Stage
from coremerge_ref.methods.cart import Cart
from coremerge_ref.methods.dare import Dare
from coremerge_ref.methods.drm import Drm
from coremerge_ref.methods.iso import Iso
from coremerge_ref.methods.iso_cts import IsoCts
from coremerge_ref.methods.ties import Ties
from coremerge_ref.methods.trim import Trim
from coremerge_ref.methods.tsv import Tsv

STAGES: dict[str, type[Stage]] = {
    stage.name: stage for stage in (Ta, Mean, Trim, Ties, Dare, Tsv, Cart, Iso, IsoCts, Drm)
}

__all__ = ["STAGES", "Cart", "Custom", "Dare", "Drm", "Iso", "IsoCts", "Mean", "Stage", "Ta", "Ties", "Trim", "Tsv"]
