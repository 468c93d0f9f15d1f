"""Recompute every expected value with the definition: ``python -m coremerge_ref.conformance.solving [--jobs N]``."""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from .configs import UNSCALED
from .model.arithmetic import signed
from .precision import FLOAT64, PRECISIONS, Precision, as_precision
from .questions import DATA, FORMAT, SAFETY, Case, input_cases, merge_of, norm, pack_inputs, sha256

COARSE = 2.0**-6  # an answer that is known less well tells right from wrong no more


def layers(case: Case) -> list[list[tuple[np.ndarray, np.ndarray, float]]]:
    """The case's updates, layer by layer of its batch."""
    if case.updates[0][0].ndim == 2:
        return [case.updates]
    count = case.updates[0][0].shape[0]
    return [[(b[i], a[i], s) for b, a, s in case.updates] for i in range(count)]


def exact_products(case: Case, precision: Precision) -> bool:
    """Whether every scale · B · A comes out exactly in this arithmetic, so that thresholds and signs in the full space
    are decided."""
    dtype = np.dtype(precision.name)
    for b, a, s in case.updates:
        wide = [x.astype(np.longdouble) for x in (b, a)]
        with np.errstate(over="ignore", under="ignore"):
            narrow = [x.astype(dtype) for x in (b, a)]
            product = dtype.type(s) * narrow[0] @ narrow[1]
        exact = np.longdouble(s) * wide[0] @ wide[1]
        if any((x != y).any() for x, y in zip(narrow, wide, strict=True)) or (product != exact).any():
            return False
    return True


def solve(
    case: Case, exact_entries: bool | None = None, precision: str | Precision = FLOAT64
) -> tuple[np.ndarray, dict[str, Any]]:  # fmt: skip
    """Expected (…, m, n) and what is known of its conditioning. ``exact_entries``: whether entries in the full space
    are free of rounding; found out where None. The record's ``asked`` is False where an answer cannot be judged: more
    is open than can be checked, or rounding leaves less than two digits."""
    from .definition import conditioning, merge_model_exactly, stages
    from .definition.table import TABLE

    precision = as_precision(precision)
    if exact_entries is None:
        exact_entries = not any(TABLE[stage].draws for stage in stages(case.method)) and exact_products(case, precision)
    space, scaled = ("knots", False) if case.space == UNSCALED else (case.space, True)
    model = merge_model_exactly(
        layers(case), case.method, case.params, space, masks=case.masks, scaled=scaled, eps=precision.eps
    )
    conditions = [conditioning(exact, eps=precision.eps, exact_entries=exact_entries) for exact in model]
    expected = model[0].array if case.updates[0][0].ndim == 2 else np.stack([exact.array for exact in model])
    first, reasons = conditions[0], sorted({r for c in conditions for r in c.reasons})
    record: dict[str, Any] = {
        "bound": math.hypot(*(c.bound for c in conditions)),
        "scale": max(c.scale for c in conditions),
        "live": list(model[0].frames.live),
        "reasons": reasons,
    }
    freedom = first.freedom if len(model) == 1 else ""
    if reasons:
        record["freedom"] = freedom
    if first.options and freedom == "entries":
        record["entries"] = entries(first.options, model[0])
    coarse = SAFETY * precision.eps * record["bound"] > COARSE * norm(expected) > 0
    most_are_open = "entries" in record and 2 * len(first.options) > math.prod(record["entries"]["shape"])
    record["asked"] = (not reasons or bool(freedom)) and not coarse and not most_are_open
    return expected, record


def entries(options: dict[tuple[int, int], list[float]], exact: Any) -> dict[str, Any]:
    """The undecided entries by flat index, with their possible values, in frames whose signs are fixed."""
    from mpmath import mp

    from .definition import DIGITS
    from .definition.linalg import product, to_float64
    from .definition.table import TABLE

    u, v = exact.frames.u, exact.frames.v
    for state in exact.states:
        if (frame_of := TABLE[state.stage].frame) is None:
            continue
        with mp.workdps(DIGITS):  # as the walk does: the signs are arbitrary, but the same
            inner, where = frame_of(state)
            outer = u if where == "left" else v
            outer = inner if outer is None else product(outer, inner)
        # a method that decomposes the columns is the mirror image: so are the places of its options
        u, v = (outer, v) if where == "left" else (u, outer)
        options = options if where == "left" else {(j, i): xs for (i, j), xs in options.items()}
    signs = [np.ones(size) for size in (exact.frames.m, exact.frames.n)]
    shape = [exact.frames.m, exact.frames.n]
    for side, frame in enumerate((u, v)):
        if frame is not None:
            found = to_float64(frame)
            signs[side], shape[side] = np.sum(signed(found) * found, 0), frame.cols
    possible = {
        str(i * shape[1] + j): sorted(float(np.sign(signs[0][i] * signs[1][j])) * x for x in options[i, j])
        for i, j in sorted(options)
    }
    return {"shape": shape, "values": possible}


def solve_in_all(case: Case) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    """The solution in every precision that can hold the case's numbers."""
    return {
        name: solve(at, precision=precision)
        for name, precision in PRECISIONS.items()
        if (at := case.at(precision)) is not None
    }


def generate(jobs: int = 2) -> None:
    """Write the data files that ship with the package."""
    cases = list(input_cases())
    with ProcessPoolExecutor(jobs) as pool:
        write(cases, list(pool.map(solve_in_all, cases, chunksize=4)))


def write(cases: list[Case], solved: list[dict[str, tuple[np.ndarray, dict[str, Any]]]]) -> None:
    """The data files of solved cases: inputs, expected values by merge, and an index with hashes of all of them."""
    from safetensors.numpy import save

    values: dict[str, dict[bytes, int]] = defaultdict(dict)  # file -> expected value -> offset: each is stored once
    records = {}
    for case, solutions in zip(cases, solved, strict=True):
        stored = values[merge_of(case.method)]
        facts = {}
        for name, (expected, record) in solutions.items():
            at = stored.setdefault(expected.tobytes(), sum(map(len, stored)) // 8)
            facts[name] = {"at": at, **record}
        if not facts["float64"].pop("asked"):
            continue
        single = facts.get("float32", {"asked": False})
        changed = {k: v for k, v in single.items() if v != facts["float64"].get(k) and k != "asked"}
        changed |= {k: type(v)() for k, v in facts["float64"].items() if k in ("freedom",) and k not in single}
        records[case.name] = {**facts["float64"]}
        if not single.pop("asked"):
            records[case.name]["float32"] = None
        elif changed:
            records[case.name]["float32"] = changed
    DATA.mkdir(exist_ok=True)
    (DATA / "inputs.safetensors").write_bytes(save(pack_inputs()))
    for name, stored in values.items():
        flat = np.frombuffer(b"".join(stored), dtype=np.float64)
        (DATA / f"{name}.safetensors").write_bytes(save({"expected": flat}))
    hashes = {path.name: sha256(path) for path in sorted(DATA.glob("*.safetensors"))}
    lines = [f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'))}" for k, v in records.items()]
    head = f'{{"format":{json.dumps(FORMAT)},"sha256":{json.dumps(hashes)},"cases":{{\n'
    (DATA / "cases.json").write_text(head + ",\n".join(lines) + "\n}}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    generate(parser.parse_args().jobs)
