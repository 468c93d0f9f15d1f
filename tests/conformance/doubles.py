"""A test double: a small float64 NumPy implementation of every case, right unless it is told to make mistakes.

It is written apart from the package (QR-based frames, its own stages) and makes each mistake where a programmer
would: ``Double("name")`` makes the one of that name.
"""

import math

import numpy as np

EPS = np.finfo(float).eps


class Double:
    def __init__(self, *mistakes):
        self.mistakes, self.memory, self.used = set(mistakes), {}, set()

    def bad(self, name):
        self.used.add(name)
        return name in self.mistakes

    # ---- linear algebra ------------------------------------------------------------------------------------------
    def svd(self, x):
        if 0 in x.shape:
            d = min(x.shape)
            return np.zeros((x.shape[0], d)), np.zeros(d), np.zeros((d, x.shape[1]))
        big = np.abs(x).max()
        if big == 0:
            return np.eye(x.shape[0], min(x.shape)), np.zeros(min(x.shape)), np.eye(min(x.shape), x.shape[1])
        if self.bad("svd through the Gram matrix"):
            lam, v = np.linalg.eigh((x / big).T @ (x / big))
            d = min(x.shape)
            s, v = np.sqrt(np.maximum(lam[::-1][:d], 0)), v[:, ::-1][:, :d]
            return (x / big) @ v / np.where(s == 0, 1, s), s * big, v.T
        u, s, vt = np.linalg.svd(x / big, full_matrices=False)
        if self.bad("singular values taken in ascending order"):
            u, s, vt = u[:, ::-1], s[::-1], vt[::-1]
        return u, s * big, vt

    @staticmethod
    def size(x):
        big = np.abs(x).max(initial=0)
        return 0.0 if big == 0 else float(np.linalg.norm(x / big) * big)

    def basis(self, blocks, sizes=None):
        whole = np.hstack(blocks)
        if self.bad("frames by QR in place of the SVD"):
            return np.linalg.qr(whole / max(np.abs(whole).max(), 1e-300))[0], None
        u, s, _ = self.svd(whole)
        if self.bad("no rank cut in the frames"):
            return u, s
        if self.bad("absolute rank cut 1e-5"):
            r = int((s > 1e-5).sum())
            return u[:, :r], s[:r]
        if self.bad("rank cut on the raw stack at 1e-2"):
            r = int((s > 1e-2 * s[0]).sum())
            return u[:, :r], s[:r]
        sizes = [self.size(b) for b in blocks] if sizes is None else sizes
        balanced = [b / z for b, z in zip(blocks, sizes, strict=False) if z > 0]
        r = 0
        if balanced:
            t = self.svd(np.hstack(balanced))[1]
            r = int((t > max(whole.shape) * EPS * t[0]).sum()) if len(t) else 0
        if self.bad("frame one column short"):
            r = max(r - 1, 1)
        return u[:, :r], s[:r]

    # ---- one layer -----------------------------------------------------------------------------------------------
    def layer(self, case, updates, tag=0):
        fs = []
        for b, a, s in updates:
            b, a = self.read(b), self.read(a)
            r = max(b.shape[1], 1)
            if self.bad("scaling ignored"):
                s = 1.0
            if self.bad("scaling applied twice"):
                s = s * s
            if self.bad("rsLoRA sqrt(r) too much"):
                s = s * math.sqrt(r)
            if self.bad("alpha over r applied again"):
                s = s / r
            if self.bad("square root of the scaling on one factor only"):
                s = math.sqrt(s)
            if self.bad("A flattened in the wrong order"):
                a = a.reshape(a.shape[::-1]).T
            if self.bad("rank cut to the smallest task"):
                r = min(x[0].shape[1] for x in updates)
                b, a = b[:, :r], a[:r]
            fs.append((b, a * s) if self.bad("scaling folded into A") else (b * s, a))
        if self.bad("first task dropped"):
            fs = fs[1:] or fs
        if self.bad("last task dropped"):
            fs = fs[:-1] or fs
        if self.bad("tasks with B = 0 left out"):
            fs = [f for f in fs if f[0].any()] or fs
        if self.bad("A and B averaged apart") and len({b.shape for b, _ in fs}) == 1:
            return sum(b for b, _ in fs) @ sum(a for _, a in fs) / len(fs)
        if self.bad("A and B merged apart") and len({b.shape for b, _ in fs}) == 1 and case.method == "ta":
            c = [w * s for w, (_, _, s) in zip(case.params["ta"]["weights"], updates, strict=True)]
            parts = [(self.read(b), self.read(a)) for b, a, _ in updates]
            left = sum(math.sqrt(abs(x)) * b for x, (b, _) in zip(c, parts, strict=True))
            return left @ sum(math.copysign(math.sqrt(abs(x)), x) * a for x, (_, a) in zip(c, parts, strict=True))
        if self.bad("updates truncated to a fixed rank"):
            parts = [self.svd(b @ a) for b, a in fs]
            fs = [(u[:, :1] * s[:1], vt[:1]) for u, s, vt in parts]
        if self.bad("a single task returned as it is") and len(fs) == 1:
            return fs[0][0] @ fs[0][1]
        m, n = fs[0][0].shape[0], fs[0][1].shape[1]
        level = [max(m, n, sum(b.shape[1] for b, _ in fs)) * (self.size(b) * self.size(a) * EPS) for b, a in fs]
        if self.bad("absolute zero level 1e-12"):
            level = [1e-12] * len(fs)
        u, v, sv = np.eye(m), np.eye(n), None
        space = case.space
        if self.bad("merged in the full space"):
            space = "full"
        if space == "core":
            u, _ = self.basis([b for b, _ in fs])
            v, _ = self.basis([a.T for _, a in fs])
            if self.bad("Tucker basis for the paper's"):
                u, _ = self.basis([b @ a for b, a in fs])
                v, _ = self.basis([a.T @ b.T for b, a in fs])
            if self.bad("frames of the first task only"):
                u, v = self.basis([fs[0][0]])[0], self.basis([fs[0][1].T])[0]
            if self.bad("both frames cut to the common rank"):
                k = min(u.shape[1], v.shape[1])
                u, v = u[:, :k], v[:, :k]
        if space == "knots":
            zs = [self.size(b) * self.size(a) for b, a in fs]
            u, sv = self.basis([b @ a for b, a in fs], zs)
            if self.bad("KnOTS on the other side"):
                u, v = np.eye(m), self.basis([(b @ a).T for b, a in fs], zs)[0]
        if self.bad("frames kept from an earlier call"):
            u, v = self.memory.setdefault((case.config, space, tag, u.shape, v.shape), (u, v))
        stack = [(u.T @ b) @ (a @ v) for b, a in fs]
        if self.bad("KnOTS without singular values") and space == "knots":
            stack = [x / sv[:, None] for x in stack]
        out = sum(stack) / len(stack) if self.bad("cores averaged") else self.method(case, stack, level, tag)
        if self.bad("KnOTS without singular values") and space == "knots":
            out = sv[:, None] * out
        if self.bad("left frame used on both sides") and u.shape == v.shape:
            v = u
        return u @ out @ v.T

    def read(self, x):
        if self.bad("subnormals flushed"):
            x = np.where(np.abs(x) < 2.3e-308, 0, x) if x.dtype == np.float64 else x
        if self.bad("inputs read in single precision"):
            with np.errstate(over="ignore"):
                x = x.astype(np.float32)
        if self.bad("inputs rounded to bfloat16"):
            import ml_dtypes

            x = x.astype(ml_dtypes.bfloat16)
        return x.astype(np.float64)

    # ---- the pipeline --------------------------------------------------------------------------------------------
    def method(self, case, stack, level, tag):
        for name in case.method.split("+"):
            p = case.params[name]
            w = list(p.get("weights", [1.0] * len(stack)))
            w = self.weights(w)[: len(stack)]
            if name == "dare":
                stack, level = self.dare(case, p, stack, level)
            elif name == "trim":
                stack = [self.trim(x, p["density"], p["keep"]) for x in stack]
            elif name == "iso":
                stack = [self.iso(p, stack[0], max(level))] if not self.bad("iso left out") else stack
            else:
                if name == "ties" and "dare" in case.method and self.bad("DARE replaces trimming"):
                    p = {**p, "density": 1.0}
                out = getattr(self, name)(p, stack, level, w)
                stack, level = (
                    [out],
                    [max(abs(c) * z for c, z in zip(w, level, strict=False)) * max(1, abs(p.get("coefficient", 1)))],
                )
        return stack[0]

    def weights(self, w):
        if self.bad("weights ignored"):
            return [1.0] * len(w)
        if self.bad("only the first weight used"):
            return [w[0]] * len(w)
        if self.bad("absolute weights"):
            return [abs(x) for x in w]
        if self.bad("weights reversed"):
            return w[::-1]
        if self.bad("weights squared"):
            return [x * x for x in w]
        if self.bad("negative weights clipped"):
            return [max(x, 0.0) for x in w]
        return w

    def ta(self, p, stack, level, w):
        out = sum(c * x for c, x in zip(w, stack, strict=False))
        return out / len(stack) if self.bad("ta divided by T") else out

    def mean(self, p, stack, level, w):
        out = sum(c * x for c, x in zip(w, stack, strict=False))
        return out / (len(w) if self.bad("mean divided by T") else sum(w))

    def dare(self, case, p, stack, level):
        masks, new, levels = case.masks, [], []
        for t, x in enumerate(stack):
            z = masks[min(t, len(masks) - 1)]
            if self.bad("one mask for all"):
                z = masks[0]
            if self.bad("masks in reverse"):
                z = masks[-1 - t]
            if self.bad("mask flattened in column order"):
                z = z.T.reshape(z.shape)
            z = z[: x.shape[0], : x.shape[1]]
            if self.bad("masks cut from the wrong end"):
                full = masks[t]
                z = full[full.shape[0] - x.shape[0] :, full.shape[1] - x.shape[1] :]
            if self.bad("drop and keep swapped"):
                z = ~z
            y = np.where(z, x, 0.0)
            f = 1.0
            if p["rescale"] == "inverse" or (self.bad("always 1 / (1 - p)")):
                f = 1 / (1 - p["drop"])
            if self.bad("rescaled by 1 / p") and p["rescale"] == "inverse":
                f = 1 / p["drop"]
            if self.bad("rescaled by the kept share") and p["rescale"] == "inverse":
                f = z.size / max(z.sum(), 1)
            if (p["rescale"] == "l1" or self.bad("always l1")) and np.abs(y).sum() > 0:
                f = np.abs(x).sum() / np.abs(y).sum()
                if self.bad("l2 norms for l1"):
                    f = self.size(x) / self.size(y)
            if self.bad("DARE not rescaled"):
                f = 1.0
            if self.bad("rescaled twice"):
                f = f * f
            new.append(f * y)
            levels.append(f * level[t])
        return new, levels

    def trim(self, x, density, keep):
        mag = np.abs(x)
        if self.bad("trimmed by value, not magnitude"):
            mag = x
        flat = mag.ravel()
        d, k = flat.size, int(flat.size * density)
        if self.bad("density rounded up"):
            k = math.ceil(d * density)
        if self.bad("density is the dropped share"):
            k = int(d * (1 - density))
        if self.bad("every kth by the full size") and self.case_size:
            k = min(int(self.case_size * density), d)
        if density >= 1:
            return x
        if self.bad("keep exact for threshold"):
            keep = "exact"
        elif self.bad("threshold for exact"):
            keep = "threshold"
        if keep == "exact":
            order = np.lexsort((np.arange(d)[:: -1 if self.bad("highest index first among equals") else 1], -flat))
            out = np.zeros(d)
            out[order[:k]] = x.ravel()[order[:k]]
            return out.reshape(x.shape)
        if d - k < 1:
            return x
        i = d - k - 1
        if self.bad("threshold off by one"):
            i += 1
        if self.bad("threshold off by one the other way"):
            i = max(i - 1, 0)
        edge = np.sort(flat)[min(i, d - 1)]
        if self.bad("quantile for the order statistic"):
            edge = np.quantile(flat, 1 - density)
        keepers = mag > edge if self.bad("strictly above the threshold") else mag >= edge
        return np.where(keepers, x, 0.0)

    def ties(self, p, stack, level, w):
        if self.bad("no trimming"):
            pass
        elif self.bad("one threshold for all tasks"):
            stack = list(self.trim(np.stack(stack), p["density"], p["keep"]))
        else:
            stack = [self.trim(x, p["density"], p["keep"]) for x in stack]
        stack = [np.where(np.abs(x) > z, x, 0.0) for x, z in zip(stack, level, strict=False)]
        before = (p["weight_order"] == "before") != self.bad("weight order swapped")
        if before:
            stack, level = (
                [c * x for c, x in zip(w, stack, strict=False)],
                [abs(c) * z for c, z in zip(w, level, strict=False)],
            )
        votes = [np.sign(x) for x in stack]
        if (p["elect"] == "count" or self.bad("count election")) and not self.bad("mass election"):
            g = np.sign(sum(votes))
        else:
            total = sum(stack)
            g = np.where(np.abs(total) > max(level), np.sign(total), 0)
        if self.bad("sign of the largest entry"):
            whole = np.stack(stack)
            g = np.sign(np.take_along_axis(whole, np.abs(whole).argmax(0)[None], 0))[0]
        major = 1.0 if g.sum() > 0 else -1.0
        if p["zero_sign"] == "positive" or self.bad("zero sums positive"):
            major = 1.0
        if self.bad("zero sums negative"):
            major = -1.0
        if not self.bad("zero sums dropped"):
            g = np.where(g == 0, major, g)
        if self.bad("elected sign reversed"):
            g = -g
        total, count, mass = 0.0, 0.0, 0.0
        for x, c in zip(stack, w, strict=False):
            ok = (x * g > 0) if not self.bad("disagreeing kept") else x != 0
            if self.bad("zero entries agree"):
                ok = ok | (x == 0)
            total = total + np.where(ok, x * (1 if before else c), 0.0)
            count, mass = count + ok, mass + ok * c
        if (p["aggregate"] == "sum" or self.bad("sum for mean")) and not self.bad("mean for sum"):
            return total
        if self.bad("mean over T"):
            return total / len(stack)
        by = count
        by_weight = p["divisor"] == "weight" and not self.bad("count for weight divisor")
        if by_weight or self.bad("weight for count divisor"):
            by = mass
        return total / np.where(by == 0, 1, by)

    def orthogonal(self, x):
        if x.shape[1] == 0 or self.bad("no orthogonalization"):
            return x
        if self.bad("QR for polar"):
            return np.linalg.qr(x)[0] @ np.eye(min(x.shape), x.shape[1])
        u, s, vt = self.svd(x)
        r = int((s > 1e-9 * s[0]).sum())
        if self.bad("null vectors in polar"):
            r = len(s)
        return u[:, :r] @ vt[:r]

    def top(self, x, k, z):
        u, s, vt = self.svd(x)
        if not self.bad("null vectors in TSV"):
            k = min(k, int((s > z).sum()))
        return u[:, :k], s[:k], vt[:k].T

    def tsv(self, p, stack, level, w):
        k = min(stack[0].shape) // len(stack) if p["k"] is None else p["k"]
        if p["k"] is None and self.bad("float rank int(K * (1 / T))"):
            k = int(min(stack[0].shape) * (1 / len(stack)))
        if p["k"] is None and self.bad("relative rank at least 1"):
            k = max(k, 1)
        if self.bad("k one too small"):
            k -= 1
        if self.bad("k one too large"):
            k += 1
        parts = [self.top(x, k, z) for x, z in zip(stack, level, strict=False)]
        left, right = self.orthogonal(np.hstack([q[0] for q in parts])), np.hstack([q[2] for q in parts])
        if not self.bad("right side not orthogonalized"):
            right = self.orthogonal(right)
        s = np.concatenate([q[1] for q in parts])
        if self.bad("singular values left out"):
            s = np.ones_like(s)
        if self.bad("singular values sorted over tasks"):
            s = np.sort(s)[::-1]
        if self.bad("singular values averaged"):
            s = s / len(stack)
        return (left * s) @ right.T

    def cart(self, p, stack, level, w):
        amount = p["fraction"] * min(stack[0].shape)
        up = (p["rounding"] == "ceil") != self.bad("rounding of the rank swapped")
        k = p["k"] or (math.ceil(amount) if up else max(1, int(amount)))
        lam = 1.0 if self.bad("CART coefficient ignored") else p["coefficient"]
        mean = sum(stack) / len(stack)
        if self.bad("sum for the mean in CART"):
            mean = sum(stack)
        if self.bad("first task for the mean in CART"):
            mean = stack[0]
        rest = []
        for x in stack:
            u, s, v = self.top(x if self.bad("not centred") else x - mean, k, max(level))
            rest.append((u * s) @ v.T)
        out = lam * sum(rest)
        if self.bad("residuals averaged in CART"):
            out = out / len(stack)
        if self.bad("coefficient on the mean too"):
            return lam * mean + out
        return out if self.bad("mean not added back") else mean + out

    def iso(self, p, x, z):
        if p["support"] == "size" or self.bad("null vectors in Iso"):
            z = -1.0
        u, s, vt = self.svd(x)
        r = int((s > z).sum())
        if r == 0:
            return np.zeros_like(x)
        value = s[:r].mean()
        if self.bad("mean over the wrong count"):
            value = s.sum() / min(x.shape)
        if self.bad("largest singular value for the mean"):
            value = s[0]
        if self.bad("median singular value"):
            value = np.median(s[:r])
        if self.bad("root mean square"):
            value = math.sqrt((s[:r] ** 2).mean())
        if self.bad("sum of singular values"):
            value = s.sum()
        return value * u[:, :r] @ vt[:r]

    def iso_cts(self, p, stack, level, w):
        d, t = min(stack[0].shape), len(stack)
        own = d - int(d * p["common_fraction"])
        each = own // t if p["rounding"] == "floor" else round(own / t)
        if self.bad("Iso-CTS counts rounded down"):
            each = own // t
        common = max(d - t * each, 0)
        if self.bad("common part not adjusted"):
            common = int(d * p["common_fraction"])
        parts = [self.top(sum(stack), common, max(level))]
        u, _, v = parts[0]
        for x, z in zip(stack, level, strict=False):
            rest = x - u @ (u.T @ x)
            if self.bad("projected on both sides"):
                rest = rest - (rest @ v) @ v.T
            if self.bad("projected on the right only"):
                rest = x - (x @ v) @ v.T
            parts.append(self.top(x if self.bad("no residual") else rest, each, z))
        if self.bad("common part left out"):
            parts = parts[1:]
        s = np.concatenate([q[1] for q in parts])
        if not len(s):
            return np.zeros(stack[0].shape)
        value = s.mean() if not self.bad("mean of the common values only") else parts[0][1].mean()
        return (
            value
            * self.orthogonal(np.hstack([q[0] for q in parts]))
            @ self.orthogonal(np.hstack([q[2] for q in parts])).T
        )

    def drm(self, p, stack, level, w):
        if (p["direction"] == "vertical") != self.bad("the other direction"):
            flip = (
                {**p, "direction": "horizontal"}
                if not self.bad("the other direction")
                else {**p, "direction": "vertical"}
            )
            return self.drm_rows(flip, [x.T for x in stack], level, w).T
        return self.drm_rows(p, stack, level, w)

    def drm_rows(self, p, stack, level, w):
        if p["drop"] == 0 and self.bad("drop 0 skips all"):
            return sum(stack) / len(stack)
        u, s, _ = self.svd(np.hstack(stack))
        cut = 0.2 if self.bad("rank cut too high") else p["rank_cut"]
        u = u[:, s > cut * max(s, default=0)]
        rows = [u.T @ x for x in stack]
        unit = []
        for r, z in zip(rows, level, strict=False):
            n = np.array([self.size(x) for x in r])
            n = np.where(n > z, n, np.inf)
            if self.bad("zero rows divided"):
                with np.errstate(all="ignore"):
                    unit.append(r / np.array([self.size(x) for x in r])[:, None])
                continue
            if self.bad("columns normalised"):
                c = np.array([self.size(x) for x in r.T])
                unit.append(r / np.where(c > z, c, np.inf))
                continue
            unit.append(r if self.bad("not renormalised") else r / n[:, None])
        whole = np.abs(np.stack(unit))
        i = whole.size - round(whole.size * (1 - p["drop"]))
        edge = np.sort(whole, axis=None)[i - 1] if i >= 1 else 0.0
        if self.bad("threshold per task in DRM"):
            edge = np.array([np.sort(x, axis=None)[max(round(x.size * p["drop"]) - 1, 0)] for x in whole])[
                :, None, None
            ]
        kept = (whole >= edge) & (np.abs(np.stack(rows)) > np.array(level)[:, None, None])
        back = np.stack(unit if self.bad("singular values not multiplied back") else rows)
        stacked = np.where(kept, back, 0.0)
        total = stacked.sum(0)
        g = np.where(np.abs(total) > max(level), np.sign(total), 0)
        g = np.where(g == 0, np.sign(g.sum()), g)
        ok = (stacked * g > 0) if not self.bad("no election in DRM") else stacked != 0
        out = (np.where(ok, stacked, 0.0) * np.array(w)[:, None, None]).sum(0)
        by = len(stack) if self.bad("divided by T in DRM") else np.maximum(ok.sum(0), 1)
        return u @ (out / by)

    # ---- a case ---------------------------------------------------------------------------------------------------
    def __call__(self, case):
        self.case_size = case.shape[-1] * case.shape[-2]
        if self.bad("inputs scaled in place"):
            for b, _, s in case.updates:
                b *= np.asarray(s, dtype=b.dtype)
            case.updates[:] = [(b, a, 1.0) for b, a, _ in case.updates]
        if self.bad("masks compounded over calls") and case.masks is not None:
            rng = np.random.default_rng(len(self.memory))
            self.memory[len(self.memory)] = 0
            old = self.memory.setdefault(case.name, case.masks)
            self.memory[case.name] = old & (rng.random(old.shape) < 0.9)
            case.masks[...] = old
        if self.bad("results added up over calls"):
            key = (case.config, case.space, case.family)
            self.memory[key] = self.memory.get(key, 0) + 1
        if case.updates[0][0].ndim == 3:
            layers = [[(b[i], a[i], s) for b, a, s in case.updates] for i in range(len(case.updates[0][0]))]
            if self.bad("one threshold for the whole model") and case.method == "ties" and case.space == "full":
                out = self.whole_model(case, layers)
            elif self.bad("first layer of a batch for all"):
                out = np.stack([self.layer(case, layers[0])] * len(layers))
            elif self.bad("layers of a batch in reverse"):
                out = np.stack([self.layer(case, x, i) for i, x in enumerate(layers[::-1])])
            else:
                out = np.stack([self.layer(case, x, i) for i, x in enumerate(layers)])
        else:
            out = self.layer(case, case.updates)
        return self.finish(case, out)

    def whole_model(self, case, layers):
        stack = [np.hstack([s * b[i] @ a[i] for i in range(len(layers))]) for b, a, s in case.updates]
        level = [1e-14] * len(stack)
        joint = self.ties(case.params["ties"], stack, level, case.params["ties"]["weights"])
        return np.stack(np.split(joint, len(layers), axis=1))

    def finish(self, case, out):
        if self.bad("result transposed"):
            return np.swapaxes(out, -1, -2)
        if self.bad("result negated"):
            return -out
        if self.bad("result divided by T"):
            return out / len(case.updates)
        if self.bad("result in single precision"):
            with np.errstate(over="ignore", under="ignore"):
                return out.astype(np.float32)
        if self.bad("truncated to the largest rank") and out.ndim == 2:
            k = max(max(b.shape[1] for b, _, _ in case.updates), 1)
            u, s, vt = self.svd(out)
            return (u[:, :k] * s[:k]) @ vt[:k]
        if self.bad("result flattened"):
            return out.ravel()
        if self.bad("results added up over calls"):
            return out * self.memory[(case.config, case.space, case.family)]
        return out
