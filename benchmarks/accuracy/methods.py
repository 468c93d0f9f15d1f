"""Which merges are compared in which spaces, with the settings that are searched.

mode "relative": as the paper's code has it, with sizes that follow the space's own, null vectors taking part
(relative.py). mode "absolute": the same numbers in every space, without null vectors; a theorem makes them one matrix
in every lossless space, so they are measured in core space. Methods without such a size have mode "".
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import coremerge_ref as cm
from benchmarks.accuracy import merged, relative

RELATIVE, ABSOLUTE = "relative", "absolute"
PAPERS = ("full", "knots", "core")
ISOMETRIC = ("full", "knots-scaled", "core")
ELEMENTWISE = ("ties", "dare+ties")
DENSITIES, DROP, FRACTION, RANK = (0.1, 0.3, 0.8), 0.3, 0.12, 16


@dataclass(frozen=True)
class Setting:
    """A method in one mode. searched: parameter → values; inherits: the method whose best values it takes."""

    method: str
    mode: str = ""
    spaces: tuple[str, ...] = ("core",)
    searched: dict[str, tuple[float, ...]] = field(default_factory=dict)
    inherits: str = ""

    @property
    def key(self) -> str:
        """method, or method:mode."""
        return self.method + (f":{self.mode}" if self.mode else "")

    @property
    def stages(self) -> list[str]:
        """The names in the method."""
        return self.method.split("+")

    def shortened(self) -> "Setting":
        """With the first of the searched values alone."""
        return replace(self, searched={name: values[:1] for name, values in self.searched.items()})

    def pipeline(self, values: dict[str, Any], seed: int, iso: bool = True) -> cm.Pipeline:
        """The library's stages with the searched values put in; without iso where that is asked."""
        return cm.Pipeline([stage(name, values, seed) for name in self.stages if iso or name != "iso"])

    def merge(self, layers: merged.Layers, space: str, values: dict[str, Any], seed: int) -> merged.Update:
        """ΔW of every layer for α = 1."""
        if self.mode == RELATIVE:
            library = self.pipeline(values, seed, iso=False) if "ties" in self.stages else None
            return relative.merge(layers, self.stages, space, library, FRACTION)
        return merged.merge(layers, self.pipeline(values, seed), merged.SPACES[space])


def stage(name: str, values: dict[str, Any], seed: int) -> Any:
    """One of the library's stages at the study's settings; what is not named here is at its default."""
    given = {
        "ties": lambda: cm.Ties(density=values["density"]),
        "dare": lambda: cm.Dare(drop=DROP, seed=seed),
        "tsv": lambda: cm.Tsv(k=RANK),
        "cart": lambda: cm.Cart(k=RANK),
        "della": lambda: cm.Della(seed=seed),
    }
    return given[name]() if name in given else name


def settings(recipe: str = "r16") -> Iterator[Setting]:
    """Those of a recipe, those that others inherit from first; new methods and CART for LoRA 16 alone."""
    more = recipe == "r16"
    yield Setting("ta")
    if recipe == "family":
        yield Setting("ties", "", PAPERS, {"density": DENSITIES})
        yield from with_null_vectors_and_without()
        return
    yield Setting("ties", "", ("full", "knots", "knots-scaled", "core", "core-tucker"), {"density": DENSITIES})
    yield Setting("dare+ties", "", ("full", "knots", "knots-scaled", "core"), {}, "ties")
    yield from with_null_vectors_and_without()
    yield Setting("ties+iso", RELATIVE, PAPERS, {}, "ties")
    if more:
        yield Setting("dare+ties+iso", RELATIVE, PAPERS, {}, "ties")
    for method in ("cart", "cart+iso"):
        yield Setting(method, ABSOLUTE)
        if more:
            yield Setting(method, RELATIVE, PAPERS)
    yield Setting("iso_cts", ABSOLUTE)
    yield Setting("karcher", ABSOLUTE)
    if more:
        for method in ("drm", "breadcrumbs", "della", "sce", "pcb"):
            yield Setting(method, "", ("full", "core"))


def with_null_vectors_and_without() -> Iterator[Setting]:
    """TSV, isotropization and both."""
    for method in ("tsv", "iso", "tsv+iso"):
        yield Setting(method, ABSOLUTE)
        yield Setting(method, RELATIVE, PAPERS)
