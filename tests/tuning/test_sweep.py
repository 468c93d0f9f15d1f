"""α by the user's own score: the best of a quadratic whose best α is known, on disk and in memory."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from score_commands import asked, command, dense, distance, write_adapter, write_script

import coremerge_ref as cm
from coremerge_ref.adapters import merge_folders
from coremerge_ref.errors import AdapterError, ParameterError, ScoreError
from coremerge_ref.testing import THRESHOLD, ratio
from coremerge_ref.tuning.sweep import COARSE, FINE

BEST = 0.4


def target_at(changes: dict[str, np.ndarray], alpha: float) -> dict[str, np.ndarray]:
    """Where ‖α ΔW − target‖² is least at that α: α ΔW and something orthogonal to ΔW."""
    made = {}
    for name, change in changes.items():
        other = np.random.default_rng(7).standard_normal(change.shape)
        made[name] = alpha * change + other - np.sum(other * change) / np.sum(change * change) * change
    return made


@pytest.fixture
def merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A merge whose best α is 0.4 to score.py."""
    monkeypatch.chdir(tmp_path)
    merge_folders([write_adapter(tmp_path / name, seed) for seed, name in enumerate("ab")], tmp_path / "merged", "tsv")
    write_script(tmp_path, target_at(dense(tmp_path / "merged"), BEST))
    return tmp_path / "merged"


def nearest(alphas: Any, best: float = BEST) -> float:
    """Of a parabola that is least at `best`, the α of the least value."""
    return float(min(alphas, key=lambda alpha: abs(alpha - best)))


def same(score: float, expected: float) -> bool:
    return ratio(np.asarray(score), np.asarray(expected), scale=abs(expected), eps=2.0**-52) <= THRESHOLD


def test_the_best_of_given_alphas(merged: Path, tmp_path: Path) -> None:
    alphas = (2.0, 0.1, 0.35, 0.5, 1.0)
    found = cm.sweep(merged, command(), alphas, output="best")
    assert [trial.alpha for trial in found.trials] == sorted(alphas)
    assert (found.alpha, found.output, found.at_the_end) == (nearest(alphas), "best", False)
    target = dict(np.load("target.npz"))
    changes = dense(merged)
    for trial in found.trials:
        expected = -distance({name: trial.alpha * change for name, change in changes.items()}, target)
        assert same(trial.score, expected)
    assert same(-distance(dense(tmp_path / "best"), target), found.score)
    record = json.loads((tmp_path / "best" / "coremerge.json").read_text())
    assert record["recipe"]["scale"] == found.alpha
    assert record["sweep"]["command"] == command()
    assert [trial["alpha"] for trial in record["sweep"]["trials"]] == sorted(alphas)


def test_by_default_a_geometric_range_and_the_best_ones_neighbours(merged: Path) -> None:
    found = cm.sweep(merged, command(1.0), minimize=True)
    coarse = nearest(COARSE)
    tried = sorted([*COARSE, coarse / FINE, coarse * FINE])
    assert [trial.alpha for trial in found.trials] == tried
    assert found.alpha == nearest(tried) == 0.5 / math.sqrt(2)
    assert found.score == min(trial.score for trial in found.trials)


def test_every_trial_is_another_adapter_and_none_is_left(merged: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    cm.sweep(merged, command(), [0.5, 1.0], baselines=False)
    places = [place for place, _, _ in asked(tmp_path)]
    assert len(set(places)) == 2
    assert not any(Path(place).exists() for place in places)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "asked.txt"])


def test_what_was_merged_at_a_scale_is_swept_from_there(merged: Path, tmp_path: Path) -> None:
    merge_folders([tmp_path / "a", tmp_path / "b"], tmp_path / "half", "tsv", scale=0.5)
    found = cm.sweep(tmp_path / "half", command(), [0.4, 0.8, 1.6], output=tmp_path / "best")
    assert (found.alpha, found.scale) == (0.8, 0.5)
    assert json.loads((tmp_path / "best" / "coremerge.json").read_text())["scale"] == 0.4


def test_a_function_of_updates(merged: Path) -> None:
    rng = np.random.default_rng(0)
    updates = [cm.LowRankUpdate(rng.normal(size=(6, 2)), rng.normal(size=(2, 5)), scale=2.0) for _ in range(3)]
    for result in (cm.merge(updates, "tsv"), cm.merge(updates, "ties", "full")):
        goal = target_at({"q": np.asarray(result.to_dense())}, BEST)["q"]
        found = cm.sweep(
            result, lambda update, goal=goal: -float(np.sum((update.to_dense() - goal) ** 2)), [0.3, 0.4, 1.0]
        )
        assert found.alpha == 0.4
        change = np.asarray(result.to_dense())
        assert (
            ratio(found.merged.to_dense(), 0.4 * change, scale=float(np.linalg.norm(change)), eps=2.0**-52) <= THRESHOLD
        )
    layers = cm.merge_adapters({"q": updates, "k": updates}, "iso")
    found = cm.sweep(layers, lambda held: held["k"].scale, [0.5, 2.0])
    assert (found.alpha, found.at_the_end, list(found.merged)) == (2.0, True, ["q", "k"])


def test_a_function_of_a_path(merged: Path) -> None:
    target = dict(np.load("target.npz"))
    found = cm.sweep(merged, lambda path: -distance(dense(path), target), [0.2, 0.4, 0.8])
    assert found.alpha == 0.4
    assert next(line for line in str(found).splitlines() if "best" in line).split()[0] == "0.4"


def test_the_base_model_and_each_adapter_alone_are_scored_as_they_are(merged: Path, tmp_path: Path) -> None:
    found = cm.sweep(merged, command(), [0.4], output="best")
    target = dict(np.load("target.npz"))
    nothing, *each = found.baselines
    assert [b.name for b in found.baselines] == ["base model", str(tmp_path / "a"), str(tmp_path / "b")]
    assert same(nothing.score, -sum(float(np.sum(one**2)) for one in target.values()))
    for baseline, name in zip(each, "ab", strict=True):
        assert same(baseline.score, -distance(dense(tmp_path / name), target))
    assert not any(Path(place).exists() for place, _, _ in asked(tmp_path))
    assert found.beaten_by == ()
    record = json.loads((tmp_path / "best" / "coremerge.json").read_text())
    assert [b["score"] for b in record["sweep"]["baselines"]] == [b.score for b in found.baselines]


def test_what_no_alpha_beats_is_named_best_first(merged: Path, tmp_path: Path) -> None:
    sizes = {path: i for i, path in enumerate(("a", "b"), start=2)}

    def score(path: Path) -> float:
        change = dense(path)
        alike = [n for name, n in sizes.items() if np.array_equal(change["head"], dense(tmp_path / name)["head"])]
        return float(sum(alike)) or (1.0 if np.linalg.norm(change["head"]) > 1e-9 else 0.5)

    found = cm.sweep(merged, score, [1.0])
    assert [b.score for b in found.beaten_by] == [3.0, 2.0]
    assert [Path(b.name).name for b in found.beaten_by] == ["b", "a"]
    assert "no merge tried scores higher than" in found.verdict
    lower = cm.sweep(merged, lambda path: -score(path), [1.0], minimize=True)
    assert [b.score for b in lower.beaten_by] == [-3.0, -2.0]
    assert "lower" in lower.verdict
    level = cm.sweep(merged, lambda path: 1.0, [1.0])
    assert len(level.beaten_by) == 3  # no better is not better
    assert cm.sweep(merged, score, [1.0], baselines=False).verdict == ""


def test_baselines_that_cannot_be_scored_cost_nothing_else(merged: Path) -> None:
    def score(path: Path) -> float:
        return 1 / int(np.linalg.norm(dense(path)["head"]) > 1e-9)

    found = cm.sweep(merged, score, [0.5, 1.0], baselines=["gone", "a"])
    assert [bool(b.error) for b in found.baselines] == [True, True, False]
    assert "ZeroDivisionError" in found.baselines[0].error
    assert "gone" in found.baselines[1].error
    assert len(found.trials) == 2


def test_baselines_of_updates(merged: Path) -> None:
    rng = np.random.default_rng(0)
    updates = [cm.LowRankUpdate(rng.normal(size=(6, 2)), rng.normal(size=(2, 5))) for _ in range(2)]

    def size(held: Any) -> float:
        layers = held.values() if isinstance(held, dict) else [held]
        return float(sum(np.linalg.norm(np.asarray(u.to_dense())) for u in layers))

    norms = [float(np.linalg.norm(np.asarray(u.to_dense()))) for u in updates]
    found = cm.sweep(cm.merge(updates, "tsv"), size, [1.0], baselines=updates)
    assert [b.score for b in found.baselines] == [0.0, *norms]
    layers = {"q": updates, "k": [updates[0], None]}
    found = cm.sweep(cm.merge_adapters(layers, "tsv"), size, [1.0], baselines=layers)
    assert [b.score for b in found.baselines] == [0.0, 2 * norms[0], norms[1]]
    assert [b.name for b in cm.sweep(cm.merge(updates), size, [1.0]).baselines] == ["base model"]


def test_of_equal_scores_the_smallest_alpha(merged: Path) -> None:
    for minimize in (False, True):
        assert cm.sweep(merged, lambda path: 1, [2.0, 0.5, 1.0], minimize=minimize).alpha == 0.5


def test_what_fails_names_alpha_and_writes_nothing(merged: Path, tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match=r"α = 0\.5: the command ended with exit code 3; its last output: boom"):
        cm.sweep(merged, "echo boom; test {adapter} && exit 3", [0.5], output="best")
    with pytest.raises(ScoreError, match=r"α = 2: .*finite number"):
        cm.sweep(merged, lambda path: float("nan"), [2])
    with pytest.raises(ZeroDivisionError):
        cm.sweep(merged, lambda path: 1 / 0)  # the user's own error is the user's to see
    assert not (tmp_path / "best").exists()


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"alphas": []}, ParameterError, "above 0"),
        ({"alphas": [0.0]}, ParameterError, "above 0"),
        ({"alphas": ["x"]}, ParameterError, "above 0"),
        ({"alphas": [float("inf")]}, ParameterError, "above 0"),
        ({"evaluate": "python score.py"}, ParameterError, "{adapter}"),
        ({"evaluate": None}, ParameterError, "function"),
        ({"output": "merged"}, AdapterError, "already exists"),
        ({"merged": "gone"}, AdapterError, "nothing is there"),
        ({"merged": 3}, ParameterError, "merged"),
        ({"timeout": 3.0}, ParameterError, "timeout"),
        ({"baselines": "a"}, ParameterError, "baselines"),
        ({"baselines": 3}, ParameterError, "baselines"),
    ],
)
def test_what_is_refused_before_anything_is_evaluated(
    given: dict[str, Any], error: type[Exception], text: str, merged: Path
) -> None:
    asked_for: list[Any] = []
    with pytest.raises(error, match=text):
        cm.sweep(**{"merged": merged, "evaluate": asked_for.append, **given})
    assert asked_for == []
