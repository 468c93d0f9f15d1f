"""How a base stores weights, as (out, in) or as Conv1D's (in, out): its shapes say, its biases, or the configs."""

from pathlib import Path
from typing import Any

import adapter_folders as folders
import numpy as np
import pytest
from safetensors.numpy import save_file
from said import parts

from coremerge_ref.adapters import Adapter
from coremerge_ref.adapters.orientation import stored_alike, stored_transposed
from coremerge_ref.adapters.plan import planned
from coremerge_ref.adapters.widths import BaseShapes
from coremerge_ref.errors import AdapterError

WIDE, SQUARE = "h.0.fc", "h.0.proj"


def turned(tmp_path: Path, flags: list[bool], base: dict[str, tuple[int, ...]] | None) -> dict[str, bool]:
    """{last part of the path: whether stored as (in, out)} of a 4 × 5 layer, fc, and a 4 × 4 one, proj."""
    shapes = {
        f"{WIDE}.lora_A": (2, 5),
        f"{WIDE}.lora_B": (4, 2),
        f"{SQUARE}.lora_A": (2, 4),
        f"{SQUARE}.lora_B": (4, 2),
    }
    tensors = {f"{folders.PREFIX}{name}.weight": np.ones(shape, np.float32) for name, shape in shapes.items()}
    adapters = [
        Adapter(folders.write(tmp_path / str(i), tensors, fan_in_fan_out=flag, target_modules=["fc", "proj"]))
        for i, flag in enumerate(flags)
    ]
    found = stored_transposed(adapters, planned(adapters).layers, None if base is None else shapes_of(tmp_path, base))
    return {name.rpartition(".")[2]: way for name, way in found.items()}


def shapes_of(tmp_path: Path, base: dict[str, tuple[int, ...]]) -> BaseShapes:
    save_file({name: np.zeros(shape, np.float32) for name, shape in base.items()}, tmp_path / "base.safetensors")
    return BaseShapes(tmp_path / "base.safetensors")


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("base", [None, {"other.weight": (4, 5)}, {f"{WIDE}.weight": (4, 5, 1)}], ids=str)
def test_where_the_base_says_nothing_the_configs_do(flag: bool, base: Any, tmp_path: Path) -> None:
    assert turned(tmp_path, [flag, flag], base) == {"fc": flag, "proj": flag}


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize(("shape", "way"), [((4, 5), False), ((5, 4), True)])
def test_a_weight_that_is_not_square_speaks_for_itself(
    shape: tuple[int, int], way: bool, flag: bool, tmp_path: Path
) -> None:
    base = {f"{WIDE}.weight": shape, f"{SQUARE}.weight": (4, 4)}
    assert turned(tmp_path, [flag], base) == {"fc": way, "proj": flag}


@pytest.mark.parametrize("flags", [[True], [False], [True, False]], ids=str)
@pytest.mark.parametrize("way", [True, False])
def test_a_square_weight_is_stored_as_others_of_its_name(flags: list[bool], way: bool, tmp_path: Path) -> None:
    base = {f"{WIDE}.weight": (5, 4) if way else (4, 5), f"{SQUARE}.weight": (4, 4), f"{SQUARE}.bias": (4,)}
    base |= {"h.1.proj.weight": (7, 4) if way else (4, 7), "h.1.proj.bias": (4,)}
    assert turned(tmp_path, flags, base) == {"fc": way, "proj": way}


def test_configs_that_differ_are_refused_where_nothing_else_says_it(tmp_path: Path) -> None:
    """Neither a weight without a bias, nor two of one name that disagree, say how a square one is stored."""
    for base in (
        {f"{WIDE}.weight": (4, 5)},
        {f"{WIDE}.weight": (4, 5), "h.1.proj.weight": (7, 4)},
        {
            f"{WIDE}.weight": (4, 5), "h.1.proj.weight": (7, 4), "h.1.proj.bias": (4,), "h.2.proj.weight": (4, 7),
            "h.2.proj.bias": (4,),
        },
    ):  # fmt: skip
        with pytest.raises(AdapterError, match=parts(f"'{SQUARE}': fan_in_fan_out … --dense")):
            turned(tmp_path, [True, False], base)
    with pytest.raises(AdapterError, match=parts(f"'{WIDE}': fan_in_fan_out … --dense")):
        turned(tmp_path, [False, True], None)


def test_what_weights_with_biases_show_of_their_names(tmp_path: Path) -> None:
    base: dict[str, tuple[int, ...]] = {
        "0.q.weight": (4, 7), "0.q.bias": (4,),
        "1.q.weight": (4, 4), "1.q.bias": (4,),  # of a square one nothing is seen
        "0.k.weight": (7, 4), "0.k.bias": (4,),
        "0.v.weight": (4, 7), "0.v.bias": (4,), "1.v.weight": (7, 4), "1.v.bias": (4,),  # in two ways
        "0.conv.weight": (4, 7, 1), "0.conv.bias": (4,),
        "0.alone.weight": (4, 7), "0.other": (4, 7), "norm.weight": (4,), "norm.bias": (4,),
    }  # fmt: skip
    assert stored_alike(shapes_of(tmp_path, base)) == {"q": False, "k": True}
