"""A layer, its pipeline, and models of several layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import Arithmetic, Array
from .drm import drm
from .entries import dare, ties, trim_all
from .nearest import signs_like
from .spaces import Coordinates, encode
from .spectra import cart, iso, iso_cts, tsv


class Model(Arithmetic):
    """A NumPy implementation of every case, which makes the mistakes that it is told to, and no others."""

    def __call__(self, case: Any) -> Array:
        """The answer to a case."""
        if case.updates[0][0].ndim == 2:
            return self.merged([case.updates], case)[0]
        layers = [[(b[i], a[i], s) for b, a, s in case.updates] for i in range(case.updates[0][0].shape[0])]
        if self.bad("first-layer-for-all"):
            layers = layers[:1] * len(layers)
        out = self.merged(layers, case)
        return np.stack(out[::-1] if self.bad("layers-reversed") else out)

    def merged(self, layers: list[list[Any]], case: Any) -> list[Array]:
        """The layers of a model; they meet in stages of scope "model"."""
        spaces = [self.encoded(updates, case.space) for updates in layers]
        if self.toward is not None:
            self.seen, self.flat = spaces[0].seen(self.toward), case.method.endswith("iso")
        full_size = min(case.shape[-2:]), case.shape[-2] * case.shape[-1]
        for name in case.method.split("+"):
            p = case.params[name]
            apart = p.get("scope") == "tensor" or self.bad("trim-per-tensor")
            joint = "scope" in p and (self.bad("trim-over-the-model") or not apart)
            if joint and len(spaces) > 1:
                self.advance_jointly(spaces, name, p, case, full_size)
            else:
                for space in spaces:
                    self.advance(space, name, p, case, full_size)
        out = []
        for space in spaces:
            matrix = space.restored(space.stack[0])
            if self.seen is not None and space.u is not None and space.u is space.v:
                matrix = matrix * signs_like(matrix, self.seen)
            out.append(space.decode(matrix))
        return out

    def encoded(self, updates: list[Any], space: str) -> Coordinates:
        """A layer's updates in a space."""
        return encode(self, updates, space)

    def advance_jointly(
        self, spaces: list[Coordinates], name: str, p: dict[str, Any], case: Any, full_size: tuple[int, int]
    ) -> None:
        """A stage on the entries of all layers in one row."""
        shapes = [space.stack.shape[1:] for space in spaces]
        rows = np.concatenate([space.stack.reshape(len(space.stack), 1, -1) for space in spaces], axis=2)
        whole = Coordinates(rows, np.max([space.levels for space in spaces], axis=0))
        self.advance(whole, name, p, case, (full_size[0], full_size[1] * len(spaces)))
        ends = np.cumsum([rows * cols for rows, cols in shapes])[:-1]
        for space, shape, part in zip(spaces, shapes, np.split(whole.stack, ends, axis=2), strict=True):
            space.stack = part.reshape(len(part), *shape)
            space.levels = space.levels if len(part) == len(space.levels) else np.array([space.levels.max()])

    def advance(self, space: Coordinates, name: str, p: dict[str, Any], case: Any, full_size: tuple[int, int]) -> None:
        """One stage of one layer."""
        stack, levels = space.stack, space.levels
        size, entries = full_size
        w = self.read(np.asarray(p.get("weights", [1.0] * len(stack))))[: len(stack)]
        if name == "dare":
            space.stack, space.levels = dare(self, stack, levels, case.masks, p)
            return
        if name == "trim":
            clean = np.where(np.abs(stack) > levels[:, None, None], stack, 0)
            space.stack = trim_all(self, clean, p, entries)
            return
        if name == "iso":
            if space.divided is not None:
                levels = levels * float(space.divided[0]) if space.divided.size else levels
                stack, space.divided = space.restored(stack[0])[None], None
            space.stack = iso(self, stack[0], float(levels.max()), p["support"])[None]
            space.levels = levels
            return
        by = 1.0
        if name in ("ta", "mean"):
            out = np.tensordot(w, stack, 1)
            if name == "mean":
                by = len(w) if self.bad("mean-divided-by-count") else np.asarray(p["weights"]).sum()
                out = out / self.dtype.type(by)
            elif self.bad("sum-divided-by-count"):
                out = out / self.dtype.type(len(stack))
        elif name == "ties":
            out = ties(self, stack, levels, w, p, entries)
        elif name == "drm":
            out = drm(self, stack, levels, w, p)
        elif name == "tsv":
            out = tsv(self, stack, levels, p, size)
        elif name == "cart":
            out = cart(self, stack, levels, p, size)
        elif name == "iso_cts":
            out = iso_cts(self, stack, levels, p)
        else:
            raise NotImplementedError(f"the model does not know {name}")
        space.stack = out[None]
        level = float((levels * np.abs(w)).max() / abs(by))
        space.levels = np.array([level * max(1.0, abs(p.get("coefficient", 1.0)))])
