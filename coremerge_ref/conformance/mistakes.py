"""Known mistakes under stable ids: how a right implementation is bent to make each. What the diagnosis searches, in
this order, what ``compare`` names, and what the tests plant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from . import bending as to
from . import spoiling as spoilt
from .configs import UNSCALED
from .model import Model
from .questions import Case


@dataclass(frozen=True)
class Mistake:
    """``stages``: it shows in pipelines that have one of these, in all where empty. ``change``: another question is
    answered; ``instead``: the answer is no merge of the case's kind; ``finish``: the right answer is changed at the
    end; a mistake with none of them is made inside the model, under its id. ``vague``: what many other mistakes look
    like, too. ``many``: stages that must all be there. ``free``: something in it is arbitrary (signs, null vectors)."""

    stages: tuple[str, ...] = ()
    change: to.Change | None = None
    instead: spoilt.Instead | None = None
    finish: spoilt.Finish | None = None
    vague: bool = False
    many: tuple[str, ...] = ()
    free: bool = False

    @property
    def inside(self) -> bool:
        """Whether it is made inside the model."""
        return not (self.change or self.instead or self.finish)


def inside(*stages: str, **more: Any) -> Mistake:
    """A mistake made inside the model."""
    return Mistake(stages, **more)


WEIGHTED = ("ta", "mean", "ties", "drm")
ENTRYWISE = ("trim", "ties")
MISTAKES: dict[str, Mistake] = {
    # what is read
    **{name: Mistake(change=to.scalings(taken)) for name, taken in to.SCALINGS.items()},
    "scaling-of-first-task": Mistake(
        change=lambda case: to.updates(lambda b, a, s, t: (b, a, case.updates[0][2]))(case)
    ),
    "scaling-folded-into-a": inside("trim", "ties", "dare", "drm"),
    "a-flattened-in-wrong-order": Mistake(change=to.flattened_wrongly),
    "first-task-dropped": Mistake(change=to.dropped(0)),
    "last-task-dropped": Mistake(change=to.dropped(-1)),
    "zero-tasks-left-out": Mistake(change=to.without_zeros),
    "second-task-dropped": Mistake(change=to.dropped(1)),
    "ranks-cut-to-the-smallest": Mistake(change=to.smallest_rank),
    "factors-rounded-to-single": Mistake(change=to.rounded_factors(np.float32)),
    "factors-rounded-to-half": Mistake(change=to.rounded_factors(np.float16)),
    "factors-rounded-to-bfloat16": Mistake(change=to.rounded_factors(ml_dtypes.bfloat16)),
    "subnormals-flushed": Mistake(change=to.subnormals_flushed),
    "small-taken-for-zero": Mistake(instead=spoilt.small_taken_for_zero),
    # the weights
    "weights-ignored": Mistake(WEIGHTED, to.weights(lambda w: [1.0] * len(w))),
    "weights-normalised": Mistake(WEIGHTED, to.weights(lambda w: [x / (sum(w) or 1) for x in w])),
    "weights-absolute": Mistake(WEIGHTED, to.weights(lambda w: [abs(x) for x in w])),
    "weights-clipped": Mistake(WEIGHTED, to.weights(lambda w: [max(x, 0.0) for x in w])),
    "weights-squared": Mistake(WEIGHTED, to.weights(lambda w: [x * x for x in w])),
    "weights-reversed": Mistake(WEIGHTED, to.weights(lambda w: w[::-1])),
    # sums and means
    "sum-divided-by-count": inside("ta"),
    "mean-divided-by-count": inside("mean"),
    # DARE
    "dare-not-rescaled": Mistake(("dare",), to.params("dare", rescale="none")),
    "dare-rescaled-by-inverse": Mistake(("dare",), to.params("dare", rescale="inverse")),
    "dare-rescaled-by-l1": Mistake(("dare",), to.params("dare", rescale="l1")),
    "dare-masks-inverted": Mistake(("dare",), to.masks(lambda z: ~z)),
    "dare-drop-for-keep": Mistake(("dare",), to.swapped("dare")),
    "dare-one-mask-for-all": Mistake(("dare",), to.masks(lambda z: np.repeat(z[:1], len(z), 0))),
    "dare-masks-reversed": Mistake(("dare",), to.masks(lambda z: z[::-1])),
    "dare-masks-ignored": Mistake(("dare",), to.masks(lambda z: z | True)),
    "dare-left-out": Mistake(("dare",), to.without("dare")),
    "masks-in-column-order": inside("dare"),
    "masks-cut-from-the-end": inside("dare"),
    "dare-rescaled-by-the-kept-share": inside("dare"),
    "dare-rescaled-twice": inside("dare"),
    "dare-l2-for-l1": inside("dare"),
    "dare-for-trimming": Mistake(change=to.params("ties", density=1.0), many=("dare", "ties")),
    # trimming
    "trim-off-by-one": inside(*ENTRYWISE),
    "trim-one-too-low": inside(*ENTRYWISE),
    "trim-strictly-above": inside(*ENTRYWISE),
    "trim-exact-for-threshold": Mistake(ENTRYWISE, to.params(*ENTRYWISE, keep="exact")),
    "trim-threshold-for-exact": Mistake(ENTRYWISE, to.params(*ENTRYWISE, keep="threshold")),
    "trim-by-quantile": inside(*ENTRYWISE),
    "trim-by-value": inside(*ENTRYWISE),
    "trim-keeps-the-smallest": inside(*ENTRYWISE),
    "trim-per-tensor": inside(*ENTRYWISE),
    "trim-over-the-model": inside(*ENTRYWISE),
    "trim-left-out": Mistake(("trim",), to.without("trim")),
    "ties-without-trimming": inside("ties"),
    "one-threshold-for-all-tasks": inside("ties"),
    "at-least-one-entry-kept": inside(*ENTRYWISE),
    "density-rounded-up": inside(*ENTRYWISE),
    "density-is-the-dropped-share": inside(*ENTRYWISE),
    "density-of-the-full-size": inside(*ENTRYWISE),
    "last-among-equals-first": inside(*ENTRYWISE),
    # TIES
    "election-by-count": Mistake(("ties",), to.params("ties", elect="count")),
    "election-by-mass": Mistake(("ties",), to.params("ties", elect="mass")),
    "sign-of-the-largest-entry": inside("ties"),
    "elected-sign-reversed": inside("ties"),
    "zero-sums-positive": Mistake(("ties",), to.params("ties", zero_sign="positive")),
    "zero-sums-negative": Mistake(("ties",), to.params("ties", zero_sign="negative")),
    "zero-sums-take-the-majority": Mistake(("ties",), to.params("ties", zero_sign="majority")),
    "zero-sums-dropped": Mistake(("ties",), to.params("ties", zero_sign="drop")),
    "sum-for-mean": Mistake(("ties",), to.params("ties", aggregate="sum")),
    "mean-for-sum": Mistake(("ties",), to.params("ties", aggregate="mean")),
    "mean-over-all-tasks": inside("ties"),
    "zeros-agree": inside("ties"),
    "disagreeing-entries-kept": inside("ties"),
    "weights-before-election": Mistake(("ties",), to.params("ties", weight_order="before")),
    "weights-after-election": Mistake(("ties",), to.params("ties", weight_order="after")),
    "divided-by-kept-weights": Mistake(("ties",), to.params("ties", divisor="weight")),
    "divided-by-kept-count": Mistake(("ties",), to.params("ties", divisor="count")),
    # TSV
    "relative-rank-may-be-0": inside("tsv"),
    "relative-rank-of-the-full-size": inside("tsv", "cart"),
    "polar-left-out": inside("tsv", "iso_cts"),
    "right-side-not-orthogonalized": inside("tsv"),
    "qr-for-polar": inside("tsv", "iso_cts", free=True),
    "polar-cut-1e-5": inside("tsv", "iso_cts"),
    "tsv-without-singular-values": inside("tsv"),
    "singular-values-sorted-over-tasks": inside("tsv"),
    "singular-values-averaged": inside("tsv"),
    "null-vectors-in-polar": inside("tsv", "iso_cts", free=True),
    "null-vectors-in-tsv": inside("tsv", "iso_cts"),
    # CART
    "cart-rank-rounded-down": Mistake(("cart",), to.params("cart", rounding="floor")),
    "cart-rank-rounded-up": Mistake(("cart",), to.params("cart", rounding="ceil")),
    "cart-coefficient-ignored": Mistake(("cart",), to.params("cart", coefficient=1.0)),
    "cart-coefficient-on-mean": inside("cart"),
    "cart-mean-not-added": inside("cart"),
    "cart-not-centred": inside("cart"),
    "cart-without-mean": inside("cart"),
    "cart-sum-for-mean": inside("cart"),
    "cart-first-task-for-mean": inside("cart"),
    "cart-residuals-averaged": inside("cart"),
    "rank-one-too-small": inside("tsv", "cart"),
    "rank-one-too-large": inside("tsv", "cart"),
    # isotropization
    "iso-left-out": Mistake(("iso",), to.without("iso")),
    "iso-mean-over-wrong-count": inside("iso"),
    "iso-largest-for-mean": inside("iso"),
    "iso-median-for-mean": inside("iso"),
    "iso-root-mean-square": inside("iso"),
    "iso-sum-for-mean": inside("iso"),
    "null-vectors-in-iso": inside("iso"),
    "cts-counts-rounded-down": Mistake(("iso_cts",), to.params("iso_cts", rounding="floor")),
    "cts-without-residuals": inside("iso_cts"),
    "cts-projects-on-both-sides": inside("iso_cts"),
    "cts-projects-on-the-right": inside("iso_cts"),
    "cts-common-part-not-adjusted": inside("iso_cts"),
    "cts-common-part-left-out": inside("iso_cts"),
    "cts-mean-of-the-common": inside("iso_cts"),
    # Decom-Renorm-Merge
    "drm-other-direction": Mistake(("drm",), to.other_direction),
    "drm-drop-for-keep": Mistake(("drm",), to.swapped("drm")),
    "drm-without-trimming": Mistake(("drm",), to.params("drm", drop=0.0)),
    "drm-skips-all-at-drop-0": Mistake(("drm",), instead=spoilt.undropped),
    "drm-not-renormalised": inside("drm"),
    "drm-columns-normalised": inside("drm"),
    "drm-norms-not-multiplied-back": inside("drm"),
    "drm-threshold-per-task": inside("drm"),
    "drm-rank-cut-too-high": inside("drm"),
    "drm-without-election": inside("drm"),
    "drm-divided-by-all-tasks": inside("drm"),
    "drm-divides-zero-rows": inside("drm"),
    # the space
    "merged-in-full-space": Mistake(change=to.space("full")),
    "merged-in-knots-space": Mistake(change=to.space("knots")),
    "merged-in-core-space": Mistake(change=to.space("core")),
    "knots-without-singular-values": Mistake(change=to.space(UNSCALED, of="knots")),
    "tucker-basis": inside(),
    "knots-other-side": inside(),
    "frames-by-qr": inside(),
    "frames-of-first-task": inside(),
    "frames-cut-to-common-rank": inside(),
    "frames-capped-at-12": inside(),
    "frame-one-short": inside(),
    "frame-cut-1e-6": inside(),
    "frame-cut-1e-2": inside(),
    "frame-cut-absolute": inside(),
    "null-frames": inside(),
    "left-frame-on-both-sides": inside(free=True),
    # arithmetic
    "norms-underflow": inside(),
    "svd-of-gram-matrix": inside(),
    "ascending-singular-values": inside(),
    "zero-level-absolute": inside(),
    # no merge of the kind
    **{name: Mistake(instead=spoilt.factors_apart(share)) for name, share in spoilt.SHARES.items()},
    "factors-apart-roots-in-single": Mistake(
        instead=spoilt.factors_apart(spoilt.SHARES["factors-apart-roots"], np.float32)
    ),
    "factors-averaged-apart": Mistake(instead=spoilt.factors_averaged_apart),
    "single-task-returned": Mistake(instead=spoilt.single_task_returned),
    "updates-averaged": Mistake(instead=spoilt.averaged),
    # batches
    "first-layer-for-all": inside(),
    "layers-reversed": inside(),
    # the result
    "result-transposed": Mistake(finish=lambda x, case: np.swapaxes(x, -1, -2)),
    "result-in-column-order": Mistake(finish=lambda x, case: np.swapaxes(x, -1, -2).reshape(x.shape)),
    "result-negated": Mistake(finish=lambda x, case: -x),
    "result-divided-by-count": Mistake(finish=lambda x, case: x / len(case.updates)),
    "result-multiplied-by-count": Mistake(finish=lambda x, case: x * len(case.updates)),
    "result-truncated-to-task-rank": Mistake(finish=spoilt.truncated),
    "result-in-single": Mistake(finish=spoilt.rounded(np.float32)),
    "result-in-half": Mistake(finish=spoilt.rounded(np.float16)),
    "result-in-bfloat16": Mistake(finish=spoilt.rounded(ml_dtypes.bfloat16)),
    "updates-cut-to-rank-16": Mistake(change=to.capped(16)),
    "updates-cut-to-rank-4": Mistake(change=to.capped(4)),
    "updates-cut-to-rank-2": Mistake(change=to.capped(2), vague=True),
    "updates-cut-to-rank-1": Mistake(change=to.capped(1), vague=True),
    "zero-matrix": Mistake(finish=lambda x, case: x * 0, vague=True),
}
Make = Callable[..., Model]


def applies(case: Case, mistake: Mistake) -> bool:
    """Whether the case's pipeline has what the mistake is about."""
    stages = set(case.method.split("+"))
    return (not mistake.stages or bool(stages & set(mistake.stages))) and stages >= set(mistake.many)


def answer(case: Case, ids: Sequence[str], make: Make = Model) -> to.Array | None:
    """The answer of an implementation that makes these mistakes and no others; None where one cannot be made."""
    mistakes, changed = [MISTAKES[name] for name in ids], case
    if not all(applies(case, mistake) for mistake in mistakes):
        return None
    for mistake in mistakes:
        bent = mistake.change(changed) if mistake.change else changed
        if bent is None:
            return None
        changed = bent
    instead = next((mistake.instead for mistake in mistakes if mistake.instead), None)
    out = make(*ids)(changed) if instead is None else instead(changed)
    for mistake in mistakes:
        if out is not None and mistake.finish:
            out = mistake.finish(out, case)
    return out
