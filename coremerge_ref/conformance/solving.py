"""Recompute every expected value with the definition: ``python -m coremerge_ref.conformance.solving [--jobs N]``."""

from __future__ import annotations

import argparse
import json
import math
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from .configs import LATTICE
from .questions import DATA, FORMAT, Case, input_cases, pack_inputs, sha256


def layers(case: Case) -> list[list[tuple[np.ndarray, np.ndarray, float]]]:
    """The case's updates, layer by layer of its batch."""
    if case.updates[0][0].ndim == 2:
        return [case.updates]
    count = case.updates[0][0].shape[0]
    return [[(b[i], a[i], s) for b, a, s in case.updates] for i in range(count)]


def solve(case: Case, exact_entries: bool | None = None) -> tuple[np.ndarray, dict[str, Any]]:
    """Expected (…, m, n) and what is known of its conditioning. The products of the shipped families are exact in
    float64, so thresholds and signs in the full space are decided; ``exact_entries`` False for other inputs."""
    if exact_entries is None:
        exact_entries = "dare" not in case.method or case.family in LATTICE
    from .definition import conditioning, merge_exactly

    arrays, facts = [], []
    for updates in layers(case):
        exact = merge_exactly(updates, case.method, case.params, case.space, masks=case.masks)
        c = conditioning(exact, exact_entries=exact_entries)
        arrays.append(exact.array)
        facts.append((c, exact.frames.live))
    first, live = facts[0]
    record: dict[str, Any] = {
        "bound": math.hypot(*(c.bound for c, _ in facts)),
        "scale": max(c.scale for c, _ in facts),
        "live": list(live),
        "reasons": sorted({r for c, _ in facts for r in c.reasons}),
    }
    if first.undecided is not None and len(facts) == 1:
        record["undecided"] = np.flatnonzero(first.undecided).tolist()
    return (arrays[0] if len(arrays) == 1 else np.stack(arrays)), record


def generate(jobs: int = 2) -> None:
    """Write the data files that ship with the package."""
    from safetensors.numpy import save

    cases = list(input_cases())
    with ProcessPoolExecutor(jobs) as pool:
        solved = list(pool.map(solve, cases, chunksize=8))
    tensors = pack_inputs()
    tensors["expected"] = np.concatenate([x.ravel() for x, _ in solved])
    DATA.mkdir(exist_ok=True)
    (DATA / "cases.safetensors").write_bytes(save(tensors))
    records = {c.name: record for c, (_, record) in zip(cases, solved, strict=True)}
    lines = [f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'))}" for k, v in records.items()]
    head = f'{{"format":{json.dumps(FORMAT)},"sha256":"{sha256(DATA / "cases.safetensors")}","cases":{{\n'
    (DATA / "cases.json").write_text(head + ",\n".join(lines) + "\n}}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    generate(parser.parse_args().jobs)
