"""What sweep and search say of the base model and of adapters alone."""

from typing import TYPE_CHECKING

from coremerge_ref.cli.reporting import note

if TYPE_CHECKING:
    from coremerge_ref.tuning.baselines import Baseline

# Where no merge beats an adapter alone.
HELPS = (
    "a score that covers every task the adapters are for (of one task alone, its own adapter is hard to beat); "
    "adapters that get along (coremerge inspect ADAPTERS --measure)"
)


def note_baseline(baseline: "Baseline") -> None:
    """Its score, or why it has none."""
    if baseline.score is None:
        note(f"{baseline.label}: cannot be scored: {baseline.error}")
    else:
        note(f"{baseline.label}: {baseline.score:.6g} ({baseline.seconds:.1f} s)")
