"""What is merged with what: modules by their paths, adapters that do not go together, and what is worth knowing."""

from pathlib import Path
from typing import Any

import adapter_folders as folders
import numpy as np
import pytest
from said import parts

from coremerge_ref.adapters import Adapter
from coremerge_ref.adapters.plan import Plan, planned
from coremerge_ref.errors import AdapterError, ParameterError

PREFIX = folders.PREFIX


def adapter(folder: Path, *names: str, prefix: str = PREFIX, **shapes: tuple[int, ...]) -> Adapter:
    """Linear layers of 4 × 5, or what shapes say: (out, in, kernel…) by name."""
    tensors = {}
    for name in (*names, *shapes):
        out, into, *kernel = shapes.get(name, (4, 5))
        tensors[f"{prefix}{name}.lora_A.weight"] = np.ones((2, into, *kernel), np.float32)
        tensors[f"{prefix}{name}.lora_B.weight"] = np.ones((out, 2, *[1] * len(kernel)), np.float32)
    return Adapter(folders.write(folder, tensors, target_modules=[*names, *shapes], fan_in_fan_out=None))


def plan(adapters: list[Adapter], **more: Any) -> Plan:
    return planned(adapters, **more)


def test_layers_are_held_by_those_that_have_them_in_the_order_of_the_first(tmp_path: Path) -> None:
    made = plan([adapter(tmp_path / "a", "x", "z"), adapter(tmp_path / "b", "y", "z")])
    assert [layer.path for layer in made.layers] == ["x", "z", "y"]
    assert [[module is not None for module in layer.holders] for layer in made.layers] == [
        [True, False], [True, True], [False, True],
    ]  # fmt: skip
    assert made.layers[0].sources == (f"{PREFIX}x", None)
    assert made.complete
    [note] = made.notes
    for word in ("2 of 3 layers", f"{tmp_path / 'a'} lacks 1 (y …)", f"{tmp_path / 'b'} lacks 1 (x …)"):
        assert word in note
    assert "more adapters" not in note


def test_few_of_many_adapters_that_lack_layers_are_named(tmp_path: Path) -> None:
    whole = adapter(tmp_path / "whole", "x", "y", "z")
    some = [adapter(tmp_path / str(i), "z") for i in range(9)]
    [note] = plan([whole, *some]).notes
    assert "2 of 3 layers" in note
    named = note.count(" lacks 2 (x …)")
    assert 0 < named < 9
    assert note.endswith(f" and {9 - named} more adapters lack some")
    assert f"{tmp_path / 'whole'} lacks" not in note


def test_adapters_that_share_nothing_are_named_with_a_module_each(tmp_path: Path) -> None:
    held = [adapter(tmp_path / "a", "m", "k"), adapter(tmp_path / "b", "w", "v")]
    wanted = f"'{tmp_path / 'a'}' and '{tmp_path / 'b'}' share no module … 'k' … 'v' … --rename … --allow-missing"
    with pytest.raises(AdapterError, match=parts(wanted)):
        plan(held)
    assert len(plan(held, allow_missing=True).layers) == 4
    third = adapter(tmp_path / "c", "k", "v")  # by way of which they hang together
    assert len(plan([*held, third]).layers) == 4


@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        ((4, 5), (4, 6), "linear (4, 5) … linear (4, 6)"),
        ((4, 5), (3, 5), "linear (4, 5) … linear (3, 5)"),
        ((4, 5, 3, 3), (4, 5, 1, 3), "conv (5, 3, 3) … conv (5, 1, 3)"),
        ((4, 45), (4, 5, 3, 3), "linear (4, 45) … conv (5, 3, 3)"),
    ],
)
def test_modules_of_two_forms_are_named_with_both(
    one: tuple[int, ...], two: tuple[int, ...], message: str, tmp_path: Path
) -> None:
    held = [adapter(tmp_path / "0", "y"), adapter(tmp_path / "a", "y", x=one), adapter(tmp_path / "b", "y", x=two)]
    first, _, second = message.partition(" … ")
    wanted = f"'x': … {first} … '{tmp_path / 'a'}' … {second} … '{tmp_path / 'b'}' … --exclude"
    with pytest.raises(AdapterError, match=parts(wanted)):
        plan(held)
    assert [layer.path for layer in plan(held, exclude=["x"]).layers] == ["y"]


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    made = plan([adapter(tmp_path / "a", "x", "y", "z")], exclude=["y"])
    assert [layer.path for layer in made.layers] == ["x", "z"]
    [note] = made.notes
    for word in ("1 of 3 modules", "--include, --exclude"):
        assert word in note
    assert not made.complete
    with pytest.raises(ParameterError, match=parts("include, exclude: … 3 modules … 'x' … none")):
        plan([adapter(tmp_path / "b", "x", "y", "z")], include=["w"])


def test_one_module_under_two_prefixes_is_refused(tmp_path: Path) -> None:
    tensors = {
        f"{prefix}q.lora_{f}.weight": np.ones((2, 5) if f == "A" else (4, 2), np.float32)
        for prefix in (PREFIX, "")
        for f in "AB"
    }
    path = folders.write(tmp_path / "a", tensors)
    with pytest.raises(AdapterError, match=parts(f"'{path}': … prefix … save the adapter again")) as caught:
        plan([Adapter(path)])
    assert f"'{PREFIX}q'" in str(caught.value)
    assert "'q'" in str(caught.value)


def test_names_without_pefts_prefix_get_it_and_this_is_said(tmp_path: Path) -> None:
    held = [adapter(tmp_path / str(i), "q", prefix="" if i else PREFIX) for i in range(2)]
    made = plan(held)
    assert [layer.name for layer in made.layers] == [f"{PREFIX}q"]
    [note] = made.notes
    for word in (f"{PREFIX!r}", str(tmp_path / "1")):
        assert word in note
    assert str(tmp_path / "0") not in note
    assert [layer.name for layer in plan(held[::-1]).layers] == [f"{PREFIX}q"]


def test_a_renaming_by_hand_is_told_apart_from_one_that_was_found(tmp_path: Path) -> None:
    held = [adapter(tmp_path / "a", "h.0.q"), adapter(tmp_path / "b", "layers.0.q")]
    made = plan(held, rename=[r"^h\.=layers."])
    assert [layer.path for layer in made.layers] == ["layers.0.q"]
    assert made.layers[0].sources == (f"{PREFIX}h.0.q", f"{PREFIX}layers.0.q")
    assert made.renamings[1] is None
    assert made.renamings[0] is not None
    assert made.renamings[0].names == {"h.0.q": "layers.0.q"}
    assert "--rename" in made.renamings[0].how
