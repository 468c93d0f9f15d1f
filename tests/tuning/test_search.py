"""A search by the user's own score: a quadratic whose values are known, interrupted, resumed, pruned, failing."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from score_commands import asked, command, dense, distance, write_adapter, write_script

pytest.importorskip("optuna")

import coremerge_ref as cm
from coremerge_ref.adapters import merge_folders
from coremerge_ref.errors import AdapterError, ParameterError, ScoreError
from coremerge_ref.testing import THRESHOLD, ratio
from coremerge_ref.tuning.found import COMPLETE, FAILED, PRUNED

WEIGHTS, ALPHA = (0.5, 1.5), 0.6


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two adapters, a and b, and a score: minus the squared distance to 0.6 (0.5 a + 1.5 b)."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate("ab"):
        write_adapter(tmp_path / name, seed)
    write_script(tmp_path, summed(ALPHA, WEIGHTS))
    return ["a", "b"]


def summed(alpha: float, weights: Any) -> dict[str, np.ndarray]:
    """α Σ w_t ΔW_t, by hand."""
    each = [dense(Path(name)) for name in "ab"]
    return {name: alpha * sum(w * one[name] for w, one in zip(weights, each, strict=True)) for name in each[0]}


def score(path: Any) -> float:
    return -distance(dense(Path(path)), dict(np.load("target.npz")))


def test_scores_are_those_of_the_merges_and_the_best_is_written(two: list[str]) -> None:
    found = cm.search(two, command(), methods=["ta"], weights="search", trials=12, output="best", seed=3)
    target = dict(np.load("target.npz"))
    size = distance(target, {name: 0 * one for name, one in target.items()})
    assert len(found.trials) == 12
    for trial in found.trials:
        expected = -distance(summed(trial.alpha, trial.weights), target)
        assert ratio(np.array(trial.score), np.array(expected), scale=size + abs(expected), eps=2.0**-23) <= THRESHOLD
        assert sum(trial.weights) == pytest.approx(2)
        assert 0.125 <= trial.alpha <= 4
    assert found.best.score == max(trial.score for trial in found.trials)
    assert score("best") == found.best.score
    record = json.loads(Path("best/coremerge.json").read_text())
    assert record["search"]["trial"] == found.best.number
    assert (record["search"]["seed"], record["search"]["command"]) == (3, command())
    assert (record["recipe"]["scale"], tuple(record["recipe"]["weights"])) == (found.best.alpha, found.best.weights)


def test_the_default_merge_comes_first_and_the_best_is_no_worse(two: list[str]) -> None:
    merge_folders(two, "default")
    found = cm.search(two, score, trials=6, weights="search")
    first = found.trials[0]
    assert (first.method, first.parameters, first.alpha, first.weights) == ("tsv", {}, 1.0, (1.0, 1.0))
    assert first.score == score("default")
    assert found.best.score >= first.score


def test_a_seed_is_one_search(two: list[str]) -> None:
    runs = [cm.search(two, score, trials=8, seed=seed) for seed in (5, 5, 6)]
    settings = [[(t.arm, t.parameters, t.alpha) for t in run.trials] for run in runs]
    assert settings[0] == settings[1] != settings[2]


def test_minimize(two: list[str]) -> None:
    found = cm.search(two, lambda path: -score(path), methods=["ties", "iso"], trials=8, minimize=True)
    assert found.best.score == min(trial.score for trial in found.trials)
    assert [t.score for t in found.ranked] == sorted(t.score for t in found.trials)
    rows = [line.split()[0] for line in str(found).splitlines()[1:]]
    assert [n for n in rows if n != "–"] == [str(t.number) for t in found.ranked]


def test_updates_in_memory(two: list[str]) -> None:
    layers = {
        n: [cm.LowRankUpdate(one[n], np.eye(one[n].shape[1])) for one in map(dense, map(Path, two))] for n in ("head",)
    }
    goal = {"head": ALPHA * sum(w * u.B for w, u in zip(WEIGHTS, layers["head"], strict=True))}

    def near(merged: dict[str, Any]) -> float:
        return -float(np.sum((merged["head"].to_dense() - goal["head"]) ** 2))

    found = cm.search(layers, near, methods=["ta", "tsv"], weights="search", trials=10)
    assert near(found.merged) == found.best.score == max(trial.score for trial in found.trials)
    size = float(np.sum(goal["head"] ** 2))
    assert found.baselines[0].score == pytest.approx(-size)
    assert [b.score for b in found.baselines[1:]] == [near({"head": u}) for u in layers["head"]]
    assert cm.search(layers["head"], lambda merged: merged.rank, methods=["ta"], trials=1).best.score == min(
        goal["head"].shape
    )


def test_the_base_model_and_each_adapter_alone_are_scored_once_a_study(two: list[str], tmp_path: Path) -> None:
    first = cm.search(two, command(), methods=["ta"], trials=1, study="study.db", output="best")
    count = len(asked(tmp_path))
    target = dict(np.load("target.npz"))
    each = [{name: 0 * one for name, one in target.items()}, *(dense(Path(name)) for name in two)]
    assert [b.name for b in first.baselines] == ["base model", *two]
    for baseline, change in zip(first.baselines, each, strict=True):
        expected = -distance(change, target)
        assert ratio(np.array(baseline.score), np.array(expected), scale=abs(expected), eps=2.0**-52) <= THRESHOLD
    second = cm.search(two, command(), methods=["ta"], trials=3, study="study.db", output="best", force=True)
    assert len(asked(tmp_path)) == count + 2
    assert second.baselines == first.baselines
    record = json.loads(Path("best/coremerge.json").read_text())
    assert [b["name"] for b in record["search"]["baselines"]] == ["base model", *two]
    assert cm.search(two, command(), methods=["ta"], trials=3, study="study.db", baselines=False).baselines == ()


def test_a_baseline_that_failed_is_tried_again(two: list[str]) -> None:
    calls: list[Any] = []

    def evaluate(path: Path) -> float:
        calls.append(path)
        return float("nan") if len(calls) == 3 else score(path)

    first = cm.search(two, evaluate, methods=["ta"], trials=1, study="study.db")
    assert [b.score is None for b in first.baselines] == [False, True, False]
    second = cm.search(two, evaluate, methods=["ta"], trials=1, study="study.db")
    assert len(calls) == 5
    assert all(b.score is not None for b in second.baselines)


def test_a_search_that_beats_nothing_says_so(two: list[str]) -> None:
    write_script(Path(), dense(Path("b")))
    found = cm.search(two, command(), methods=["tsv"], trials=2)
    assert found.beaten_by[0].name == "b"
    assert "b alone" in found.verdict
    assert str(found).splitlines()[1].split()[3:] == ["b", "alone"]


class Interrupt:
    """A score that is interrupted once, at its n-th evaluation."""

    def __init__(self, at: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.left, self.error, self.seen = at, error, list[float]()

    def __call__(self, path: Path) -> float:
        self.left -= 1
        self.seen.append(json.loads((path / "coremerge.json").read_text())["scale"])
        if self.left == 0:
            raise self.error
        return score(path)


def test_an_interrupted_search_goes_on_where_it_was(two: list[str]) -> None:
    evaluate = Interrupt(5)
    with pytest.raises(KeyboardInterrupt):
        cm.search(two, evaluate, trials=9, study="study.db", baselines=False)
    found = cm.search(two, evaluate, trials=9, study="study.db", output="best", baselines=False)
    done = [trial for trial in found.trials if trial.state == COMPLETE]
    assert len(done) == 9
    assert [trial.state for trial in found.trials] == [COMPLETE] * 4 + [FAILED] + [COMPLETE] * 5
    assert len(evaluate.seen) == 10  # nothing twice but what was interrupted, and that first
    assert evaluate.seen[4] == evaluate.seen[5]
    assert score("best") == found.best.score == max(trial.score for trial in done)
    again = cm.search(two, evaluate, trials=9, study="study.db", output="best", force=True, baselines=False)
    assert len(evaluate.seen) == 10
    assert again.best == found.best


def test_a_killed_search_loses_one_evaluation(two: list[str], tmp_path: Path) -> None:
    script = (
        "import coremerge_ref as cm, os, signal, sys\n"
        "count = []\n"
        "def evaluate(path):\n"
        "    count.append(path)\n"
        "    if len(count) == 4:\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return float(len(count))\n"
        "cm.search(['a', 'b'], evaluate, methods=['ties', 'iso'], trials=6, study='study.db', baselines=False)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(cm.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    asked_again: list[Any] = []
    found = cm.search(
        two, lambda path: asked_again.append(path) or 0.5, methods=["ties", "iso"], trials=6, study="study.db",
        baselines=False,
    )  # fmt: skip
    assert [t.score for t in found.trials if t.state == COMPLETE] == [1.0, 2.0, 3.0, 0.5, 0.5, 0.5]
    assert len(asked_again) == 3
    (lost,) = [t for t in found.trials if t.state == FAILED]
    first = next(t for t in found.trials if t.score == 0.5)
    assert (first.arm, first.alpha, first.parameters) == (lost.arm, lost.alpha, lost.parameters)


def test_bad_merges_are_given_up_on_a_part_of_the_data(two: list[str], tmp_path: Path) -> None:
    found = cm.search(
        two, command(fraction=True), methods=["ta"], trials=20, fractions=[1 / 3, 2 / 3, 1.0], baselines=False
    )
    pruned = [trial for trial in found.trials if trial.state == PRUNED]
    whole = [trial for trial in found.trials if trial.state == COMPLETE]
    assert pruned
    assert whole
    assert len(pruned) + len(whole) == 20
    by_adapter: dict[str, list[tuple[float, float]]] = {}
    for adapter, share, value in asked(tmp_path):
        by_adapter.setdefault(adapter, []).append((share, value))
    assert len(by_adapter) == 20  # one merge serves all shares
    for trial, seen in zip(found.trials, by_adapter.values(), strict=True):
        assert seen[-1] == (pytest.approx(trial.fraction, abs=1e-5), trial.score)
        assert (trial.fraction == 1.0) == (trial.state == COMPLETE)
    assert found.best in whole
    at_first = {trial.number: seen[0][1] for trial, seen in zip(found.trials, by_adapter.values(), strict=True)}
    for trial in pruned:
        if trial.fraction < 0.5:
            earlier = [at_first[t.number] for t in found.trials[: trial.number] if t.state == COMPLETE]
            assert at_first[trial.number] < float(np.median(earlier))


def test_a_command_with_a_fraction_is_asked_on_parts_by_default(two: list[str], tmp_path: Path) -> None:
    cm.search(two, command(fraction=True), methods=["ta"], trials=1)
    assert [share for _, share, _ in asked(tmp_path)] == [0.25, 0.5, 1.0, *[1.0] * 3]  # baselines on everything
    found = cm.search(two, lambda path, fraction: fraction, methods=["ta"], trials=1, fractions=[0.5, 1.0])
    assert found.best.score == 1.0


def test_failures_are_left_out_unless_nothing_works(two: list[str]) -> None:
    calls: list[Any] = []

    def fails(when: Callable[[int], bool]) -> Callable[[Any], float]:
        calls.clear()
        return lambda path: float("nan") if calls.append(path) or when(len(calls)) else float(len(calls))

    found = cm.search(two, fails(lambda n: n in (2, 3)), methods=["ta"], trials=6, baselines=False)
    assert [trial.state for trial in found.trials] == [COMPLETE, FAILED, FAILED, COMPLETE, COMPLETE, COMPLETE]
    assert "finite number" in found.trials[1].error
    with pytest.raises(ScoreError, match=r"α = .*, ta: expected a finite number"):
        cm.search(two, fails(lambda n: n == 1), methods=["ta"], trials=6, baselines=False)
    with pytest.raises(ScoreError):
        cm.search(two, fails(lambda n: n > 1), methods=["ta"], trials=9, baselines=False)
    assert len(calls) == 4
    with pytest.raises(ScoreError, match="exit code 7"):
        cm.search(two, "test {adapter} && exit 7", methods=["ta"], trials=3)
    with pytest.raises(ScoreError, match=r"more than 0\.5 s"):
        cm.search(two, "test {adapter} && sleep 60", methods=["ta"], trials=3, timeout=0.5)


def test_an_error_of_the_users_function_comes_through_and_costs_nothing(two: list[str]) -> None:
    evaluate = Interrupt(3, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        cm.search(two, evaluate, trials=4, study="study.db", baselines=False)
    found = cm.search(two, evaluate, trials=4, study="study.db", baselines=False)
    assert [trial.state for trial in found.trials].count(COMPLETE) == 4
    assert len(evaluate.seen) == 5


def test_minutes_end_a_search_between_trials(two: list[str]) -> None:
    with pytest.raises(ScoreError, match="no merge was scored"):
        cm.search(two, score, minutes=0.0)
    cm.search(two, score, trials=2, study="study.db")
    assert len(cm.search(two, score, minutes=0.0, study="study.db").trials) == 2
    start = time.monotonic()
    found = cm.search(two, lambda path: time.sleep(0.2) or 1.0, minutes=1 / 60)
    assert 1 <= len(found.trials) <= 5
    assert time.monotonic() - start < 300


def test_a_study_of_another_search_is_refused(two: list[str]) -> None:
    cm.search(two, command(), trials=1, study="study.db", methods=["ta"])
    for given, what in (
        ({"methods": ["tsv"]}, "methods"),
        ({"evaluate": command(2.0)}, "score"),
        ({"minimize": True}, "minimize"),
        ({"alphas": (0.1, 1.0)}, "alphas"),
        ({"weights": [1, 2]}, "weights"),
        ({"rank": 2}, "options"),
        ({"adapters": ["b", "a"]}, "adapters"),
    ):
        with pytest.raises(ParameterError, match=f"study: is of a search with {what}"):
            cm.search(
                **{"adapters": two, "evaluate": command(), "trials": 2, "study": "study.db", "methods": ["ta"], **given}
            )


def test_what_is_no_study(two: list[str], tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello, this is no database")
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:  # which `with` alone leaves open
        other.execute("CREATE TABLE trials (x INTEGER)")
    (tmp_path / "torn.db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    before = {name: (tmp_path / name).read_bytes() for name in ("text", "torn.db")}
    for name in ("text", "other.db", "torn.db", "gone/study.db", "."):
        with pytest.raises(ParameterError, match="study"):
            cm.search(two, score, trials=1, study=name)
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


def test_one_search_at_a_time_works_on_a_study(two: list[str]) -> None:
    def another(path: Path) -> float:
        with pytest.raises(ParameterError, match="another search works on it"):
            cm.search(two, score, trials=1, study="study.db")
        return 1.0

    assert cm.search(two, another, trials=1, study="study.db").best.score == 1.0


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"methods": ["tvs"]}, ParameterError, "tvs"),
        ({"spaces": ["moon"]}, ParameterError, "moon"),
        ({"spaces": ["full"], "methods": ["ties"]}, ParameterError, "full matrices"),
        ({"weights": [1.0]}, ParameterError, "weights"),
        ({"weights": "some"}, ParameterError, "weights"),
        ({"alphas": (1.0, 0.5)}, ParameterError, "alphas"),
        ({"alphas": 3}, ParameterError, "alphas"),
        ({"fractions": [0.5]}, ParameterError, "fractions"),
        ({"fractions": [0.5, 1.0], "evaluate": "echo {adapter}"}, ParameterError, "{fraction}"),
        ({"tries": {"ties": {"density": 3}}}, ParameterError, "density"),
        ({"fixed": {"ties": {"densty": 3}}, "methods": ["ties"]}, ParameterError, "densty"),
        ({"evaluate": "echo 1"}, ParameterError, "{adapter}"),
        ({"output": "a"}, AdapterError, "already exists"),
        ({"adapters": ["a", "gone"]}, AdapterError, "nothing is there"),
        ({"adapters": []}, ParameterError, "at least one"),
        ({"adapters": [cm.LowRankUpdate(np.ones((2, 1)), np.ones((1, 2)))], "output": "x"}, ParameterError, "on disk"),
    ],
)
def test_what_is_refused_before_anything_is_evaluated(
    given: dict[str, Any], error: type[Exception], text: str, two: list[str]
) -> None:
    calls: list[Any] = []
    with pytest.raises(error, match=text):
        cm.search(**{"adapters": two, "evaluate": calls.append, "trials": 1, "study": "study.db", **given})
    assert calls == []


def test_without_optuna_one_line_says_what_to_install(two: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ParameterError, match="pip install optuna"):
        cm.search(two, score, trials=1)


def test_what_was_tried_is_drawn(two: list[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from coremerge_ref.tuning.picture import drawn

    found = cm.search(two, score, methods=["ta", "ties", "iso"], trials=8)
    figure = drawn(found, tmp_path / "tried.svg")
    left, right, *_ = figure.axes
    points = sum(len(collection.get_offsets()) for collection in left.collections)
    assert points == 8
    steps = left.lines[0].get_ydata()
    assert list(steps) == list(np.maximum.accumulate([trial.score for trial in found.trials]))
    ringed = right.collections[-1].get_offsets()[0]
    assert tuple(ringed) == (found.best.alpha, found.best.score)
    assert (tmp_path / "tried.svg").read_bytes().startswith(b"<?xml")
    with pytest.raises(ParameterError, match="picture"):
        drawn(found, tmp_path / "tried.xyz")
