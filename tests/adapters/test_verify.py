"""What verify looks at: files against their hashes, where inputs are now, and how far two merges are apart."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adapter_folders as folders
import numpy as np
import pytest
from safetensors.numpy import save_file
from said import parts

from coremerge_ref.adapters.verify import (
    Verification,
    checked_files,
    checked_input,
    compared,
    found_at,
    read_record,
)
from coremerge_ref.errors import AdapterError

GOOD: dict[str, Any] = {"inputs": [{"path": "a", "sha256": {"x": "1"}}], "outputs": {"y": "2"}, "recipe": None}


@pytest.mark.parametrize(
    ("outputs", "inputs", "again", "ok"),
    [
        (["same"], ["same"], "identical", True),
        (["same", "same"], [], "equal to rounding", True),
        (["same"], ["same"], "different", False),
        (["same"], ["same"], None, False),
        (["same", "changed"], ["same"], "identical", False),
        (["missing"], ["same"], "identical", False),
        (["same"], ["same", "missing"], "identical", False),
        (["same"], ["changed"], "identical", False),
    ],
)
def test_all_must_be_as_recorded(outputs: list[str], inputs: list[str], again: str | None, ok: bool) -> None:
    found = Verification(dict(zip("abc", outputs, strict=False)), dict(zip("def", inputs, strict=False)), again, 2.5)
    assert found.ok is ok
    assert found.as_json() == {
        "ok": ok, "outputs": found.outputs, "inputs": found.inputs, "again": again, "ratio": 2.5,
    }  # fmt: skip


def test_a_record_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "coremerge.json"
    path.write_text(json.dumps(GOOD))
    assert read_record(path) == GOOD


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**GOOD, "converted": {}}, "… of a merge … converted: do that again"),
        ({**GOOD, "extracted": {}}, "… of a merge … extracted: do that again"),
        ({**GOOD, "inputs": 3}, "… hashes … none … merge again"),
        ({**GOOD, "inputs": ["a"]}, "… hashes … none … merge again"),
        ({**GOOD, "inputs": [{"path": 3, "sha256": {"x": "1"}}]}, "… hashes … none … merge again"),
        ({**GOOD, "inputs": [*GOOD["inputs"], {"path": "a"}]}, "… hashes … none … merge again"),
        ({**GOOD, "inputs": [{"path": "a", "sha256": {"x": 1}}]}, "… hashes … none … merge again"),
        ({**GOOD, "inputs": [{"path": "a", "sha256": {"../x": "1"}}]}, "… hashes … none … merge again"),
        ({**GOOD, "outputs": {}}, "… hashes … none … merge again"),
        ({**GOOD, "outputs": None}, "… hashes … none … merge again"),
        ({**GOOD, "outputs": {"y": "2", "..": "2"}}, "… hashes … none … merge again"),
        ({**GOOD, "outputs": {".": "2"}}, "… hashes … none … merge again"),
        ({**GOOD, "outputs": {"": "2"}}, "… hashes … none … merge again"),
        ({**GOOD, "outputs": {"/y": "2"}}, "… hashes … none … merge again"),
        ({**GOOD, "outputs": {"y": None}}, "… hashes … none … merge again"),
    ],
    ids=str,
)
def test_records_of_no_merge(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "coremerge.json"
    path.write_text(json.dumps(content))
    with pytest.raises(AdapterError, match=parts(f"'{path}': {message}")):
        read_record(path)


def test_a_folder_without_a_record_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "coremerge.json"):
        with pytest.raises(AdapterError, match=parts(f"'{path}': … record … coremerge merge")):
            read_record(path)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_each_file_is_the_same_changed_or_missing(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("one")
    (tmp_path / "y").write_text("two")
    (tmp_path / "folder").mkdir()
    hashes = {"y": digest("one"), "x": digest("one"), "z": digest("one"), "folder": digest("")}
    expected = {"y": "changed", "x": "same", "z": "missing", "folder": "missing"}
    assert checked_files(tmp_path, hashes) == {str(tmp_path / name): said for name, said in expected.items()}


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_text("one")

    def refuse(*_: object) -> str:
        raise PermissionError(13, "Not for you", "elsewhere")

    monkeypatch.setattr("coremerge_ref.adapters.record.sha256", refuse)
    with pytest.raises(AdapterError, match=parts(f"'{tmp_path / 'x'}': … Not for you")):
        checked_files(tmp_path, {"x": ""})


def test_where_inputs_are_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    for name in ("here/a", "here/a0", "merges/b", "merges/out", "merges/a"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    merged = tmp_path / "merges" / "out"
    assert found_at("a", None, merged) == Path("a")
    assert found_at("b", None, merged) == tmp_path / "merges" / "b"
    assert found_at("a", Path("root"), merged) == Path("root/a")
    assert found_at(str(tmp_path / "here/a"), None, merged) == tmp_path / "here/a"
    assert found_at("a@a0", None, merged) == Path("a@a0")
    for gone in ("a@b", "b@a", "b@b0", "@a"):
        assert found_at(gone, None, merged) == tmp_path / "merges" / gone


def test_inputs_on_the_hub_are_asked_for_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def located(*given: Any) -> tuple[Path, str]:
        asked.append(given)
        return tmp_path / "cache", "called"

    monkeypatch.setattr("coremerge_ref.adapters.verify.located", located)
    assert found_at("hf://org/name@1", Path("root"), tmp_path) == tmp_path / "cache"
    [(path, wanted)] = asked
    assert path == "hf://org/name@1"
    assert "adapter_config.json" in wanted


def test_files_of_an_input_are_beside_it_in_it_or_in_two_folders(tmp_path: Path) -> None:
    for folder, text in (("t", "one"), ("i", "two"), ("odd@name", "one")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_text(text)
    x, y = str(tmp_path / "t" / "x"), str(tmp_path / "i" / "x")
    same, other = {"x": digest("one")}, {"x": digest("two")}
    assert checked_input(tmp_path / "t", same) == {x: "same"}
    assert checked_input(tmp_path / "t" / "x", same) == {x: "same"}
    assert checked_input(tmp_path / "t" / "x", other) == {x: "changed"}
    assert checked_input(tmp_path / "odd@name", same) == {str(tmp_path / "odd@name" / "x"): "same"}
    both = {**same, "@x": digest("two"), "@z": ""}
    assert checked_input(Path(f"{tmp_path / 't'}@{tmp_path / 'i'}"), both) == {
        x: "same", y: "same", str(tmp_path / "i" / "z"): "missing",
    }  # fmt: skip


EPS = {"float16": 2.0**-10, "float32": 2.0**-23, "float64": 2.0**-52}
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
Make = Callable[[Path, dict[str, np.ndarray]], dict[str, str]]


def hashed(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def adapter(folder: Path, changes: dict[str, np.ndarray]) -> dict[str, str]:
    """An adapter whose ΔW are these, by module: B = ΔW, A = 1, and alpha twice the rank's."""
    tensors = {}
    for name, change in changes.items():
        n = change.shape[1]
        tensors[f"{folders.PREFIX}{name}.lora_A.weight"] = np.eye(n, dtype=change.dtype)
        tensors[f"{folders.PREFIX}{name}.lora_B.weight"] = change
    folders.write(folder, tensors, r=n, lora_alpha=2 * n, target_modules=list(changes))
    return hashed(folder)


def one_file(folder: Path, changes: dict[str, np.ndarray]) -> dict[str, str]:
    folder.mkdir()
    tensors = {f"lora_unet_{n}.lora_up.weight": change for n, change in changes.items()}
    tensors |= {f"lora_unet_{n}.lora_down.weight": np.eye(c.shape[1], dtype=c.dtype) for n, c in changes.items()}
    save_file(tensors, folder / "out.safetensors")
    return hashed(folder)


def matrices(folder: Path, changes: dict[str, np.ndarray]) -> dict[str, str]:
    folder.mkdir()
    for i, (name, change) in enumerate(changes.items()):
        save_file({f"{name}.weight": change}, folder / f"delta_weights-{i}.safetensors")
    (folder / "delta_weights.safetensors.index.json").write_text("{}")
    return hashed(folder)


def changes(dtype: str, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal((4, 3)).astype(dtype) for name in "qk"}


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("make", [adapter, one_file, matrices])
def test_how_far_two_merges_are_apart_in_eps_of_the_output(make: Make, dtype: str, tmp_path: Path) -> None:
    """One layer is off by 32 eps, or 64, of its size."""
    right = changes(dtype)
    names = make(tmp_path / "right", right)
    make(tmp_path / "same", right)
    assert compared(tmp_path / "right", tmp_path / "same", names) == ("identical", 0.0)
    for steps, verdict in ((32, "equal to rounding"), (64, "different")):
        off = right | {"k": (right["k"] * (1 + steps * EPS[dtype])).astype(dtype)}
        make(tmp_path / str(steps), off)
        said, ratio = compared(tmp_path / "right", tmp_path / str(steps), names)
        difference = np.linalg.norm(off["k"].astype("float64") - right["k"].astype("float64"))
        assert ratio == pytest.approx(difference / np.linalg.norm(right["k"].astype("float64")) / EPS[dtype], rel=0.02)
        assert said == verdict


@pytest.mark.parametrize("make", [adapter, one_file, matrices])
def test_other_layers_or_shapes_are_another_result(make: Make, tmp_path: Path) -> None:
    right = changes("float32")
    names = make(tmp_path / "right", right)
    others: dict[str, dict[str, np.ndarray]] = {
        "names": {"q": right["q"], "v": right["k"]},
        "shapes": right | {"k": right["k"][:3]},
    }
    for what, off in others.items():
        make(tmp_path / what, off)
        assert compared(tmp_path / "right", tmp_path / what, names) == ("different", float("inf"))


def test_nothing_and_something_are_infinitely_far_apart(tmp_path: Path) -> None:
    right = changes("float32")
    names = matrices(tmp_path / "right", right | {"k": 0 * right["k"]})
    matrices(tmp_path / "again", right)
    assert compared(tmp_path / "right", tmp_path / "again", names) == ("different", float("inf"))
    # a zero of the other sign has another hash
    matrices(tmp_path / "zeros", right | {"k": -(0 * right["k"])})
    assert compared(tmp_path / "right", tmp_path / "zeros", names) == ("equal to rounding", 0.0)


def test_factors_are_compared_by_their_product(tmp_path: Path) -> None:
    """B by two and A by a half: other bytes, and the same update; its scaling counts as well."""
    right = changes("float64")
    names = adapter(tmp_path / "right", right)
    tensors = {}
    for name, change in right.items():
        tensors[f"{folders.PREFIX}{name}.lora_A.weight"] = np.eye(3) / 2
        tensors[f"{folders.PREFIX}{name}.lora_B.weight"] = change * 2
    folders.write(tmp_path / "turned", tensors, r=3, lora_alpha=6, target_modules=["q", "k"])
    said, ratio = compared(tmp_path / "right", tmp_path / "turned", names)
    assert (said, ratio < 8) == ("equal to rounding", True)
    folders.write(tmp_path / "halved", tensors, r=3, lora_alpha=3, target_modules=["q", "k"])
    said, ratio = compared(tmp_path / "right", tmp_path / "halved", names)
    assert (said, ratio) == ("different", pytest.approx(0.5 / 2.0**-52))
