"""The claims the demo makes, on what it returned and wrote."""

import io
import json
import re
from pathlib import Path
from typing import Any

import needs_torch  # noqa: F401
import numpy as np
import pytest
import torch
from peft import PeftModel
from rich.console import Console

from benchmarks.demo_adapters.model import DigitTransformer
from coremerge_ref import merge_adapters
from coremerge_ref.cli.merge import merge
from coremerge_ref.demo import run
from coremerge_ref.demo.compare import METHODS, SPACES, distance
from coremerge_ref.demo.data import TEST, Data
from coremerge_ref.demo.evaluate import accuracies, adapted
from coremerge_ref.demo.report import show
from coremerge_ref.demo.tasks import TASKS, seen
from coremerge_ref.errors import AdapterError
from coremerge_ref.tuning.sweep import COARSE

EPS = np.finfo(np.float64).eps


def lines(result: dict[str, Any], method: str) -> list[dict[str, Any]]:
    return [line for line in result["merged"] if line["method"] == method]


def rounding(data: Data) -> float:
    """How far rounding alone may take the projection, relative to ΔW_t: 50 eps times the worst condition number.

    A computed frame is within some eps of holding each column of its stack, relative to the whole stack's norm. So task
    t's part is off by ‖B‖ ‖A_t‖ + ‖B_t‖ ‖A‖ with B, A the stacks, which counts relative to ‖ΔW_t‖.
    """
    worst = 0.0
    norm = np.linalg.norm
    for updates in data.updates.values():
        factors = [update.folded(np.float64) for update in updates]
        whole_B, whole_A = norm([norm(B) for B, _ in factors]), norm([norm(A) for _, A in factors])
        worst = max(worst, *((whole_B * norm(A) + norm(B) * whole_A) / norm(B @ A) for B, A in factors))
    return float(50 * worst * EPS)


def test_is_json(result: dict[str, Any]):
    assert json.loads(json.dumps(result, allow_nan=False)).keys() == result.keys()
    assert [(line["method"], line["space"]) for line in result["merged"]] == [(m, s) for m in METHODS for s in SPACES]


def test_help_quotes_the_alphas_that_were_best(result: dict[str, Any]):
    told = " ".join((merge.__doc__ or "").split())
    best = {m: next(line["alpha"] for line in lines(result, m) if line["space"] == "core") for m in METHODS}
    quoted = "0.3 for ta, 0.45 for tsv, 0.7 for tsv+iso and 2.2 for ties+iso"
    assert quoted in told
    assert [(a, best[m]) for a, m in re.findall(r"([\d.]+) for ([a-z+]+)", quoted) if float(a) != best[m]] == []
    page = (Path(__file__).parents[2] / "docs" / "tutorials" / "alpha.md").read_text(encoding="utf-8")
    for alpha, methods in re.findall(r"([\d.]+) for ((?:`[a-z+]+`(?: and )?)+)", page):
        assert {best[m] for m in re.findall(r"`([a-z+]+)`", methods)} == {float(alpha)}
    assert COARSE[0] < min(best.values()) <= max(best.values()) < COARSE[-1]


def test_projection_loses_nothing(result: dict[str, Any], data: Data):
    allowed = rounding(data)
    assert allowed < 1e-11
    assert set(result["lossless"]) == {"knots", "core"}
    assert all(0 <= value < allowed for value in result["lossless"].values())


def test_core_space_is_small(result: dict[str, Any]):
    assert sum(size["layers"] for size in result["sizes"]) == 18
    for size in result["sizes"]:
        assert size["core"] == (32, 32)  # eight adapters of rank 4
        assert size["full"] in ((96, 96), (192, 96), (96, 192))


@pytest.mark.parametrize("task", TASKS)
def test_each_adapter_beats_the_base_model(result: dict[str, Any], task: str):
    assert result["single"]["accuracy"][task] > 0.9
    assert result["base"]["accuracy"][task] < 0.5


@pytest.mark.parametrize("method", METHODS)
def test_merging_helps_and_does_not_reach_the_single_adapters(result: dict[str, Any], method: str):
    for line in lines(result, method):
        assert result["base"]["average"] < line["average"] < result["single"]["average"]


def test_task_arithmetic_is_the_same_in_every_space(result: dict[str, Any], data: Data):
    """And is the plain sum: full space's own short cut through core space is not taken at its word."""
    first, *others = lines(result, "ta")
    plain = {layer: sum(update.to_dense() for update in updates) for layer, updates in data.updates.items()}
    assert accuracies(data, adapted(data.base, plain, first["alpha"]), TEST) == first["accuracy"]
    for line in others:
        assert line["accuracy"] == first["accuracy"]
        assert line["from_full"] < rounding(data)


def test_task_arithmetic_is_the_plain_sum_to_rounding(data: Data):
    wide = {layer: [u.folded(np.float64) for u in updates] for layer, updates in data.updates.items()}
    plain = {layer: sum(B @ A for B, A in factors) for layer, factors in wide.items()}
    for space in SPACES:
        merged = merge_adapters(data.updates, "ta", space, out_dtype="float64")
        assert distance({layer: update.to_dense() for layer, update in merged.items()}, plain) < rounding(data)


def test_basis_dependent_methods_differ_between_spaces(result: dict[str, Any]):
    for method in ("ties", "dare+ties", "ties+iso"):
        assert all(line["from_full"] > 0.1 for line in lines(result, method)[1:])


def test_chosen_on_validation_images_alone(result: dict[str, Any]):
    core = [line for line in result["merged"] if line["space"] == "core"]
    best = max(core, key=lambda line: line["validation"])
    assert result["chosen"] == {key: best[key] for key in ("method", "space", "alpha")}
    assert best["alpha"] in result["alphas"]


def test_written_folder_loads_in_peft(result: dict[str, Any], folder: Path, data: Data, torch_base: DigitTransformer):
    """And names every digit as the table says."""
    chosen = result["chosen"]
    (line,) = [line for line in lines(result, chosen["method"]) if line["space"] == chosen["space"]]
    model = PeftModel.from_pretrained(torch_base, folder).double().eval()
    for task in TASKS:
        with torch.no_grad():
            named = model(torch.from_numpy(seen(task, data.images(TEST)).astype(np.float64))).numpy().argmax(1)
        assert (named == data.labels(TEST)).mean() == line["accuracy"][task]


def test_existing_output_is_refused_before_the_work(result: dict[str, Any], folder: Path):
    before = sorted((file.name, file.stat().st_mtime_ns) for file in folder.iterdir())
    with pytest.raises(AdapterError, match="force"):
        run(folder)
    assert sorted((file.name, file.stat().st_mtime_ns) for file in folder.iterdir()) == before


def test_tables_print_in_ascii(result: dict[str, Any]):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    show(result, Console(file=out, width=140))
    out.flush()
    assert b"single adapters" in out.buffer.getvalue()


@pytest.mark.parametrize(("width", "per_task"), [(80, False), (140, True)])
def test_tables_fit_the_terminal(result: dict[str, Any], width: int, per_task: bool):
    out = io.StringIO()
    show(result, Console(file=out, width=width))
    text = out.getvalue()
    assert max(len(row.rstrip()) for row in text.splitlines()) <= width
    assert "…" not in text
    assert ("slanted" in text) == per_task
    assert all(method in text for method in METHODS)
