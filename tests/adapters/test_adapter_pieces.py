"""Properties of the pieces: pattern matching, the tensor writer, batches, what reaches the output, backends."""

import json
from pathlib import Path
from typing import Any

import adapter_folders as folders
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file

import coremerge_ref as cm
from coremerge_ref.adapters import Adapter, merge_folders, output, patterns, plan, writer
from coremerge_ref.adapters import layer as layers_module
from coremerge_ref.errors import AdapterError

names = st.lists(st.sampled_from(["a", "b", "layers", "1", "10", "q_proj", "q"]), min_size=1, max_size=4).map(".".join)
keys = names | names.map(lambda n: "^" + n) | names.map(lambda n: ".*" + n) | names.map(lambda n: n.replace(".", r"\."))


@given(st.dictionaries(keys, st.integers(1, 9), max_size=4), names)
def test_patterns_match_as_in_peft(pattern: dict[str, int], name: str) -> None:
    get_pattern_key = pytest.importorskip("peft.utils.other").get_pattern_key
    assert patterns.matched(pattern, name, 0) == pattern.get(get_pattern_key(pattern.keys(), name), 0)


@given(names, names)
def test_a_written_pattern_matches_one_module_alone(name: str, other: str) -> None:
    get_pattern_key = pytest.importorskip("peft.utils.other").get_pattern_key
    key = patterns.exact_pattern(name)
    assert (get_pattern_key([key], other) == key) == (name == other)


dtypes = st.sampled_from([np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple)


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.tuples(shapes, dtypes), max_size=6))
def test_written_tensors_are_read_back_by_safetensors(specs: dict[str, Any]) -> None:
    import tempfile

    rng = np.random.default_rng(0)
    tensors = {name: rng.standard_normal(shape).astype(dtype) for name, (shape, dtype) in specs.items()}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "x.safetensors"
        made = writer.TensorWriter(path, list(tensors), 5)
        for name, array in tensors.items():
            made.add(name, array)
        made.close()
        got = load_file(path)
        with safe_open(path, framework="numpy") as file:
            assert file.metadata() == {"format": "pt"}
    assert got.keys() == tensors.keys()
    for name, array in tensors.items():
        assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape)
        assert got[name].tobytes() == array.tobytes()


@given(st.integers(0, 3), st.floats(-200, 200), st.floats(-200, 200))
def test_balancing_is_exact_and_balances(rank: int, b: float, a: float) -> None:
    rng = np.random.default_rng(rank)
    B, A = rng.standard_normal((4, rank)) * 2.0**b, rng.standard_normal((rank, 5)) * 2.0**a
    left, right = output.balanced(B, A)
    assert np.array_equal(left @ right, B @ A) or np.linalg.norm(left @ right - B @ A) <= 1e-15 * np.linalg.norm(B @ A)
    for column, row in zip(left.T, right, strict=True):
        assert 0.24 <= np.max(np.abs(column)) / np.max(np.abs(row)) <= 4.1


def test_null_directions_are_left_out_and_zero_keeps_one() -> None:
    B, A = np.array([[1.0, 0.0, 2.0]]), np.array([[1.0], [1.0], [0.0]])
    left, right = output.without_null(B, A)
    assert (left.tolist(), right.tolist()) == ([[1.0]], [[1.0]])
    left, right = output.without_null(0 * B, A)
    assert (left.shape, right.shape, left.any()) == ((1, 1), (1, 1), False)


def test_batches_hold_equal_layers_and_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {}
    for i in range(10):
        tensors[f"{folders.PREFIX}l.{i}.lora_A.weight"] = np.ones((2, 8 if i % 2 else 6), np.float32)
        tensors[f"{folders.PREFIX}l.{i}.lora_B.weight"] = np.ones((4, 2), np.float32)
    layers = plan.planned([Adapter(folders.write(tmp_path / "a", tensors))]).layers
    monkeypatch.setattr(layers_module, "BATCH_BYTES", 3 * 8 * (4 + 8) * 2)
    cut = list(layers_module.batches(layers, dense=False, whole_model=False))
    assert sorted(layer.path for batch in cut for layer in batch) == sorted(layer.path for layer in layers)
    assert all(len({layer.shape for layer in batch}) == 1 for batch in cut)
    assert max(map(len, cut)) == 3
    assert [len(batch) for batch in layers_module.batches(layers, dense=False, whole_model=True)] == [10]


@pytest.mark.parametrize(
    ("backend", "dtype"), [("torch", "float32"), ("torch", "bfloat16"), ("jax", "bfloat16"), ("cupy", "bfloat16")]
)
def test_backends_agree(backend: str, dtype: str, tmp_path: Path) -> None:
    pytest.importorskip(backend)
    cast = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16}[dtype]
    paths = []
    for i in range(2):  # one layer: JAX compiles every operation anew for every shape
        tensors = {n: t.astype(cast) for n, t in folders.lora_tensors(i).items() if ".q." in n}
        paths.append(folders.write(tmp_path / str(i), tensors))
    outputs = {}
    for name in ("numpy", backend):
        merge_folders(paths, tmp_path / name, "dare+ties+iso", backend=name, dtype="float64")
        outputs[name] = {path: update.to_dense() for path, update in updates(tmp_path / name).items()}
    for path, want in outputs["numpy"].items():
        assert np.linalg.norm(outputs[backend][path] - want) <= 1e-11 * np.linalg.norm(want)


def updates(folder: Path) -> dict[str, cm.LowRankUpdate]:
    adapter = Adapter(folder)
    return {adapter.modules[name].path: update for name, update in adapter.load(adapter.modules).items()}


def test_thresholds_of_the_whole_model_look_at_all_layers(tmp_path: Path) -> None:
    paths = [folders.write(tmp_path / str(i), folders.lora_tensors(i)) for i in range(3)]
    method = cm.Ties(scope="model")
    merge_folders(paths, tmp_path / "out", method, dtype="float64")
    held = [updates(path) for path in paths]
    want = cm.merge_adapters({path: [one[path] for one in held] for path in held[0]}, method, out_dtype="float64")
    apart = cm.merge_adapters({path: [one[path] for one in held] for path in held[0]}, cm.Ties(), out_dtype="float64")
    for path, got in updates(tmp_path / "out").items():
        assert np.linalg.norm(got.to_dense() - want[path].to_dense()) <= 1e-12 * np.linalg.norm(want[path].to_dense())
    assert any(np.linalg.norm(want[p].to_dense() - apart[p].to_dense()) > 1e-3 for p in want)


def test_a_lora_beside_it_says_how_wide_a_vera_module_is(tmp_path: Path) -> None:
    vera = folders.vera_tensors()
    vera[f"{folders.PREFIX}k.vera_lambda_b"] = np.ones(3, np.float32)
    lora = {}
    for name, m, n in (("q", 4, 3), ("k", 3, 5)):
        lora[f"{folders.PREFIX}{name}.lora_A.weight"] = np.ones((2, n), np.float32)
        lora[f"{folders.PREFIX}{name}.lora_B.weight"] = np.ones((m, 2), np.float32)
    paths = [folders.write(tmp_path / "vera", vera, peft_type="VERA"), folders.write(tmp_path / "lora", lora)]
    report = merge_folders(paths, tmp_path / "out", "ta", dtype="float64")
    assert report.notes == []
    got = updates(tmp_path / "out")["q"].to_dense()
    b, d = vera[f"{folders.PREFIX}q.vera_lambda_b"], vera[f"{folders.PREFIX}q.vera_lambda_d"]
    A, B = vera["base_model.vera_A"].astype(float), vera["base_model.vera_B"].astype(float)
    want = np.diag(b) @ B[:4] @ np.diag(d) @ A[:, :3] + 4 / 2 * np.ones((4, 2)) @ np.ones((2, 3))
    assert np.linalg.norm(got - want) <= 1e-13 * np.linalg.norm(want)


def test_a_vera_width_that_was_assumed_is_said(tmp_path: Path) -> None:
    report = merge_folders([folders.write(tmp_path / "a", folders.vera_tensors(), peft_type="VERA")], tmp_path / "out")
    assert len(report.notes) == 1
    assert "--base" in report.notes[0]


def test_embedding_weights_saved_by_peft_are_handed_on(tmp_path: Path) -> None:
    name = f"{folders.PREFIX}emb.base_layer.weight"
    base = np.arange(21, dtype=np.float64).reshape(7, 3)
    paths = [folders.write(tmp_path / str(i), {**folders.lora_tensors(i), name: base}) for i in range(2)]
    merge_folders([*paths, folders.write(tmp_path / "without")], tmp_path / "out", "ta")
    assert np.array_equal(load_file(tmp_path / "out" / "adapter_model.safetensors")[name], base)


def test_base_models_that_differ_are_said(tmp_path: Path) -> None:
    paths = [folders.write(tmp_path / str(i), base_model_name_or_path=f"model{i}") for i in range(2)]
    notes = merge_folders(paths, tmp_path / "out", "ta").notes
    assert "model0" in notes[0]
    assert "model1" in notes[0]
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["base_model_name_or_path"] == "model0"


def test_a_base_model_that_says_nothing_of_a_module_is_no_help(tmp_path: Path) -> None:
    vera = folders.vera_tensors()
    vera[f"{folders.PREFIX}k.vera_lambda_b"] = np.ones(3, np.float32)
    folder = folders.write(tmp_path / "a", vera, peft_type="VERA")
    with pytest.raises(AdapterError, match="--base"):
        merge_folders([folder], tmp_path / "out", base=folders.write(tmp_path / "b"))


def test_progress_counts_layers(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    merge_folders([folders.write(tmp_path / "a")], tmp_path / "out", progress=lambda *told: seen.append(told))
    assert [done for done, total, _ in seen if total == 3] == sorted(done for done, _, _ in seen)
    assert (seen[0][0], seen[-1][0]) == (0, 3)  # the share done is known from the first moment on
    assert {layer for _, _, layer in seen} == {module.path for module in Adapter(tmp_path / "a").modules.values()}
