"""Methods with every parameter written out, and which of them run on which family and space."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TIES: dict[str, Any] = {
    "density": 0.5, "keep": "threshold", "scope": "tensor", "elect": "mass", "zero_sign": "majority",
    "aggregate": "mean", "weight_order": "after", "divisor": "count",
}  # fmt: skip
DARE: dict[str, Any] = {"drop": 0.25, "rescale": "inverse"}
CART: dict[str, Any] = {"k": None, "fraction": 0.04, "rounding": "ceil", "coefficient": 1.0}
CTS: dict[str, Any] = {"common_fraction": 0.8, "rounding": "round"}
DRM: dict[str, Any] = {"direction": "horizontal", "drop": 0.5, "rank_cut": 0.01}
TA: dict[str, Any] = {}
PLAIN, UNEQUAL = "plain", "unequal"

Config = tuple[str, dict[str, dict[str, Any]], str]  # method, params without weights, which weights
# run on every family
PRINCIPAL: dict[str, Config] = {
    "ta": ("ta", {"ta": TA}, UNEQUAL),
    "ta-plain": ("ta", {"ta": TA}, PLAIN),
    "mean": ("mean", {"mean": {}}, PLAIN),
    "ties": ("ties", {"ties": TIES}, PLAIN),
    "dare": ("dare+ta", {"dare": DARE, "ta": TA}, PLAIN),
    "tsv": ("tsv", {"tsv": {"k": 2}}, PLAIN),
    "cart": ("cart", {"cart": {**CART, "k": 2, "coefficient": 1.5}}, PLAIN),
    "iso": ("ta+iso", {"ta": TA, "iso": {"support": "rank"}}, PLAIN),
    "iso_cts": ("iso_cts", {"iso_cts": CTS}, PLAIN),
    "drm": ("drm", {"drm": DRM}, PLAIN),
}
# run on ordinary families and where a choice shows
VARIANTS: dict[str, Config] = {
    "mean-weights": ("mean", {"mean": {}}, UNEQUAL),
    "ties-defaults": ("ties", {"ties": {**TIES, "density": 0.2}}, PLAIN),
    "ties-all": ("ties", {"ties": {**TIES, "density": 1.0}}, PLAIN),
    "ties-exact": ("ties", {"ties": {**TIES, "density": 0.2, "keep": "exact"}}, PLAIN),
    "ties-peft": ("ties", {"ties": {**TIES, "keep": "exact", "zero_sign": "positive"}}, UNEQUAL),
    "ties-mergekit": (
        "ties",
        {"ties": {**TIES, "keep": "exact", "zero_sign": "positive", "weight_order": "before", "divisor": "weight"}},
        "positive",
    ),
    "ties-positive": ("ties", {"ties": {**TIES, "density": 1.0, "zero_sign": "positive"}}, PLAIN),
    "ties-count": ("ties", {"ties": {**TIES, "elect": "count"}}, PLAIN),
    "ties-sum": ("ties", {"ties": {**TIES, "aggregate": "sum"}}, PLAIN),
    "ties-weights": ("ties", {"ties": TIES}, UNEQUAL),
    "ties-before": ("ties", {"ties": {**TIES, "weight_order": "before"}}, UNEQUAL),
    "trim": ("trim+ta", {"trim": {"density": 0.3, "keep": "threshold", "scope": "tensor"}, "ta": TA}, PLAIN),
    "trim-exact": ("trim+ta", {"trim": {"density": 0.3, "keep": "exact", "scope": "tensor"}, "ta": TA}, PLAIN),
    "dare-l1": ("dare+ta", {"dare": {**DARE, "rescale": "l1"}, "ta": TA}, UNEQUAL),
    "dare-none": ("dare+ta", {"dare": {**DARE, "rescale": "none"}, "ta": TA}, PLAIN),
    "dare+ties": ("dare+ties", {"dare": DARE, "ties": TIES}, PLAIN),
    "dare+tsv": ("dare+tsv", {"dare": DARE, "tsv": {"k": 2}}, PLAIN),
    "tsv-relative": ("tsv", {"tsv": {"k": None}}, PLAIN),
    "tsv-1": ("tsv", {"tsv": {"k": 1}}, PLAIN),
    "tsv-9": ("tsv", {"tsv": {"k": 9}}, PLAIN),
    "cart-relative": ("cart", {"cart": CART}, PLAIN),
    "cart-ceil": ("cart", {"cart": {**CART, "fraction": 0.3}}, PLAIN),
    "cart-floor": ("cart", {"cart": {**CART, "fraction": 0.3, "rounding": "floor"}}, PLAIN),
    "iso-size": ("ta+iso", {"ta": TA, "iso": {"support": "size"}}, PLAIN),
    "mean+iso": ("mean+iso", {"mean": {}, "iso": {"support": "rank"}}, UNEQUAL),
    "tsv+iso": ("tsv+iso", {"tsv": {"k": 2}, "iso": {"support": "rank"}}, PLAIN),
    "ties+iso": ("ties+iso", {"ties": TIES, "iso": {"support": "rank"}}, PLAIN),
    "dare+ties+iso": ("dare+ties+iso", {"dare": DARE, "ties": TIES, "iso": {"support": "rank"}}, PLAIN),
    "iso_cts-floor": ("iso_cts", {"iso_cts": {"common_fraction": 0.5, "rounding": "floor"}}, PLAIN),
    "drm-vertical": ("drm", {"drm": {**DRM, "direction": "vertical"}}, PLAIN),
    "drm-weights": ("drm", {"drm": {**DRM, "drop": 0.2}}, UNEQUAL),
    "drm-nodrop": ("drm", {"drm": {**DRM, "drop": 0.0}}, PLAIN),
}
# run on a model of several layers, whose entries are trimmed and whose signs are counted together
MODEL: dict[str, Config] = {
    "ties-model": ("ties", {"ties": {**TIES, "scope": "model"}}, PLAIN),
    "ties-model-exact": ("ties", {"ties": {**TIES, "scope": "model", "keep": "exact", "density": 0.3}}, UNEQUAL),
    "trim-model": ("trim+ta", {"trim": {"density": 0.3, "keep": "threshold", "scope": "model"}, "ta": TA}, PLAIN),
}
# run on large inputs: the definition takes seconds for each
LARGE = {
    "core": ("ta", "ta-plain", "mean", "ties", "tsv", "tsv-9", "iso", "cart"), "knots": ("mean", "tsv"),
    "full": ("ta-plain", "ties", "tsv-9"),
}  # fmt: skip
CONFIGS = {**PRINCIPAL, **VARIANTS, **MODEL}
LATTICE = ("signs", "equal", "ladder")  # for entrywise methods in the full space only
ENTRYWISE = ("ties", "trim", "ta", "mean", "dare")
ORDINARY = ("generic", "hetero", "deficient")
SPACES = ("full", "knots", "core")
UNSCALED = "knots-unscaled"  # KnOTS as the paper's code has it: singular values divided out, and multiplied back
EVERY_SPACE = (*SPACES, UNSCALED)
DIVIDED = (*ORDINARY, "zero_b", "single", "rescaled", "float32", "square", "wide", "tall")
WEIGHTS = {UNEQUAL: (1.0, -0.5, 2.0), "positive": (1.0, 0.5, 2.0), PLAIN: (1.0, 1.0, 1.0)}
WEIGHTED = ("ta", "mean", "ties", "drm")


def params_for(config: Config, tasks: int) -> dict[str, dict[str, Any]]:
    """Every stage's parameters, the weights of its tasks included."""
    _, params, kind = config
    cycle = WEIGHTS[kind]
    weights = [cycle[t % 3] for t in range(tasks)]
    return {k: {**p, "weights": weights} if k in WEIGHTED else dict(p) for k, p in params.items()}


def chosen(family: str) -> dict[str, Config]:
    """The configurations that a family is asked in."""
    if family in ORDINARY:
        return {**PRINCIPAL, **VARIANTS}
    if family == "forty-nine":
        return {"tsv-relative": VARIANTS["tsv-relative"]}
    if family == "layers":
        return {"ties": PRINCIPAL["ties"], **MODEL}
    if family in LATTICE:
        return {k: c for k, c in {**PRINCIPAL, **VARIANTS}.items() if c[0] in ("ties", "trim+ta", "ta", "mean")}
    out = dict(PRINCIPAL)
    if family in ("many", "overfull"):
        out |= {k: VARIANTS[k] for k in ("tsv-relative", "tsv-9", "cart-ceil", "ties-peft")}
    if family in ("batch", "nothing"):
        out = {k: c for k, c in out.items() if "dare" not in c[0]}
    if family in ("duplicated", "opposite", "zero_b"):
        out |= {k: VARIANTS[k] for k in ("iso-size", "tsv+iso", "ties-all", "ties-count", "tsv-relative")}
    if family == "parallel":
        out |= {k: VARIANTS[k] for k in ("tsv-1", "tsv-relative", "tsv+iso")}
    return out


def grid() -> Iterator[tuple[str, str, str, Config]]:
    """(family, config name, space, config) of every case."""
    from .families import FAMILIES

    for family in FAMILIES:
        if family == "large":
            yield from ((family, name, space, CONFIGS[name]) for space, names in LARGE.items() for name in names)
            continue
        spaces: tuple[str, ...] = ("full",) if family in (*LATTICE, "forty-nine") else SPACES
        for name, config in chosen(family).items():
            for space in spaces:
                yield family, name, space, config
            if family in DIVIDED and name in PRINCIPAL:
                yield family, name, UNSCALED, config
