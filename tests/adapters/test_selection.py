"""Which modules are merged, and settings that differ between modules."""

import json
import re
from pathlib import Path
from typing import Any

import adapter_folders as folders
import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.adapters import PerModule, load, merge_folders
from coremerge_ref.adapters.selection import Combined, chosen, matcher, per_module
from coremerge_ref.errors import ParameterError
from coremerge_ref.testing import THRESHOLD, ratio

PATHS = ["layers.1.q_proj", "layers.10.q_proj", "layers.1.mlp.up", "model.lm_head", "lm_head"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("q_proj", PATHS[:2]),
        ("lm_head", PATHS[3:]),
        ("layers.1.*", [PATHS[0], PATHS[2]]),
        ("layers.?.q_proj", [PATHS[0]]),
        ("layers.[0-9]*", PATHS[:3]),
        ("model.*", [PATHS[3]]),
        ("*", PATHS),
        ("proj", []),
        (r"layers\.1\.", [PATHS[0], PATHS[2]]),
        (r"layers\.(1[0-9])\.", [PATHS[1]]),
        ("^lm_head$", [PATHS[4]]),
        ("q_proj|up", PATHS[:3]),
    ],
)
def test_globs_match_names_and_expressions_are_found_within(pattern: str, expected: list[str]) -> None:
    assert [path for path in PATHS if matcher(pattern).search(path)] == expected
    assert [path for path in PATHS if chosen(path, [pattern], [])] == expected
    assert [path for path in PATHS if not chosen(path, [], [pattern])] == expected


def test_what_is_excluded_is_not_included() -> None:
    assert [path for path in PATHS if chosen(path, ["layers.*"], ["q_proj"])] == [PATHS[2]]


@pytest.mark.parametrize("pattern", ["", "(", "a{2,1}", "\\"])
def test_patterns_that_are_none(pattern: str, tmp_path: Path) -> None:
    for arguments in ({"include": [pattern]}, {"exclude": [pattern]}, {"weights": [{"match": pattern, "values": [1]}]}):
        with pytest.raises(ParameterError, match="pattern"):
            merge_folders([tmp_path / "gone"], tmp_path / "out", "ta", **arguments)


def test_modules_left_out_are_left_out(tmp_path: Path) -> None:
    paths = [folders.write(tmp_path / str(i), folders.lora_tensors(i)) for i in range(2)]
    (note,) = merge_folders(paths, tmp_path / "out", "ta", exclude=["conv"]).notes
    assert note == "1 of 3 modules were left out (--include, --exclude)"
    assert load(tmp_path / "out").keys() == {"layers.0.q", "emb"}
    with pytest.raises(ParameterError, match=r"include, exclude.*'conv'"):
        merge_folders(paths, tmp_path / "none", "ta", include=["nothing"])


def test_adapters_of_unlike_heads_are_merged_without_them(tmp_path: Path) -> None:
    wide = {**folders.lora_tensors(1), f"{folders.PREFIX}layers.0.q.lora_A.weight": np.ones((2, 6), np.float32)}
    paths = [folders.write(tmp_path / "a"), folders.write(tmp_path / "b", wide)]
    with pytest.raises(cm.AdapterError, match=r"--exclude"):
        merge_folders(paths, tmp_path / "out", "ta")
    assert merge_folders(paths, tmp_path / "out", "ta", exclude=["q"]).layers == 2


def test_weights_and_methods_by_module(tmp_path: Path) -> None:
    paths = [folders.write(tmp_path / str(i), folders.lora_tensors(i)) for i in range(2)]
    weights = [{"match": "conv", "values": [1, -1]}, {"match": "conv|emb", "values": [2, 0.5]}]
    methods = [{"match": "emb", "value": cm.Ties(density=0.5)}, {"match": r"q$", "value": "ta"}]
    report = merge_folders(paths, tmp_path / "out", methods, weights=weights, dtype="float64")
    assert report.method == "ties, ta, tsv"
    held = [load(path) for path in paths]
    expected: dict[str, tuple[Any, list[float]]] = {
        "conv": ("tsv", [1, -1]), "emb": (cm.Ties(density=0.5), [2, 0.5]), "layers.0.q": ("ta", [1, 1]),
    }  # fmt: skip
    for path, (method, given) in expected.items():
        updates = [one[path] for one in held]
        want = cm.merge_adapters({path: updates}, method, weights=given, out_dtype="float64")[path].to_dense()
        size = sum(float(np.linalg.norm(update.to_dense())) for update in updates)
        assert ratio(load(tmp_path / "out")[path].to_dense(), want, size, 2.0**-52) < THRESHOLD


def test_thresholds_of_a_model_are_those_of_the_modules_with_that_method(tmp_path: Path) -> None:
    paths = [folders.write(tmp_path / str(i), folders.lora_tensors(i)) for i in range(2)]
    whole = cm.Ties(scope="model", density=0.3)
    merge_folders(paths, tmp_path / "out", [{"match": "conv|q", "value": whole}], dtype="float64")
    held = [load(path) for path in paths]
    layers = {path: [one[path] for one in held] for path in ("conv", "layers.0.q")}
    want = cm.merge_adapters(layers, whole, out_dtype="float64")
    for path in layers:
        got = load(tmp_path / "out")[path].to_dense()
        assert ratio(got, want[path].to_dense(), float(np.linalg.norm(got)), 2.0**-52) < THRESHOLD


@pytest.mark.parametrize(
    "given",
    [
        [{"match": "q"}],
        [{"match": "q", "value": [1]}],
        [{"match": 3, "values": [1]}],
        [{"match": "q", "values": [1]}, 2],
    ],
)
def test_rules_that_are_none(given: Any, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="match: PATTERN, values"):
        merge_folders([folders.write(tmp_path / "a")], tmp_path / "out", "ta", weights=given)


@pytest.mark.parametrize("values", [[1, 2], ["x"], [float("nan")], [True], "1"])
def test_weights_of_rules_are_checked(values: Any, tmp_path: Path) -> None:
    rules = [{"match": "q", "values": values}]
    with pytest.raises(ParameterError, match="weights"):
        merge_folders([folders.write(tmp_path / "a")], tmp_path / "out", "ta", weights=rules)


def test_values_combine_and_are_made_once() -> None:
    made = []

    def make(*parts: str) -> str:
        made.append(parts)
        return "+".join(parts)

    a, b = per_module([{"match": "q", "value": "Q"}], "value", "-"), PerModule((("x.*", "X"),), "=")
    both = Combined(make, (a, b))
    assert [both.of(path) for path in ("q", "k", "x.q", "q")] == ["Q+=", "-+=", "Q+X", "Q+="]
    assert sorted(both.values()) == sorted({"Q+=", "-+=", "Q+X", "-+X"})
    assert len(made) == len(set(made))


def test_the_record_has_the_rules(tmp_path: Path) -> None:
    rules = [{"match": "q", "values": [0.5]}]
    merge_folders([folders.write(tmp_path / "a")], tmp_path / "out", "ta", weights=rules, include=["q", "emb"])
    record = json.loads((tmp_path / "out" / "coremerge.json").read_text())
    assert (record["weights_by_module"], record["include"], record["recipe"]["weights"]) == (rules, ["q", "emb"], rules)
    assert re.fullmatch("[0-9a-f]{64}", record["outputs"]["adapter_model.safetensors"])


def test_what_cannot_be_read_can_be_left_out(tmp_path: Path) -> None:
    grouped = {**folders.lora_tensors(), f"{folders.PREFIX}conv.lora_B.weight": np.ones((4, 1, 1, 1), np.float32)}
    paths = [folders.write(tmp_path / str(i), grouped) for i in range(2)]
    with pytest.raises(cm.AdapterError, match=r"grouped.*--exclude"):
        merge_folders(paths, tmp_path / "out", "ta")
    (note,) = merge_folders(paths, tmp_path / "out", "ta", exclude=["conv"]).notes
    assert note == "1 of 3 modules were left out (--include, --exclude)"
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["target_modules"] == r"emb|layers\.0\.q"
