"""Parts of the accuracy benchmark that need no transformer."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

import coremerge_ref as cm

torch = pytest.importorskip("torch")
from benchmarks.accuracy import basis, merged, methods, model, mpnet, relative, search, summary, tasks, train  # noqa: E402


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


@pytest.mark.parametrize(("family", "name"), [(model.MINILM, "Bert"), (model.MPNET, "MPNet")])
def test_the_last_layer_for_one_token_is_the_models_own(family: model.Family, name: str) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4}
    network = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**sizes, vocab_size=50))
    network.eval()
    for parameter in network.parameters():  # the norms, biases and relative positions too, which start at 0 and 1
        torch.nn.init.normal_(parameter, std=0.3)
    words = torch.randint(3, 50, (2, 5))
    with torch.inference_mode():
        expected = network(words).last_hidden_state[:, 0]
        hidden = last_input(network, words)
        padded = torch.cat([hidden, torch.ones(2, 3, 48)], 1)
        mask = torch.cat([torch.ones(2, 5), torch.zeros(2, 3)], 1)
        for given in ((hidden,), (padded, mask)):
            assert float((family.top(network)(*given) - expected).norm() / expected.norm()) < 1e-5  # float32


def last_input(network: torch.nn.Module, words: torch.Tensor) -> torch.Tensor:
    """What the model's own last layer is given."""
    seen = []
    hook = network.encoder.layer[-1].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network(words)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize(("family", "name"), [(model.MINILM, "Bert"), (model.MPNET, "MPNet")])
def test_the_layers_below_give_what_the_last_layer_is_given(
    family: model.Family, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4}
    network = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**sizes, vocab_size=50))
    network.eval()
    rows = [[5, 6, 7, 8], [9, 10], [11, 12]]
    monkeypatch.setattr(model, "tokenizer", lambda _: lambda *_, **__: {"input_ids": rows})
    hidden, mask = family.below(network, ["", "", ""], 6)
    assert mask.sum(1).tolist() == [4, 2, 2]
    with torch.inference_mode():
        for row, found in zip(rows, hidden, strict=True):
            expected = last_input(network, torch.tensor([row]))[0]
            assert float((found[: len(row)] - expected).norm() / expected.norm()) < 1e-5
            assert not found[len(row) :].any()


def test_a_model_in_parts_is_put_together_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, rng = tmp_path / "whole.zip", np.random.default_rng(0)
    with zipfile.ZipFile(whole, "w") as archive:
        for name in (*mpnet.FILES, "desktop.ini"):
            archive.writestr(f"{mpnet.NAME}/{name}", rng.bytes(999))
    pieces = np.array_split(np.frombuffer(whole.read_bytes(), np.uint8), mpnet.PARTS)
    for number, piece in enumerate(pieces, 1):
        root = tmp_path / f"{mpnet.NAME}-pypi-part_{number:03}"
        (root / "input").mkdir(parents=True)
        (root / "__init__.py").touch()
        (root / "input" / f"{mpnet.NAME}.zip.{number:03}").write_bytes(piece.tobytes())
    monkeypatch.setattr(mpnet.store, "DEFAULT", tmp_path / "cache" / "accuracy")
    monkeypatch.syspath_prepend(tmp_path)
    found = mpnet.folder()
    assert {path.name for path in found.iterdir()} == set(mpnet.FILES)
    with zipfile.ZipFile(whole) as archive:
        for name in mpnet.FILES:
            assert (found / name).read_bytes() == archive.read(f"{mpnet.NAME}/{name}")
    shutil.rmtree(tmp_path / f"{mpnet.NAME}-pypi-part_003")
    assert mpnet.folder() == found
    assert list(found.parent.iterdir()) == [found]


def test_a_missing_part_is_said_with_what_to_install() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"part_009.*family\.txt"):
        mpnet.part(9)


@pytest.mark.parametrize("recipe", list(train.RECIPES))
def test_the_papers_figures_are_there_for_each_recipe(recipe: str) -> None:
    figures = summary.paper(recipe)
    assert {space for _, space in figures} == {"full", "knots", "core"}
    assert figures["iso", "core"] > figures["ta", "core"]
