"""coremerge merge: which modules, by what names, with settings that differ between them; what was trained beside."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

import coremerge_ref as cm
from coremerge_ref.adapters import load
from coremerge_ref.testing import THRESHOLD, ratio

Run = Callable[..., Any]
Refused = Callable[..., str]


def merged(method: Any, layer: str, weights: list[float] | None, adapters: list[str]) -> np.ndarray:
    updates = [load(path)[layer] for path in adapters]
    return cm.merge_adapters({layer: updates}, method, weights=weights, out_dtype="float64")[layer].to_dense()


def close(got: np.ndarray, want: np.ndarray) -> bool:
    return ratio(got, want, float(np.linalg.norm(want)), 2.0**-52) < THRESHOLD


def test_settings_by_module_in_yaml(run: Run, adapters: list[str]) -> None:
    settings = {
        "adapters": adapters,
        "output": "out",
        "dtype": "float64",
        "method": [{"match": "head", "value": "ta"}, {"match": "*", "value": "ties"}],
        "set": {"ties": {"density": [{"match": r"layers\.0", "value": 0.5}], "elect": "count"}},
        "weights": [{"match": r"layers\.(1[0-9]?)\.", "values": [1, 0.5, 2]}],
    }
    Path("merge.yaml").write_text(yaml.safe_dump(settings))
    result = run("merge", "--config", "merge.yaml")
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    assert result.stdout.startswith("merged 3 adapters, 3 layers, ta, ties")
    got = {layer: update.to_dense() for layer, update in load("out").items()}
    ties = cm.Ties(elect="count")
    assert close(got["head"], merged("ta", "head", None, adapters))
    assert close(got["layers.0.q"], merged(cm.Ties(density=0.5, elect="count"), "layers.0.q", None, adapters))
    assert close(got["layers.1.q"], merged(ties, "layers.1.q", [1, 0.5, 2], adapters))
    assert run("verify", "out").exit_code == 0
    assert run("merge", "--config", "out/coremerge.json", "-o", "two").exit_code == 0
    files = [(Path(folder) / "adapter_model.safetensors").read_bytes() for folder in ("out", "two")]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weights": [{"match": "q", "values": [1]}]}, ["weights", "3"]),
        ({"weights": [{"match": "q"}]}, ["values"]),
        ({"weights": [{"match": "q", "values": [1, 2, 3], "more": 1}]}, ["more"]),
        ({"weights": [1, {"match": "q", "values": [1, 2, 3]}, 3]}, ["match"]),
        ({"weights": [{"match": "(", "values": [1, 2, 3]}]}, ["'('", "regular expression"]),
        ({"method": [{"match": "q", "value": "nope"}]}, ["'nope'"]),
        ({"method": [{"match": "q"}]}, ["value"]),
        ({"method": [{"match": "q", "value": "ta"}], "set": {"iso": {"x": 1}}}, ["iso"]),
        ({"set": {"tsv": {"k": [{"match": "q", "value": "many"}]}}}, ["tsv.k"]),
        ({"set": {"tsv": {"q": [{"match": "q", "value": 1}]}}}, ["tsv.q"]),
        ({"set": {"ties": {"density": [{"match": "q", "value": 1}]}}}, ["ties"]),
        ({"method": [{"match": "q", "value": "ties"}], "space": "full"}, ["--rank", "--dense"]),
    ],
)
def test_rules_that_are_none(settings: dict[str, Any], words: list[str], refused: Refused, adapters: list[str]) -> None:
    Path("merge.yaml").write_text(yaml.safe_dump({"adapters": adapters, "output": "out", **settings}))
    line = refused("merge", "--config", "merge.yaml")
    assert all(word in line for word in words), line


def test_include_and_exclude(run: Run, refused: Refused, adapters: list[str]) -> None:
    result = run("merge", *adapters, "-o", "out", "--include", "layers.*", "--exclude", "layers.1.*")
    assert result.stderr == "note: 2 of 3 modules were left out (--include, --exclude)\n"
    assert list(load("out")) == ["layers.0.q"]
    assert "'head'" in refused("merge", *adapters, "-o", "no", "--include", "nothing")
    assert "regular expression" in refused("merge", *adapters, "-o", "no", "--exclude", "a(")


def test_rename_and_allow_missing(run: Run, refused: Refused, adapters: list[str]) -> None:
    path = Path("b/adapter_model.safetensors")
    save_file({n.replace("layers", "story").replace("head", "top"): t for n, t in load_file(path).items()}, path)
    line = refused("merge", "a", "b", "-o", "out")
    assert all(word in line for word in ("share no module", "--rename", "--allow-missing"))
    assert run("merge", "a", "b", "-o", "out", "--rename", "^story=layers", "--rename", "top=head").exit_code == 0
    assert len(load("out")) == 3
    result = run("merge", "a", "b", "-o", "apart", "--allow-missing")
    assert "6 of 6 layers are not in every adapter" in result.stderr
    assert len(load("apart")) == 6
    assert "OLD=NEW" in refused("merge", "a", "b", "-o", "no", "--rename", "story")


def test_ragged(run: Run, adapters: list[str]) -> None:
    for name, words in (("even", []), ("ragged", ["--ragged"])):
        assert run("merge", "a", "b", "-o", name, "--method", "ta", "--space", "core", *words).exit_code == 0
    assert {update.rank for update in load("even").values()} == {4}
    assert {update.rank for update in load("ragged").values()} == {3, 4}
    assert json.loads(Path("ragged/adapter_config.json").read_text())["rank_pattern"] == {"^head": 3}


def test_others(run: Run, refused: Refused, adapters: list[str]) -> None:
    path = Path("b/adapter_model.safetensors")
    save_file({**load_file(path), "base_model.model.score.weight": np.ones((2, 3), np.float32)}, path)
    assert "--others" in refused("merge", *adapters, "-o", "out")
    result = run("merge", *adapters, "-o", "out", "--others", "mean")
    assert "score.weight" in result.stderr
    assert "base_model.model.score.weight" in load_file("out/adapter_model.safetensors")
    assert "'best'" in refused("merge", *adapters, "-o", "no", "--others", "best")


def test_the_help_says_what_a_weight_of_zero_is(run: Run) -> None:
    text = " ".join(run("merge", "--help").stdout.replace("│", " ").split())
    assert "0 is not leaving it out" in text


def test_a_record_is_no_other_json(refused: Refused, adapters: list[str]) -> None:
    Path("x.json").write_text("[]")
    assert "object" in refused("merge", "--config", "x.json", "-o", "out")
    Path("x.json").write_text('{"recipe": null}')
    assert "recipe" in refused("merge", "--config", "x.json", "-o", "out")
