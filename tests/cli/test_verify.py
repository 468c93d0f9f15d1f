"""coremerge verify, coremerge.json as settings, and the model card."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from coremerge_ref.adapters import merge_folders

Run = Callable[..., Any]
Refused = Callable[..., str]
Write = Callable[..., Path]
CARD, RECORD, WEIGHTS, CONFIG = "README.md", "coremerge.json", "adapter_model.safetensors", "adapter_config.json"

SETTINGS: list[list[str]] = [
    [],
    ["--method", "dare+ties+iso", "--set", "dare.seed=7", "--set", "ties.density=0.5", "--weights", "-1,0.5,2"],
    ["--method", "ta", "--space", "knots", "--rank", "1", "--dtype", "bfloat16", "--scale", "0.25"],
    ["--basis", "tucker", "--exclude", "head", "--include", "layers.*", "--ragged"],
    ["--method", "ties", "--space", "full", "--dense"],
]


@pytest.mark.parametrize("words", SETTINGS)
def test_a_record_is_verified_and_repeats_its_merge(words: list[str], run: Run, adapters: list[str]) -> None:
    assert run("merge", *adapters, "-o", "out", *words).exit_code == 0
    result = run("verify", "out")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "out: as recorded; 3 inputs; merging again gives the recorded result, bit for bit\n"
    assert run("merge", "--config", f"out/{RECORD}", "-o", "again").exit_code == 0
    for name in {*os.listdir("out")} - {RECORD, CARD}:
        assert (Path("again") / name).read_bytes() == (Path("out") / name).read_bytes()
    recipes = [json.loads((Path(folder) / RECORD).read_text())["recipe"] for folder in ("out", "again")]
    assert {**recipes[0], "output": "again"} == recipes[1]


def test_a_merge_in_python_is_verified_too(run: Run, adapters: list[str]) -> None:
    by_module = [{"match": "layers.1.*", "values": [1, 0.5, 0]}]
    merge_folders(adapters, "out", "dare+ties", "knots", weights=by_module, scale=0.5, exclude=["head"])
    assert json.loads(run("verify", "out", "--json").stdout)["again"] == "identical"
    merge_folders(adapters, "function", lambda M: M.max(axis=0), rank=1)
    result = run("verify", "function")
    assert result.exit_code == 2
    assert "recipe" in result.stderr


def test_another_order_of_sums_is_equal_to_rounding(run: Run, adapters: list[str]) -> None:
    assert run("merge", *adapters, "-o", "out", "--method", "ta").exit_code == 0
    path = Path("out") / WEIGHTS
    tensors = {name: tensor * (1 + 2.0**-22) for name, tensor in load_file(path).items()}
    save_file({name: tensor.astype(np.float32) for name, tensor in tensors.items()}, path)
    record = json.loads((Path("out") / RECORD).read_text())
    record["outputs"][WEIGHTS] = hashlib.sha256(path.read_bytes()).hexdigest()
    (Path("out") / RECORD).write_text(json.dumps(record))
    found = json.loads(run("verify", "out", "--json").stdout)
    assert (found["ok"], found["again"]) == (True, "equal to rounding")
    assert 1 < found["ratio"] < 50


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: (Path("out") / CONFIG).write_text("{}"), [f"out/{CONFIG}: changed"]),
        (lambda: (Path("out") / WEIGHTS).unlink(), [f"out/{WEIGHTS}: missing"]),
        (lambda: (Path("a") / CONFIG).write_text("{}"), [f"a/{CONFIG}: changed", "merging again was not done"]),
        (lambda: os.rename("b", "moved"), [f"b/{WEIGHTS}: missing", "merging again was not done"]),
        (lambda: write_other(), ["changed", "bit for bit"]),
    ],
)
def test_what_is_not_as_recorded_is_said(
    change: Callable[[], Any], words: list[str], run: Run, adapters: list[str]
) -> None:
    assert run("merge", *adapters, "-o", "out").exit_code == 0
    change()
    result = run("verify", "out")
    said = result.stdout + result.stderr
    assert result.exit_code == 1, said
    assert "NOT as recorded" in said
    assert all(word in said for word in words), said
    assert json.loads(run("verify", "out", "--json").stdout)["ok"] is False


def write_other() -> None:
    path = Path("out") / WEIGHTS
    save_file({name: -2 * tensor for name, tensor in load_file(path).items()}, path)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "JSON"),
        ("{}", "hashes"),
        ('{"inputs": 3, "outputs": {"a": "b"}}', "hashes"),
        ('{"inputs": [{"path": "a", "sha256": {"x": "b"}}], "outputs": {"../a": "b"}}', "hashes"),
        ('{"inputs": [{"path": "a", "sha256": {"x": "b"}}], "outputs": {".": "b"}}', "hashes"),
        ('{"inputs": [{"path": "no@b", "sha256": {"": "b"}}], "outputs": {"x": "b"}, "recipe": {}}', "hashes"),
        ('{"inputs": [{"path": "a", "sha256": {"x": "b"}}], "outputs": {"/etc/passwd": "b"}}', "hashes"),
        ('{"inputs": [{"path": "a", "sha256": {"x": "b"}}], "outputs": {"x": "b"}}', "recipe"),
        ('{"inputs": [{"path": "a", "sha256": {"x": "b"}}], "outputs": {"x": "b"}, "recipe": {"rank": "x"}}', "rank"),
        ('{"inputs": [{"path": "a", "sha256": {"x": "b"}}], "outputs": {"x": "b"}, "recipe": {"y": 1}}', "'y'"),
    ],
)
def test_records_that_are_none(content: str, word: str, refused: Refused, run: Run, adapters: list[str]) -> None:
    assert run("merge", *adapters, "-o", "out").exit_code == 0
    (Path("out") / RECORD).write_text(content)
    assert word in refused("verify", "out")


def test_folders_without_a_record(refused: Refused, adapters: list[str]) -> None:
    assert RECORD in refused("verify", "a")
    assert "nothing is there" in refused("verify", "gone")


def test_inputs_elsewhere(run: Run, adapters: list[str]) -> None:
    assert run("merge", *adapters, "-o", "out").exit_code == 0
    Path("elsewhere").mkdir()
    for name in adapters:
        os.rename(name, f"elsewhere/{name}")
    assert run("verify", "out").exit_code == 1
    assert run("verify", "out", "--root", "elsewhere").exit_code == 0


def test_an_input_that_is_not_what_its_record_says_is_refused(refused: Refused, run: Run, adapters: list[str]) -> None:
    assert run("merge", *adapters[:2], "-o", "out").exit_code == 0
    config = json.loads((Path("out") / CONFIG).read_text())
    (Path("out") / CONFIG).write_text(json.dumps({**config, "lora_alpha": 99}))
    line = refused("merge", "out", "c", "-o", "two")
    assert "is not the file that coremerge.json beside it describes" in line
    os.unlink(f"out/{RECORD}")
    assert run("merge", "out", "c", "-o", "two").exit_code == 0


def front_matter(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text().split("---\n")[1])


def test_a_card_says_what_was_merged(run: Run, adapters: list[str]) -> None:
    assert run("merge", *adapters, "-o", "out", "--method", "ties").exit_code == 0
    front = front_matter(Path("out") / CARD)
    assert front == {
        "base_model": "tiny", "base_model_relation": "adapter", "library_name": "peft",
        "tags": ["lora", "merge", "coremerge"],
    }  # fmt: skip
    block = (Path("out") / CARD).read_text().split("```yaml\n")[1].split("```")[0]
    told = yaml.safe_load(block)
    assert (told["method"], told["parameters"]["ties"]["density"]) == ("ties", 0.2)
    assert [each["path"] for each in told["inputs"]] == adapters


def test_a_card_of_ours_is_written_anew_and_anothers_is_kept(run: Run, adapters: list[str]) -> None:
    assert run("merge", *adapters, "-o", "out").exit_code == 0
    assert run("merge", *adapters, "-o", "out", "--force", "--method", "ties").exit_code == 0
    assert "method: ties" in (Path("out") / CARD).read_text()
    (Path("out") / CARD).write_text("my own words")
    assert run("merge", *adapters, "-o", "out", "--force", "--method", "ta").exit_code == 0
    assert (Path("out") / CARD).read_text() == "my own words"


def test_hostile_names_stay_inside_the_cards_blocks(
    run: Run, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "a```\n---\nlicense: mine\x1b[2J"
    write(tmp_path / name, 0, base_model_name_or_path="x\n---\nevil: yes")
    assert run("merge", name, "-o", "out").exit_code == 0
    text = (tmp_path / "out" / CARD).read_text()
    assert front_matter(tmp_path / "out" / CARD).keys() == {"base_model", "base_model_relation", "library_name", "tags"}
    assert "\x1b" not in text
    assert yaml.safe_load(text.split("````yaml\n")[1].split("````")[0])["inputs"][0]["path"] == name


@pytest.mark.parametrize("base", ["/home/me/llama", "./llama", "~/llama"])
def test_local_paths_are_no_base_model_of_a_card(base: str, run: Run, write: Write, tmp_path: Path) -> None:
    path = write(tmp_path / "a", 0, base_model_name_or_path=base)
    assert run("merge", path, "-o", tmp_path / "out").exit_code == 0
    assert "base_model" not in front_matter(tmp_path / "out" / CARD)


def test_single_files_are_verified(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for i in range(2):
        rng = np.random.default_rng(i)
        tensors = {
            f"lora_unet_{name}.{factor}.weight": rng.standard_normal(shape).astype(np.float32)
            for name in "ab"
            for factor, shape in (("lora_down", (2 + i, 5)), ("lora_up", (6, 2 + i)))
        }
        save_file(tensors, f"{i}.safetensors")
    assert run("merge", "0.safetensors", "1.safetensors", "-o", "out.safetensors").exit_code == 0
    assert "bit for bit" in run("verify", "out.safetensors").stdout
    assert run("merge", "--config", "out.coremerge.json", "-o", "two.safetensors").exit_code == 0
    assert Path("two.safetensors").read_bytes() == Path("out.safetensors").read_bytes()
    Path("out.safetensors").write_bytes(Path("0.safetensors").read_bytes())
    assert run("verify", "out.safetensors").exit_code == 1


def test_trained_at_initial_is_verified(
    run: Run, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "trained", 0, init_lora_weights="pissa")
    write(tmp_path / "initial", 1)
    assert run("merge", "trained@initial", "-o", "out", "--method", "ta").exit_code == 0
    result = run("verify", "out")
    assert "bit for bit" in result.stdout, result.output
    config = Path("initial") / CONFIG
    config.write_text(config.read_text() + " ")
    assert run("verify", "out").exit_code == 1
