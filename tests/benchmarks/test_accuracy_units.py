"""Parts of the accuracy benchmark that need no transformer."""

import numpy as np
import pytest

import coremerge_ref as cm

torch = pytest.importorskip("torch")
from benchmarks.accuracy import basis, merged, methods, search, summary, tasks, train  # noqa: E402


def layers(count: int = 2, tasks: int = 3, size: int = 24, rank: int = 3) -> merged.Layers:
    rng = np.random.default_rng(0)

    def update() -> cm.LowRankUpdate:
        return cm.LowRankUpdate(rng.standard_normal((size, rank)), rng.standard_normal((rank, size)))

    return {f"layer{i}": [update() for _ in range(tasks)] for i in range(count)}


@pytest.mark.parametrize("name", ["symbol", "scipy"])
def test_splits_share_no_text_and_hold_every_label(name: str) -> None:
    task = tasks.load(name)
    texts = {split: {text for text, _ in rows} for split, rows in task.splits.items()}
    assert [len(texts[split]) for split in ("train", "val", "test")] == list(tasks.SPLITS.values())
    assert not texts["train"] & texts["test"]
    assert not texts["train"] & texts["val"]
    assert not texts["val"] & texts["test"]
    assert {label for _, label in task.splits["train"]} == set(range(len(task.labels)))


def test_a_task_is_the_same_twice_and_a_small_one_is_part_of_it() -> None:
    task = tasks.load("symbol")
    assert tasks.load("symbol").fingerprint == task.fingerprint
    small = tasks.load("symbol", {"train": 8, "val": 4, "test": 4})
    assert small.splits["test"] == task.splits["test"][:4]


@pytest.mark.parametrize("peak", [-4.0, -1.5, 0.1, 3.0])
def test_climb_finds_the_peak(peak: float) -> None:
    scores: dict[float, float] = {}
    search.climb(lambda step: -((step - peak) ** 2), scores, -1.5, 0.5)
    assert abs(max(scores, key=lambda step: scores[step]) - peak) <= 0.25
    assert len(scores) < 15


@pytest.mark.parametrize("method", [cm.Ties(0.3), cm.Tsv(3)])
def test_an_unturned_basis_is_the_core_space(method: object) -> None:
    found = layers()
    turned = basis.rotated(basis.cores(found), cm.Pipeline([method]), None)
    assert merged.distance(turned, merged.merge(found, method, cm.Core())) < 1e-6


@pytest.mark.parametrize(("method", "moves"), [(cm.Ties(0.3), True), (cm.Tsv(3), False), (cm.Iso(), False)])
def test_turning_the_basis_moves_elementwise_methods_alone(method: object, moves: bool) -> None:
    inside = basis.cores(layers())
    one, other = (basis.rotated(inside, cm.Pipeline([method]), seed) for seed in (1, 2))
    assert (merged.distance(one, other) > 1e-3) == moves


def test_rotations_are_orthogonal() -> None:
    Q = basis.rotation(9, np.random.default_rng(0))
    assert np.linalg.norm(Q @ Q.T - np.eye(9)) < 1e-13


def test_settings_that_inherit_come_after_what_they_inherit_from() -> None:
    seen: set[str] = set()
    for setting in methods.settings():
        assert not setting.inherits or setting.inherits in seen
        seen.add(setting.key)


@pytest.mark.parametrize("recipe", list(train.RECIPES))
def test_the_papers_figures_are_there_for_each_recipe(recipe: str) -> None:
    figures = summary.paper(recipe)
    assert {space for _, space in figures} == {"full", "knots", "core"}
    assert figures["iso", "core"] > figures["ta", "core"]
