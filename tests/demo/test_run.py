"""The claims the demo makes, on what it returned and wrote."""

import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import needs_torch  # noqa: F401
import numpy as np
import pytest
import torch
from peft import PeftModel
from rich.console import Console

from benchmarks.demo_adapters.model import Encoder
from coremerge_ref import merge_adapters
from coremerge_ref.cli.merge import merge
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.stages import ORTHOGONAL
from coremerge_ref.demo import run
from coremerge_ref.demo.beside_peft import beside_peft
from coremerge_ref.demo.compare import METHODS, SPACES, distance
from coremerge_ref.demo.data import TEST, VALIDATION, Data
from coremerge_ref.demo.evaluate import accuracies, adapted, mean
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
    best = {m: f"{lines(result, m)[-1]['alpha']:.2g}" for m in METHODS}  # in core space, which is last
    quoted = "0.35 for ta, 0.5 for tsv, 0.61 for tsv+iso and 1.9 for ties+iso"
    assert quoted in told
    assert [(a, best[m]) for a, m in re.findall(r"([\d.]+) for ([a-z+]+)", quoted) if a != best[m]] == []
    page = (Path(__file__).parents[2] / "docs" / "tutorials" / "alpha.md").read_text(encoding="utf-8")
    for alpha, methods in re.findall(r"([\d.]+) for ((?:`[a-z+]+`(?: and )?)+)", page):
        assert {best[m] for m in re.findall(r"`([a-z+]+)`", methods)} == {alpha}
    assert COARSE[0] < min(map(float, best.values())) <= max(map(float, best.values())) < COARSE[-1]


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
    assert result["base"]["accuracy"][task] < result["single"]["accuracy"][task]


@pytest.mark.parametrize("method", METHODS)
def test_merging_helps_and_does_not_reach_the_single_adapters(result: dict[str, Any], method: str):
    for line in lines(result, method):
        assert result["base"]["average"] < line["average"] < result["single"]["average"]


def test_merging_works(result: dict[str, Any]):
    """What the report says, as the paper and the study have it."""
    core = {line["method"]: line["normalised"] for line in result["merged"] if line["space"] == "core"}
    assert core[result["chosen"]["method"]] > 0.8
    assert core["tsv+iso"] > core["ta"]
    assert min(core[method] for method in ("tsv", "iso", "tsv+iso")) > core["ta"]


def test_task_arithmetic_is_the_same_in_every_space(result: dict[str, Any], data: Data):
    """And is the plain sum: full space's own short cut through core space is not taken at its word."""
    first, *others = lines(result, "ta")
    plain = {layer: sum(update.to_dense() for update in updates) for layer, updates in data.updates.items()}
    assert accuracies(data, adapted(data.base, plain, first["alpha"]), TEST) == first["accuracy"]
    for line in others:
        assert line["accuracy"] == first["accuracy"]
        assert line["same_as"] == "full"
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


@pytest.mark.parametrize("method", [method for method in METHODS if Pipeline.parse(method).equivariance == ORTHOGONAL])
def test_methods_that_commute_with_rotations_give_one_update(result: dict[str, Any], method: str):
    """But CART's rank is a share of the space's size here, so that full space, which is larger, has another."""
    _, knots, core = lines(result, method)
    assert (knots["same_as"], core["same_as"]) == ((None, "knots") if method == "cart" else ("full", "full"))


def test_chosen_on_validation_images_alone(result: dict[str, Any]):
    core = [line for line in result["merged"] if line["space"] == "core"]
    best = max(core, key=lambda line: line["validation"])
    assert result["chosen"] == {key: best[key] for key in ("method", "space", "alpha")}


def test_alpha_is_a_local_maximum_on_validation_images(result: dict[str, Any], data: Data):
    line = lines(result, "tsv+iso")[-1]
    deltas = {name: update.to_dense() for name, update in merge_adapters(data.updates, "tsv+iso").items()}
    scores = [
        mean(accuracies(data, adapted(data.base, deltas, line["alpha"] * factor), VALIDATION))
        for factor in (2**-0.5, 1, 2**0.5)
    ]
    assert scores[1] == line["validation"] == max(scores)


def test_written_folder_loads_in_peft(result: dict[str, Any], folder: Path, data: Data, torch_base: Encoder):
    """And names every sign as the table says."""
    chosen = result["chosen"]
    (line,) = [line for line in lines(result, chosen["method"]) if line["space"] == chosen["space"]]
    model = PeftModel.from_pretrained(torch_base, folder).double().eval()
    for task in TASKS:
        with torch.no_grad():
            vectors = model(torch.from_numpy(seen(task, data.images(task, TEST)).astype(np.float64))).numpy()
        named = (vectors @ data.class_vectors[task].T).argmax(1)
        assert (named == data.labels(task, TEST)).mean() == line["accuracy"][task]


def test_existing_output_is_refused_before_the_work(result: dict[str, Any], folder: Path):
    before = sorted((file.name, file.stat().st_mtime_ns) for file in folder.iterdir())
    with pytest.raises(AdapterError, match="force"):
        run(folder)
    assert sorted((file.name, file.stat().st_mtime_ns) for file in folder.iterdir()) == before


def test_beside_peft_both_merge_the_same_layers(data: Data):
    found = beside_peft(data)
    assert found is not None
    assert found["method"] == "ties"
    assert set(found["seconds"]) == {"coremerge_ref", "peft"}


@pytest.mark.parametrize("missing", ["torch", "peft"])
def test_without_peft_nothing_is_said_of_it(
    result: dict[str, Any], data: Data, monkeypatch: pytest.MonkeyPatch, missing: str
):
    monkeypatch.setattr("coremerge_ref.demo.beside_peft.find_spec", lambda name: None if name == missing else object())
    assert beside_peft(data) is None
    assert "PEFT." not in printed(result | {"beside_peft": None})


def printed(result: dict[str, Any], width: int = 80, plot: bool = False, encoding: str = "utf-8") -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    show(result, Console(file=out, width=width), plot)
    out.flush()
    return out.buffer.getvalue().decode(encoding)


def test_report_prints_in_ascii(result: dict[str, Any]):
    assert "separate adapters" in printed(result, plot=True, encoding="ascii")


def test_report_fits_a_narrow_terminal_and_marks_the_best(result: dict[str, Any]):
    text = printed(result)
    assert max(len(row.rstrip()) for row in text.splitlines()) <= 80
    (best,) = [row for row in text.splitlines() if "<- best" in row]
    assert best.split()[0] == result["chosen"]["method"]
    assert all(f"\n {method} " in text for method in METHODS)
    assert f"coremerge verify {shlex.quote(result['written']['output'])}" in text.replace("\n", " ")


def test_bars_are_as_long_as_the_numbers(result: dict[str, Any]):
    rows = [row for row in printed(result, plot=True).splitlines() if "|" in row]
    assert [row.split()[0] for row in rows] == ["base", "averaging", *METHODS]
    for row in rows:
        assert row.count("#") == pytest.approx(int(row.split()[-1]) / 2, abs=0.5)
    assert "#" not in printed(result)


def test_the_readme_shows_this(result: dict[str, Any]):
    """All but the times, which are left out there, and how large the rounding was."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    shown = printed(result | {"beside_peft": None, "written": {"output": "coremerge-demo"}})
    rows = [row.rstrip() for row in shown.strip("\n").splitlines()]
    expected = "```text\n$ coremerge demo\n{}\n```".format("\n".join(rows))
    assert rounded(expected) in rounded(readme)


def rounded(text: str) -> str:
    return re.sub(r"\de-1\d", "1e-15", text)
