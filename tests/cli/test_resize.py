"""coremerge resize on the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def test_a_table_of_what_layers_kept_and_one_line(run: Run, adapters: list[str]) -> None:
    result = run("resize", "a", "-o", "out", "--rank", 1)
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert [row[0] for row in rows[1:-1]] == ["head", "layers.*.q"]
    assert rows[2][1] == "2"  # modules that are alike in one line
    assert rows[1][3:5] == ["1", "2"]  # rank 1 of 2
    assert rows[-1][:5] == ["resized", "3", "layers", "into", "out:"]
    assert run("resize", "a", "-o", "each", "--rank", 1, "--all").stdout.count("layers.") == 2


def test_json(run: Run, adapters: list[str]) -> None:
    told = json.loads(run("resize", "a", "-o", "out", "--retain", 0.5, "--json").stdout)
    assert told["layers"].keys() == {"layers.0.q", "layers.1.q", "head"}
    for facts in told["layers"].values():
        assert facts["energy"] >= 0.5
        assert abs(facts["energy"] + facts["error"] ** 2 - 1) < 1e-14
    assert 0 < told["bytes"]
    assert 0 < told["before"]


def test_verify_and_merge_know_what_it_wrote(run: Run, adapters: list[str]) -> None:
    assert run("resize", "a", "-o", "out", "--ratio", 2).exit_code == 0
    assert "bit for bit" in run("verify", "out").stdout
    assert run("merge", "--config", "out/coremerge.json", "-o", "again").exit_code == 0
    assert Path("again/adapter_model.safetensors").read_bytes() == Path("out/adapter_model.safetensors").read_bytes()


def test_a_merge_can_be_cut_so_too(run: Run, adapters: list[str]) -> None:
    Path("merge.yaml").write_text("adapters: [a, b]\noutput: out\nmethod: ta\nrank: {retain: 0.7, rank: 3}\n")
    assert run("merge", "--config", "merge.yaml").exit_code == 0
    layers = json.loads(Path("out/coremerge.json").read_text())["layers"]
    assert all(facts["energy"] >= 0.7 or facts["rank"] == 3 for facts in layers.values())
    Path("merge.yaml").write_text("adapters: [a, b]\noutput: two\nrank: {retain: 2}\n")
    assert "retain: expected a share" in run("merge", "--config", "merge.yaml").stderr


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_picture(ending: str, run: Run, adapters: list[str]) -> None:
    pytest.importorskip("matplotlib")
    assert run("resize", "a", "-o", "out", "--rank", 1, "--plot", f"kept.{ending}").exit_code == 0
    assert Path(f"kept.{ending}").read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "give rank, retain, ratio or cumulative"),
        (["--rank", 0], "rank: expected an integer of at least 1"),
        (["--retain", 2], "retain: expected a share"),
        (["--retain", "nan"], "retain: expected a share"),
        (["--retain", 0.5, "--ratio", 2], "one of retain, ratio, cumulative"),
        (["--rank", 1, "--dtype", "int4"], "dtype"),
        (["--rank", 1, "--plot", "x.txt"], "ending in .png or .svg"),
        (["--rank", 1, "--plot", "a/adapter_config.json"], "plot"),
        (["--rank", 1, "--backend", "abacus"], "backend"),
        (["--rank", 1, "--base", "nowhere"], "nowhere"),
    ],
)
def test_refusals(words: list[Any], told: str, refused: Callable[..., str], adapters: list[str]) -> None:
    assert told in refused("resize", "a", "-o", "out", *words)


def test_places_that_may_not_be_written(refused: Callable[..., str], adapters: list[str]) -> None:
    assert "already exists" in refused("resize", "a", "-o", "b", "--rank", 1)
    assert "is an input" in refused("resize", "a", "-o", "a", "--rank", 1, "--force")
