"""Implementations that the kit is asked about: right ones in every way of computing, and ones with state between calls.

Each is the package's bendable model in another arithmetic: what is right stays right, a mistake keeps its name.
"""

import math

import numpy as np
import pytest

from coremerge_ref.conformance.mistakes import answer
from coremerge_ref.conformance.model import Model

linalg = pytest.importorskip("scipy.linalg")  # NumPy has one driver of the SVD


class Turned(Model):
    """Random signs of every singular pair, and random rotations of null spaces."""

    def __init__(self, *wrong, **options):
        super().__init__(*wrong, **options)
        self.rng = np.random.default_rng(0)  # anew for each case, whatever was asked before

    def decompose(self, x):
        p, s, qt = super().decompose(x)
        sign = self.rng.choice([-1.0, 1.0], len(s)).astype(x.dtype)
        p, qt = p * sign, qt * sign[:, None]
        dead = np.flatnonzero(s <= 100 * self.eps * s[0])
        if len(dead) > 1:
            turn = np.linalg.qr(self.rng.standard_normal((len(dead), len(dead))))[0].astype(x.dtype)
            p[:, dead] = p[:, dead] @ turn
        return p, s, qt


class Permuted(Model):
    """LAPACK's other driver on the transpose with rows and columns in another order: another rounding throughout."""

    def __init__(self, *wrong, **options):
        super().__init__(*wrong, **options)
        self.rng = np.random.default_rng(3)  # anew for each case, whatever was asked before

    def decompose(self, x):
        rows, cols = self.rng.permutation(x.shape[0]), self.rng.permutation(x.shape[1])
        a, s, bt = linalg.svd(x[rows][:, cols].T, full_matrices=False, lapack_driver="gesvd")
        p, qt = np.empty_like(bt.T), np.empty_like(a.T)
        p[rows], qt[:, cols] = bt.T, a.T
        return p, s, qt


class AfterQr(Model):
    """QR of the tall side first, then the SVD of the triangle."""

    def decompose(self, x):
        if x.shape[0] < x.shape[1]:
            p, s, qt = self.decompose(x.T)
            return qt.T, s, p.T
        q, r = np.linalg.qr(x)
        p, s, qt = np.linalg.svd(r, full_matrices=False)
        return q @ p, s, qt


class Jacobi(Model):
    """One-sided Jacobi rotations: no LAPACK at all."""

    def decompose(self, x):
        if x.shape[0] < x.shape[1]:
            p, s, qt = self.decompose(x.T)
            return qt.T, s, p.T
        u, v = x.copy(), np.eye(x.shape[1], dtype=x.dtype)
        for _ in range(30):
            moved = False
            for i in range(x.shape[1] - 1):
                for j in range(i + 1, x.shape[1]):
                    a, b, c = u[:, i] @ u[:, i], u[:, j] @ u[:, j], u[:, i] @ u[:, j]
                    if abs(c) <= self.eps * math.sqrt(abs(a * b)) or c == 0:
                        continue
                    moved = True
                    zeta = float(b - a) / (2 * float(c))
                    t = math.copysign(1.0, zeta) / (abs(zeta) + math.hypot(1.0, zeta))
                    cos = 1 / math.hypot(1.0, t)
                    turn = np.array([[cos, cos * t], [-cos * t, cos]], dtype=x.dtype)
                    u[:, [i, j]], v[:, [i, j]] = u[:, [i, j]] @ turn, v[:, [i, j]] @ turn
            if not moved:
                break
        s = np.linalg.norm(u, axis=0)
        order = np.argsort(-s)
        s = s[order]
        p = u[:, order] / np.where(s == 0, 1, s)
        dead = np.flatnonzero(s <= self.eps * s[0])
        if len(dead):  # any orthonormal completion
            p[:, dead] = np.linalg.qr(np.hstack([np.delete(p, dead, 1), np.eye(len(p), dtype=p.dtype)]))[0][
                :, len(s) - len(dead) : len(s)
            ]
        return p, s, v[:, order].T


class Backwards(Model):
    """Sums over the tasks in the other order."""

    def __call__(self, case):
        from dataclasses import replace

        params = {k: {**p, "weights": p["weights"][::-1]} if "weights" in p else p for k, p in case.params.items()}
        masks = None if case.masks is None else case.masks[::-1]
        return super().__call__(replace(case, updates=case.updates[::-1], params=params, masks=masks))


def sizeless(case):
    """Whether the answer hangs neither on the size of the space nor on its basis."""
    relative = any(case.params.get(n, {"k": 1})["k"] is None for n in ("tsv", "cart"))
    sized = case.params.get("iso", {}).get("support") == "size"
    free = set(case.method.split("+")) <= {"ta", "mean", "tsv", "cart", "iso"} and not relative and not sized
    return free and case.space != "knots-unscaled"


class Masked(Model):
    """Dead directions stay, as zero columns of the frames after the live ones, so that shapes are static."""

    masks = False

    def __call__(self, case):
        self.masks = sizeless(case)
        return super().__call__(case)

    def encoded(self, updates, space):
        found = super().encoded(updates, space)
        ranks = sum(b.shape[1] for b, _, _ in updates)
        for axis, name in ((1, "u"), (2, "v")):
            frame = getattr(found, name)
            if self.masks and frame is not None:
                dead = min(ranks, len(frame)) - frame.shape[1]
                setattr(found, name, np.pad(frame, ((0, 0), (0, dead))))
                found.stack = np.pad(found.stack, [(0, dead if i == axis else 0) for i in range(3)])
        return found


class Elsewhere(Model):
    """Equivariant methods in another basis or in the full space, as equivariance allows."""

    def __call__(self, case):
        from dataclasses import replace

        if not sizeless(case):
            return super().__call__(case)
        if type(self).full:
            return super().__call__(replace(case, space="full"))
        return Model("tucker-basis", dtype=self.dtype)(case)

    full = False


class InFull(Elsewhere):
    full = True


RIGHT = (Model, Turned, Permuted, AfterQr, Jacobi, Backwards, Masked, Elsewhere, InFull)


class Double:
    """An implementation with mistakes where a case can show them, in some arithmetic and dtype; right without any."""

    def __init__(self, *mistakes, make=Model, dtype=np.float64):
        self.mistakes, self.make, self.dtype = mistakes, make, dtype

    def __call__(self, case):
        with np.errstate(all="ignore"):
            out = answer(case, self.mistakes, lambda *wrong: self.make(*wrong, dtype=self.dtype))
            return self.make(dtype=self.dtype)(case) if out is None else out


# ---- state between calls ---------------------------------------------------------------------------------------------
class InPlace:
    """Multiplies its inputs by the scaling."""

    def __call__(self, case):
        for b, _, s in case.updates:
            b *= np.asarray(s, dtype=b.dtype)
        case.updates[:] = [(b, a, 1.0) for b, a, _ in case.updates]
        return Model()(case)


class KeepingFrames(Model):
    """Uses the frames of an earlier call of the same size."""

    kept = {}  # noqa: RUF012

    def frame(self, stack, live=None):
        u, s = super().frame(stack, live)
        return self.kept.setdefault((u.shape, stack.shape), (u, s))


class Compounding:
    """Draws its masks on top of those of the last call."""

    def __init__(self):
        self.masks, self.rng = {}, np.random.default_rng(0)

    def __call__(self, case):
        if case.masks is not None:
            old = self.masks.setdefault(case.name, case.masks.copy())
            self.masks[case.name] = old & (self.rng.random(old.shape) < 0.9)
            case.masks[...] = old
        return Model()(case)


class Accumulating:
    """Adds up its results over calls."""

    def __init__(self):
        self.calls = {}

    def __call__(self, case):
        self.calls[case.name] = self.calls.get(case.name, 0) + 1
        return Model()(case) * self.calls[case.name]
