"""coremerge explain on the adapters that ship with the package."""

import json
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
    assert "relative gap between the last entry kept and the first one cut" in result.stdout
    assert "arithmetic in float64" in result.stdout


def test_many_layers_are_a_table_and_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "spectra.svg"
    result = explained("--method", "iso", "--layer", "blocks.1", "--weights", "1,0.5,-1", "--plot", str(picture))
    assert result.exit_code == 0, result.output
    assert "6 layers" in result.stdout
    assert picture.read_text().startswith("<?xml")


def test_null_vectors_are_named() -> None:
    words = ("--method", "iso", "--set", "iso.support=size", "--space", "full", "--layer", "blocks.0.q", "--json")
    result = explained(*words)
    made = json.loads(result.stdout)
    assert made["verdict"] == "ill-posed"
    assert "the last that takes part" in made["reason"]


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
