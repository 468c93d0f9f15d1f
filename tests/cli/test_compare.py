"""coremerge compare: on what coremerge merged, and on what PEFT's add_weighted_adapter merged."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from coremerge_ref.adapters import memory

Run = Callable[..., Any]
Refused = Callable[..., str]


def found(run: Run, *words: Any) -> Any:
    result = run("compare", *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_merge_is_told_in_one_line_and_a_table(run: Run, adapters: list[str]) -> None:
    run("merge", *adapters, "-o", "out", "--method", "tsv", "--set", "tsv.k=1", "--scale", "0.5")
    result = run("compare", *adapters, "out", "--method", "tsv")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("out is tsv in ")
    assert "scale 0.5" in result.stdout.splitlines()[0]
    assert "back in 3 layers" in result.stdout


def test_linear_merges_with_their_weights(run: Run, adapters: list[str]) -> None:
    run("merge", *adapters, "-o", "out", "--method", "ta", "--weights", "1,-0.5,2")
    best = found(run, *adapters, "out")["matches"][0]
    assert best["fitted"] == {"weight 1": 1.0, "weight 2": -0.5, "weight 3": 2.0}


def test_full_matrices_and_values_off_the_grid(run: Run, adapters: list[str]) -> None:
    words = ["--method", "ties", "--set", "ties.density=0.37"]
    run("merge", *adapters, "-o", "out", *words, "--space", "full", "--dense")
    tensors = load_file("out/delta_weights.safetensors")
    save_file({f"model.{name}": np.ascontiguousarray(x.T) for name, x in tensors.items()}, "delta.safetensors")
    for place in ("out", "delta.safetensors"):  # the second with another prefix, and stored transposed
        answer = found(run, *adapters, place, *words)
        assert answer["verdict"] == "reproduced"
        assert answer["matches"][0]["parameters"]["ties.density"] == 0.37


def test_full_space_is_left_out_where_there_is_no_memory_for_it(
    run: Run, adapters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("merge", *adapters, "-o", "out", "--method", "ties", "--space", "full", "--dense")
    words = ["compare", *adapters, "out", "--method", "ties"]
    monkeypatch.setattr(memory, "free_memory", lambda: 1e3)
    result = run(*words)
    assert "full space is left out" in result.stderr
    assert "is none of what was tried" in result.stdout
    assert run(*words, "--ignore-memory").stdout.startswith("out is ties in full space")


def test_the_closest_where_nothing_fits(run: Run, adapters: list[str]) -> None:
    answer = found(run, *adapters[:2], adapters[2], "--method", "ta", "--method", "iso")
    assert answer["verdict"] == "closest"
    assert answer["closest"][0]["distance"] > 0.1
    assert answer["closest"][0]["eps_units"] > 1e5
    text = run("compare", *adapters[:2], adapters[2], "--method", "ta").stdout
    assert "is none of what was tried" in text


def test_refusals(refused: Refused, adapters: list[str]) -> None:
    assert "at least one input" in refused("compare", "a")
    assert "nothing is there" in refused("compare", *adapters, "gone")
    assert "'nope'" in refused("compare", *adapters, "--method", "nope")
    assert "weights" in refused("compare", *adapters, "--weights", "1")
    assert "tsv.q" in refused("compare", *adapters, "--set", "tsv.q=1")
    Path("junk.safetensors").write_bytes(b"junk")
    assert "junk.safetensors" in refused("compare", *adapters, "junk.safetensors")
    save_file({"head.weight": np.ones((2, 2), np.float32)}, "small.safetensors")
    assert "(3, 6)" in refused("compare", *adapters, "small.safetensors")
    save_file({"other": np.ones((2, 2), np.float32)}, "other.safetensors")
    assert "expected updates of" in refused("compare", *adapters, "other.safetensors")


@pytest.fixture(scope="module")
def peft_merges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three adapters and what PEFT's add_weighted_adapter makes of them, a folder each."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    torch = pytest.importorskip("torch", exc_type=ImportError)
    peft = pytest.importorskip("peft", exc_type=ImportError)

    class Model(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.q = torch.nn.Linear(36, 30, bias=False)
            self.k = torch.nn.Linear(36, 40, bias=False)

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("peft")
    names = ("one", "two", "three")
    for use_rslora in (False, True):
        model = None
        for name, alpha in zip(names, (8, 2, 4), strict=True):
            config = peft.LoraConfig(r=4, lora_alpha=alpha, target_modules=["q", "k"], use_rslora=use_rslora)
            model = peft.get_peft_model(Model(), config, name) if model is None else model
            if name != names[0]:
                model.add_adapter(name, config)
        for key, tensor in model.named_parameters():
            if "lora_" in key:
                tensor.data = torch.randn_like(tensor)
        kinds: dict[str, dict[str, Any]] = {"linear": {}, "svd": {}, "cat": {}, "ties": {}, "ties_svd": {}}
        for kind in kinds if not use_rslora else ("cat",):
            more = {"density": 0.5} if "ties" in kind else {}
            model.add_weighted_adapter([*names], [1.0] * 3, kind, combination_type=kind, **more)
        model.save_pretrained(str(folder / ("rslora" if use_rslora else "plain")))
    return folder


@pytest.mark.parametrize(
    ("kind", "words", "text"),
    [
        ("cat", (), "ta in any space, scale 1"),
        ("svd", (), "ta in any space, scale 1, truncated"),
        ("linear", (), "ta of A and of B, each by itself"),
        ("ties", (), "ties of A and of B, each by itself, ties.keep=exact, ties.density=0.5"),
        ("ties_svd", ("--method", "ties"), "ties in full space"),
    ],
)
def test_peft_merges_are_identified_as_what_they_are(
    kind: str, words: tuple[str, ...], text: str, run: Run, peft_merges: Path
) -> None:
    inputs = [peft_merges / "plain" / name for name in ("one", "two", "three")]
    answer = found(run, *inputs, peft_merges / "plain" / kind, *words)
    assert answer["verdict"] == "reproduced", answer["closest"][0]
    said = answer["matches"][0]["text"]
    assert all(part in said for part in text.split(", ")), said
    if kind == "ties_svd":
        assert answer["matches"][0]["truncated"]
        assert (answer["matches"][0]["parameters"]["ties.density"], answer["matches"][0]["dialects"]) == (0.5, ["peft"])
    if kind == "linear":
        assert "factors-apart-roots: A and B are merged apart" in said


def test_inherited_rslora_is_seen(run: Run, peft_merges: Path) -> None:
    inputs = [peft_merges / "rslora" / name for name in ("one", "two", "three")]
    answer = found(run, *inputs, peft_merges / "rslora" / "cat")
    assert answer["matches"][0]["fitted"]["scale"] == pytest.approx(12**0.5, rel=1e-5)  # R = 3 · 4
    assert "√" in " ".join(answer["notes"])


def test_a_recorded_seed_is_used(run: Run, adapters: list[str]) -> None:
    words = ["--method", "dare+ties", "--set", "dare.seed=731", "--set", "dare.drop=0.45", "--set", "ties.density=0.5"]
    run("merge", *adapters, "-o", "out", *words)
    best = found(run, *adapters, "out", "--method", "dare+ties")["matches"][0]
    assert (best["parameters"]["dare.seed"], best["parameters"]["dare.drop"]) == (731, 0.45)


def test_a_merge_that_is_not_finite_is_refused(refused: Refused, run: Run, adapters: list[str]) -> None:
    run("merge", *adapters, "-o", "out", "--method", "ta")
    tensors = load_file("out/adapter_model.safetensors")
    first = min(tensors)
    tensors[first][0, 0] = np.nan
    save_file(tensors, "out/adapter_model.safetensors")
    assert "NaN" in refused("compare", *adapters, "out")
