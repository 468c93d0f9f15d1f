"""The table of stages: a new method is one new file here and one line below."""

from coremerge_ref.stages.arithmetic import Mean, Ta
from coremerge_ref.stages.base import Custom, Stage
from coremerge_ref.stages.cart import Cart
from coremerge_ref.stages.dare import Dare
from coremerge_ref.stages.drm import Drm
from coremerge_ref.stages.iso import Iso
from coremerge_ref.stages.iso_cts import IsoCts
from coremerge_ref.stages.ties import Ties
from coremerge_ref.stages.trim import Trim
from coremerge_ref.stages.tsv import Tsv

STAGES: dict[str, type[Stage]] = {
    stage.name: stage for stage in (Ta, Mean, Trim, Ties, Dare, Tsv, Cart, Iso, IsoCts, Drm)
}

__all__ = ["STAGES", "Cart", "Custom", "Dare", "Drm", "Iso", "IsoCts", "Mean", "Stage", "Ta", "Ties", "Trim", "Tsv"]
