"""Does the basis matter? TIES and DARE+TIES in random rotations of the core space, each as good a basis as the paper's.

The space is the same, every basis of it is lossless, and the settings are those found best in the paper's basis: what
moves is the basis alone.
"""

import time

import numpy as np
import torch

import coremerge_ref as cm
from benchmarks.accuracy import merged, methods
from benchmarks.accuracy.evaluate import Judge
from benchmarks.accuracy.study import Study, chosen
from coremerge_ref.core.frames import Frames

TESTED = 200  # test examples a task, the same for every basis
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


def run(study: Study, count: int = 100) -> None:
    """Test accuracy of each method in `count` random bases, the paper's and Tucker's."""
    judge = unit = None
    for setting, row in study.settled(methods.ELEMENTWISE):
        done = {r["which"] for r in study.known("basis") if r["method"] == setting.method}
        wanted = [which for which in ("paper", "tucker", *map(str, range(count))) if which not in done]
        if not wanted:
            continue
        if judge is None:
            judge = Judge.of(study.features, study.layers, TESTED)
            inside, unit = cores(study.layers), study.unit
            if not study.known("basis"):
                study.add("basis", {"method": "single", "test": judge.single["test"]})
        start = time.perf_counter()
        values, size = chosen(row), float(row["size"])
        pipeline = setting.pipeline(values, study.seed)
        for which in wanted:
            if which == "tucker":
                update = merged.merge(study.layers, pipeline, merged.SPACES["core-tucker"])
            else:
                update = rotated(inside, pipeline, None if which == "paper" else int(which))
            alpha = size * unit / merged.norm(update)
            test = judge.accuracies(update, alpha, "test")
            record = {"method": setting.method, "space": "core", "setting": values, "alpha": alpha, "size": size}
            study.add("basis", record | {"test": test}, which)
        study.say(f"{setting.key}: {len(wanted)} bases", start)
