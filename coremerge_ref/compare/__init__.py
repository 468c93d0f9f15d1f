"""What is this merge? Which method, space, dialect and parameters reproduce a merged update from its inputs.

    found = identify(layers, targets)      # layers: {name: [update or None, …]}, targets: {name: Target}
    found.reproduced; found.best.describe(); found.closest

Everything that is tried comes from tables (methods, inputs, factors); what is linear (the scale α, task weights, CART's
coefficient) is solved for by least squares, never searched.
"""

from coremerge_ref.compare.findings import Identification, Match
from coremerge_ref.compare.search import identify
from coremerge_ref.compare.target import Target, dense_target, low_rank_target

__all__ = ["Identification", "Match", "Target", "dense_target", "identify", "low_rank_target"]
