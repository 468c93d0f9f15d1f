"""Does the basis matter? TIES and DARE+TIES in random rotations of the core space, each as good a basis as the paper's.

The space is the same, every basis of it is lossless, and the settings are those found best in the paper's basis: what
moves is the basis alone.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import coremerge_ref as cm
from benchmarks.accuracy import merged, methods, store, study
from coremerge_ref.core.frames import Frames

TESTED = 100  # test examples a task, the same for every basis
Inside = dict[str, tuple[Frames, np.ndarray]]  # layer → frames and core matrices (T, p, q)


def cores(layers: merged.Layers) -> Inside:
    """Reference bases and core matrices of every layer."""
    found = {}
    for name, updates in layers.items():
        frames = cm.reference_bases(updates)
        found[name] = (frames, np.asarray(cm.project(updates, frames)))
    return found


def rotation(size: int, rng: np.random.Generator) -> np.ndarray:
    """A random orthogonal matrix (size, size), uniform (Haar)."""
    Q, R = np.linalg.qr(rng.standard_normal((size, size)))
    return Q * np.sign(np.diagonal(R))


def rotated(inside: Inside, pipeline: cm.Pipeline, seed: int | None) -> merged.Update:
    """U Qᵀ 𝓜({Q M_t P}) Pᵀ Vᵀ: the merge in frames turned by random Q and P; seed None leaves them as they are."""
    rng = np.random.default_rng(seed)
    turned, back = {}, {}
    for name, (frames, M) in inside.items():
        p, q = M.shape[-2:]
        Q, P = (np.eye(p), np.eye(q)) if seed is None else (rotation(p, rng), rotation(q, rng))
        turned[name] = [cm.LowRankUpdate(Q @ M_t @ P, np.eye(q)) for M_t in M]
        back[name] = (frames.U @ Q.T, P.T @ frames.V.T)
    found = cm.merge_adapters(turned, pipeline, space="full")
    return {name: torch.from_numpy(U @ found[name].to_dense() @ Vh).float() for name, (U, Vh) in back.items()}


def run(cache: Path, recipe: str, seed: int, names: list[str], count: int = 100) -> dict[str, Any]:
    """Test accuracy of each method in `count` random bases, in a file that a later run goes on with."""
    out = cache / "results" / f"{recipe}-seed{seed}-basis.json"
    result: dict[str, Any] = store.once(out, dict)
    searched = store.once(study.path(cache, recipe, seed), dict)["records"]
    if all(len(result.get(method, {}).get("rotations", [])) >= count for method in methods.ELEMENTWISE):
        return result
    layers, judge, facts = study.prepare(cache, recipe, seed, names, TESTED)
    inside = cores(layers)
    unit = merged.norm(merged.merge(layers, "ta", "core"))
    for setting in methods.settings():
        if setting.method not in methods.ELEMENTWISE:
            continue
        rows = {row["space"]: row for row in searched if row["method"] == setting.method}
        values, size = rows["core"]["values"], rows["core"]["size"]
        kept = result.setdefault(setting.method, {"values": values, "size": size, "rotations": []})
        pipeline = setting.pipeline(values, seed)

        def measured(update: merged.Update, size: float = size) -> dict[str, float]:
            return judge.normalized(update, size * unit / merged.norm(update), "test")

        kept["paper"] = measured(rotated(inside, pipeline, None))
        kept["tucker"] = measured(merged.merge(layers, pipeline, merged.SPACES["core-tucker"]))
        start = time.perf_counter()
        while len(kept["rotations"]) < count:
            kept["rotations"].append(measured(rotated(inside, pipeline, len(kept["rotations"]))))
            if len(kept["rotations"]) % 10 == 0:
                store.write(out, result | facts)
                took = time.perf_counter() - start
                print(
                    f"{recipe} seed {seed} {setting.method}: {len(kept['rotations'])} rotations ({took:.0f} s)",
                    flush=True,
                )
    store.write(out, result | facts)
    return result
