"""Which merges are compared, with the settings that are searched; both ways to give a size.

mode "relative": sizes that follow the space's own, null vectors taking part, as the paper's code has it. mode
"absolute": the same numbers in every space, over the numerical support. Methods without such a size have mode "".
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import coremerge_ref as cm

RELATIVE, ABSOLUTE = "relative", "absolute"
ELEMENTWISE = ("ties", "dare+ties")  # what depends on the basis: these are merged in the Tucker basis too
DENSITIES, DROPS = (0.1, 0.3, 0.8), (0.1, 0.6)
FRACTIONS, RANKS = (0.04, 0.12), (4, 16)


@dataclass(frozen=True)
class Setting:
    """A method in one mode. searched: parameter → values; inherits: the setting whose best values it takes."""

    method: str
    mode: str = ""
    searched: dict[str, tuple[float, ...]] = field(default_factory=dict)
    inherits: str = ""

    @property
    def key(self) -> str:
        """method, or method:mode."""
        return self.method + (f":{self.mode}" if self.mode else "")

    def shortened(self) -> "Setting":
        """With the first of the searched values alone."""
        return replace(self, searched={name: values[:1] for name, values in self.searched.items()})

    def pipeline(self, values: dict[str, Any], seed: int) -> cm.Pipeline:
        """The stages with the searched values put in."""
        return cm.Pipeline([self._stage(name, values, seed) for name in self.method.split("+")])

    def _stage(self, name: str, values: dict[str, Any], seed: int) -> Any:
        relative = self.mode == RELATIVE
        match name:
            case "ties":
                return cm.Ties(density=values["density"])
            case "dare":
                return cm.Dare(drop=values["drop"], seed=seed)
            case "tsv":
                return cm.Tsv(k=None if relative else max(RANKS))
            case "cart":
                return cm.Cart(fraction=values["cut"]) if relative else cm.Cart(k=int(values["cut"]))
            case "iso":
                return cm.Iso(support="size" if relative else "rank")
            case "drm":
                return cm.Drm(drop=values["drop"])
            case _:
                return {"ta": cm.Ta, "iso_cts": cm.IsoCts}[name]()


def settings() -> Iterator[Setting]:
    """Every setting, those that others inherit from first."""
    yield Setting("ta")
    yield Setting("ties", "", {"density": DENSITIES})
    yield Setting("dare+ties", "", {"drop": DROPS}, "ties")
    for mode in (RELATIVE, ABSOLUTE):
        yield from (Setting(method, mode) for method in ("tsv", "iso", "tsv+iso"))
    yield Setting("ties+iso", RELATIVE, {}, "ties")
    yield Setting("dare+ties+iso", RELATIVE, {}, "dare+ties")
    for mode, cuts in ((RELATIVE, FRACTIONS), (ABSOLUTE, RANKS)):
        yield Setting("cart", mode, {"cut": cuts})
        yield Setting("cart+iso", mode, {}, f"cart:{mode}")
    yield Setting("iso_cts", RELATIVE)
    yield Setting("drm", "", {"drop": DROPS})


def spaces_of(setting: Setting) -> list[str]:
    """The paper's three; the original KnOTS, which is isometric, for it in absolute settings, or beside it."""
    if setting.mode == ABSOLUTE:
        return ["full", "knots-scaled", "core"]
    more = ["knots-scaled"] * (setting.mode != RELATIVE) + ["core-tucker"] * (setting.method in ELEMENTWISE)
    return ["full", "knots", "core", *more]
