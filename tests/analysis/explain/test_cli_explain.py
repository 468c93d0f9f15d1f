"""coremerge explain on the adapters that ship with the package."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import coremerge_ref
from coremerge_ref.cli import build

FOLDERS = sorted(str(path) for path in (Path(coremerge_ref.__file__).parent / "demo" / "data" / "adapters").iterdir())[
    :3
]


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layer", "nowhere"], "--layer"),
        (["--weights", "1,x,2"], "--weights"),
        (["--method", "nothing"], "stages among"),
        (["--basis", "tucker", "--space", "full"], "core"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(options: list[str], message: str) -> None:
    result = explained(*options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
