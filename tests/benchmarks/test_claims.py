"""The scripts that measure the paper's claims: small forms, and the definitions they use against the library's."""

import csv
import sys
from pathlib import Path

import needs_torch  # noqa: F401
import numpy as np
import pytest

import coremerge_ref as cm
from benchmarks.claims import llama, null_vectors

RANK = 3
METHODS = {"tsv": cm.Tsv(k=RANK), "iso": cm.Iso(), "cart": cm.Cart(k=RANK)}


@pytest.fixture(scope="module")
def factors() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [(rng.standard_normal((40, RANK)), rng.standard_normal((RANK, 30))) for _ in range(4)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("space", ["full", "core"])
def test_without_null_vectors_it_is_the_librarys_merge(factors: list, method: str, space: str) -> None:
    expected = cm.merge(factors, METHODS[method], space).to_dense()
    measured = null_vectors.merged(factors, null_vectors.METHODS[method], space, "absolute", "out")
    assert np.linalg.norm(measured - expected) < null_vectors.ZERO * np.linalg.norm(expected)


def test_knots_divides_the_singular_values_out_as_the_papers_code_does(factors: list) -> None:
    expected = cm.merge(factors, METHODS["cart"], cm.Knots(scaled=False)).to_dense()
    measured = null_vectors.merged(factors, null_vectors.METHODS["cart"], "knots", "absolute", "out")
    assert np.linalg.norm(measured - expected) < null_vectors.ZERO * np.linalg.norm(expected)


def test_null_vectors_are_what_moves_tsv_in_full_space(factors: list) -> None:
    out, into = (null_vectors.merged(factors, null_vectors.tsv, "full", "relative", null) for null in ("out", "in"))
    assert np.linalg.norm(out - into) > 0.1 * np.linalg.norm(out)


def test_layers_are_timed_once_and_a_second_run_adds_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "llama.csv"

    def run(*options: str) -> list[dict[str, str]]:
        monkeypatch.setattr(sys, "argv", ["llama", "--shrink", "64", "--output", str(path), *options])
        llama.main()
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    first = run("--rounds", "1", "--spaces", "core")
    assert {(row["layer"], row["m"], row["space"]) for row in first} == {
        ("k_proj", "16", "core"),
        ("q_proj", "64", "core"),
    }
    second = run("--rounds", "1")
    assert second[: len(first)] == first
    keys = [(row["layer"], row["method"], row["space"], row["round"]) for row in second]
    assert len(set(keys)) == len(keys) == len(llama.SHAPES) * len(llama.METHODS) * len(llama.SPACES)
