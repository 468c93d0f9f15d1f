"""coremerge inspect --measure: what it says is what NumPy's SVD of the full matrices says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from coremerge_ref.testing import THRESHOLD, ratio

Run = Callable[..., Any]


def dense(folder: str) -> dict[str, np.ndarray]:
    """alpha / r · B A of each module."""
    tensors = {n: t.astype(np.float64) for n, t in load_file(Path(folder) / "adapter_model.safetensors").items()}
    modules = {name.partition(".lora_A")[0] for name in tensors if ".lora_A" in name}
    return {
        name.removeprefix("base_model.model."): 2 * tensors[f"{name}.lora_B.weight"] @ tensors[f"{name}.lora_A.weight"]
        for name in modules
    }


def near(got: float, want: float, scale: float = 1.0) -> bool:
    return ratio(got, want, scale=scale, eps=2.0**-52, kappa=10) <= THRESHOLD


def test_figures_of_modules(run: Run, adapters: list[str]) -> None:
    told = json.loads(run("inspect", "a", "--measure", "--json").stdout)["adapters"][0]
    want = dense("a")
    assert {module["path"] for module in told["modules"]} == want.keys()
    for module in told["modules"]:
        S = np.linalg.svd(want[module["path"]], compute_uv=False)[:2]
        size = float(np.linalg.norm(S))
        assert near(module["norm"], size, size)
        assert near(module["stable_rank"], size**2 / S[0] ** 2)
        assert module["numerical_rank"] == 2
        assert all(near(a, b, size) for a, b in zip(module["singular_values"], S, strict=True))
        shares = np.cumsum(S**2) / size**2
        assert module["rank_for"] == {
            key: int(np.searchsorted(shares, float(key))) + 1 for key in ("0.5", "0.9", "0.99")
        }


def test_overlaps_of_each_two(run: Run, adapters: list[str]) -> None:
    told = json.loads(run("inspect", "a", "b", "c", "--measure", "--json").stdout)["overlaps"]
    assert [pair["adapters"] for pair in told] == [["a", "b"], ["a", "c"], ["b", "c"]]
    held = {name: dense(name) for name in "abc"}
    for pair in told:
        one, other = (held[name] for name in pair["adapters"])
        for path, found in pair["layers"].items():
            X, Y = one[path], other[path]
            (P, _, Qh), (Po, _, Qho) = (np.linalg.svd(Z, full_matrices=False) for Z in (X, Y))
            assert near(found["left"], float(np.linalg.norm(P[:, :2].T @ Po[:, :2]) ** 2 / 2))
            assert near(found["right"], float(np.linalg.norm(Qh[:2] @ Qho[:2].T) ** 2 / 2))
            assert near(found["cosine"], float(np.sum(X * Y) / np.linalg.norm(X) / np.linalg.norm(Y)))
            assert 0 <= found["sign_conflict"] <= 1
        for key in ("left", "right", "cosine", "sign_conflict"):
            assert near(pair[key], float(np.mean([found[key] for found in pair["layers"].values()])))


def test_tables(run: Run, adapters: list[str]) -> None:
    result = run("inspect", "a", "a", "b", "--measure")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    heads = [row for row in rows if row[:1] == ["modules"] and "directions" in row]
    assert len(heads) == 3
    pairs = {tuple(row[:3]): row[4:8] for row in rows if row[1:2] == ["–"]}
    assert pairs["a", "–", "a"] == ["1.000", "1.000", "1.000", "0.000"]
    assert pairs["a", "–", "b"] != pairs["a", "–", "a"]


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"], ["a", "a"]])
def test_a_picture(names: list[str], run: Run, adapters: list[str]) -> None:
    pytest.importorskip("matplotlib")
    assert run("inspect", *names, "--plot", "seen.svg").exit_code == 0
    assert "<svg" in Path("seen.svg").read_text()


def test_adapters_of_two_kinds_are_measured_each(run: Run, adapters: list[str]) -> None:
    save_file(
        {"lora_unet_q.lora_down.weight": np.ones((1, 5)), "lora_unet_q.lora_up.weight": np.ones((6, 1))},
        "k.safetensors",
    )
    result = run("inspect", "a", "k.safetensors", "--measure")
    assert result.exit_code == 0, result.output
    assert "overlaps are not told" in result.stderr
    assert "–" not in result.stdout.splitlines()[-1].split()


def test_tensors_are_read_only_if_asked_for(run: Run, refused: Callable[..., str], adapters: list[str]) -> None:
    path = Path("a/adapter_model.safetensors")
    tensors = load_file(path)
    save_file({name: np.full_like(tensor, np.nan) for name, tensor in tensors.items()}, path)
    assert run("inspect", "a").exit_code == 0
    assert "NaN" in refused("inspect", "a", "--measure")


def test_pictures_are_refused_before_any_work(refused: Callable[..., str], adapters: list[str]) -> None:
    assert ".png or .svg" in refused("inspect", "a", "--plot", "x.txt")
