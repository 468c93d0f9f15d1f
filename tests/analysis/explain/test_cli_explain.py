"""coremerge explain on the adapters that ship with the package."""

import json
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import coremerge_ref as cm
from coremerge_ref.adapters import memory
from coremerge_ref.cli import build

FOLDERS = sorted(str(path) for path in (Path(cm.__file__).parent / "demo" / "data" / "adapters").iterdir())[:3]


def explained(*options: str) -> object:
    return CliRunner().invoke(build(), ["explain", *FOLDERS, *options])


def test_json_holds_a_verdict_for_every_layer() -> None:
    made = json.loads(explained("--json", "--layer", "blocks.0").stdout)
    assert made["verdict"] == "well-posed"
    assert all(name.startswith("blocks.0.") for name in made["layers"])
    layer = made["layers"]["blocks.0.q"]
    assert layer["method"] == "tsv"
    assert layer["input_bound"]["dtype"] == "float16"


def test_one_layer_is_shown_in_full() -> None:
    result = explained("--layer", "blocks.0.q", "--method", "ties", "--space", "full", "--set", "ties.density=0.5")
    assert result.exit_code == 0, result.output
    assert "entry kept and" in " ".join(result.stdout.split())
    assert "arithmetic in float64" in " ".join(result.stdout.split())


def test_many_layers_are_a_table_and_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "spectra.svg"
    result = explained("--method", "iso", "--layer", "blocks.1", "--weights", "1,0.5,-1", "--plot", str(picture))
    assert result.exit_code == 0, result.output
    assert "6 well-posed" in result.stdout
    assert f"note: {picture}: the spectra of 6 layers" in result.stderr
    assert picture.read_text().startswith("<?xml")


def test_null_vectors_are_named() -> None:
    words = ("--method", "iso", "--set", "iso.support=size", "--space", "full", "--layer", "blocks.0.q", "--json")
    result = explained(*words)
    made = json.loads(result.stdout)
    assert made["verdict"] == "ill-posed"
    assert "the last that takes part" in made["reason"]
    assert made["layers"]["blocks.0.q"]["bound"]["remedy"]


def test_the_headline_tells_both_readings_and_layers_are_grouped() -> None:
    result = explained("--method", "tsv")
    first = result.stdout.splitlines()[0]
    assert re.match("arithmetic: [0-9]+ well-posed · your float16 inputs: [0-9]+ ", first)
    assert "blocks.*.q" in result.stdout
    assert "What to do: keep the adapters in a wider dtype than float16" in result.stdout.replace("\n", " ")
    every = explained("--method", "tsv", "--all").stdout
    assert "*" not in every.split("What to do")[0]
    assert "blocks.1.q" in every


@pytest.mark.parametrize(("verdict", "code"), [("ill-posed", 1), ("sensitive", 1)])
def test_a_verdict_can_fail_the_command(verdict: str, code: int) -> None:
    bad = ("--method", "iso", "--set", "iso.support=size", "--space", "full", "--layer", "blocks.0.q")
    assert explained(*bad, "--fail-on", verdict).exit_code == code
    assert explained("--layer", "blocks.0.q", "--fail-on", verdict).exit_code == 0
    assert "--fail-on" in explained("--fail-on", "nothing").stderr


def test_layers_explained_together_are_explained_as_alone() -> None:
    together = json.loads(explained("--json", "--method", "ties").stdout)["layers"]
    for name in ("blocks.0.q", "blocks.1.v"):
        alone = json.loads(explained("--json", "--method", "ties", "--layer", name).stdout)["layers"][name]
        for reading in ("bound", "input_bound"):
            assert together[name][reading]["verdict"] == alone[reading]["verdict"]
            assert together[name][reading]["condition"] == pytest.approx(alone[reading]["condition"], rel=1e-6)
        assert [s["kept"] for s in together[name]["spectra"]] == [s["kept"] for s in alone["spectra"]]


def test_full_size_matrices_are_told_of_and_refused_where_there_is_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 1e4)
    words = ("--method", "ties", "--space", "full", "--layer", "blocks.0.q")
    result = explained(*words)
    assert result.exit_code == 2
    assert "full-size matrices of layer 'blocks.0.q'" in result.stderr
    assert "--ignore-memory" in result.stderr
    assert explained(*words, "--ignore-memory").exit_code == 0
    assert explained("--method", "ties", "--layer", "blocks.0.q").exit_code == 0  # core space needs none
    monkeypatch.setattr(memory, "free_memory", lambda: 1e9)
    monkeypatch.setattr(memory, "TOLD", 1e4)
    assert "of 1.0 GB that are free" in explained(*words).stderr


@pytest.mark.parametrize("method", ["ties", "drm", "della+sce", "dare+ties+iso"])
def test_what_explain_is_said_to_need_is_what_it_takes(method: str) -> None:
    rng, side = np.random.default_rng(0), 200
    pairs = [(rng.standard_normal((side, 2)), rng.standard_normal((2, side))) for _ in range(2)]
    said = memory.MARGIN * memory.measured(lambda updates: cm.explain(updates, method, "full"), 2)
    tracemalloc.start()
    cm.explain(pairs, method, "full")
    taken = tracemalloc.get_traced_memory()[1] / (8 * side**2)
    tracemalloc.stop()
    assert taken <= said <= 2 * taken


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layer", "nowhere"], "--layer"),
        (["--weights", "1,x,2"], "weights"),
        (["--plot", "spectra.nothing"], ".png or .svg"),
        (
            ["--method", "ties", "--space", "full", "--layer", "blocks.0.q", "--plot", "spectra.png"],
            "no singular values",
        ),
        (["--method", "nothing"], "stages among"),
        (["--basis", "tucker", "--space", "full"], "core"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(options: list[str], message: str) -> None:
    result = explained(*options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
