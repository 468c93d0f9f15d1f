"""Which weight of a base model is a module's: names differ by what stands before them, and by dots."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from coremerge_ref.adapters.base_model import BaseModel

LAYERS = [f"layers.{i}.{name}" for i in range(2) for name in ("q", "up")]


def matched(folder: Path, modules: Sequence[str], paths: Sequence[str]) -> dict[str, str]:
    """What a base model with weights of these modules has for those paths, as modules."""
    save_file({f"{name}.weight": np.zeros((2, 3), np.float32) for name in modules}, folder / "model.safetensors")
    base = BaseModel(folder)
    found = base.match(paths)
    assert {path: base.of(path) for path in paths if path in found} == dict.fromkeys(found, (2, 3))
    return {path: name.removesuffix(".weight") for path, name in found.items()}


@pytest.mark.parametrize("mine", ["", "x.y."])
@pytest.mark.parametrize("theirs", ["", "model.", "model.language_model."])
def test_one_prefix_is_taken_from_all_paths_and_another_put_there(mine: str, theirs: str, tmp_path: Path) -> None:
    found = matched(tmp_path, [theirs + name for name in LAYERS], [mine + name for name in LAYERS])
    assert found == {mine + name: theirs + name for name in LAYERS}


def test_a_name_that_is_the_same_in_both_needs_no_prefix(tmp_path: Path) -> None:
    """A head beside layers that have one."""
    found = matched(tmp_path, [*(f"model.{name}" for name in LAYERS), "lm_head"], [*LAYERS, "lm_head"])
    assert found == {**{name: f"model.{name}" for name in LAYERS}, "lm_head": "lm_head"}


def test_a_weight_is_of_one_module_alone(tmp_path: Path) -> None:
    """The path that bears its very name loses it to the prefix that serves more."""
    found = matched(tmp_path, [f"model.{name}" for name in LAYERS], [*LAYERS, f"model.{LAYERS[0]}"])
    assert found == {name: f"model.{name}" for name in LAYERS}


def test_the_way_that_serves_most_is_taken_for_all(tmp_path: Path) -> None:
    modules = [*(f"text.{name}" for name in LAYERS), f"vision.{LAYERS[0]}"]
    assert matched(tmp_path, modules, LAYERS) == {name: f"text.{name}" for name in LAYERS}


def test_dots_may_be_underscores(tmp_path: Path) -> None:
    paths = [f"unet_{name.replace('.', '_')}" for name in LAYERS]
    assert matched(tmp_path, LAYERS, paths) == dict(zip(paths, LAYERS, strict=True))


@pytest.mark.parametrize(("count", "known"), [(4, True), (5, False)])
def test_an_end_that_many_weights_share_says_nothing(count: int, known: bool, tmp_path: Path) -> None:
    found = matched(tmp_path, [f"blocks.{i}.q" for i in range(count)], ["q"])
    assert (found == {"q": "blocks.0.q"}, found == {}) == (known, not known)


def test_what_has_no_weight_is_left_out(tmp_path: Path) -> None:
    assert matched(tmp_path, ["a.q"], ["a.q", "a.k"]) == {"a.q": "a.q"}
    assert matched(tmp_path, ["a.q"], ["b.v"]) == {}
