"""How wide modules are: from the file, an adapter beside it, or the base model, whose packed weights show no width."""

from pathlib import Path
from typing import Any

import adapter_folders as folders
import numpy as np
import pytest
from safetensors.numpy import save_file
from said import parts

from coremerge_ref.adapters import Adapter
from coremerge_ref.adapters.modules import CONV, LINEAR
from coremerge_ref.adapters.widths import BaseShapes, resolve_widths
from coremerge_ref.errors import AdapterError


def base(path: Path, **shapes: tuple[int, ...]) -> BaseShapes:
    save_file({name.replace("_DOT_", "."): np.zeros(shape, np.float32) for name, shape in shapes.items()}, path)
    return BaseShapes(path)


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=parts(f"'{tmp_path}': … safetensors")):
        BaseShapes(tmp_path)


def test_all_files_of_a_folder_count(tmp_path: Path) -> None:
    for name in "ab":
        save_file({f"{name}.weight": np.zeros((2, 3))}, tmp_path / f"{name}.safetensors")
    found = BaseShapes(tmp_path)
    assert (found.of("a"), found.of("b"), found.of("c")) == ((2, 3), (2, 3), None)


def test_names_are_found_by_their_ends_where_that_is_one(tmp_path: Path) -> None:
    found = base(tmp_path / "x.safetensors", model_DOT_q_DOT_weight=(2, 3), k_DOT_weight=(4, 5),
                 a_DOT_v_DOT_weight=(6, 7), b_DOT_v_DOT_weight=(8, 9), v_DOT_bias=(1,), u_DOT_weight=(1, 2),
                 c_DOT_u_DOT_weight=(3, 4))  # fmt: skip
    shapes = {
        name: found.of(name) for name in ("q", "model.q", "outer.model.q", "outer.k", "v", "a.v", "xq", "u", "bias")
    }
    assert shapes == {
        "q": (2, 3), "model.q": (2, 3), "outer.model.q": (2, 3), "outer.k": (4, 5), "v": None, "a.v": (6, 7),
        "xq": None, "u": (1, 2), "bias": None,
    }  # fmt: skip


def test_underscored_names_are_the_longest_end_that_there_is(tmp_path: Path) -> None:
    found = base(tmp_path / "x.safetensors", mid_DOT_to_q_DOT_weight=(2, 3), q_DOT_weight=(4, 5), q_DOT_bias=(9,))
    assert found.of_underscored("lora_unet_mid_to_q") == (2, 3)
    assert found.of_underscored("lora_unet_other_q") == (4, 5)
    assert found.of_underscored("lora_unet_mid_to_k") is None


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint32])
def test_packed_weights_show_no_shape(dtype: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"m.q.weight": np.zeros((6, 1), dtype)}, path)
    code = {1: "8", 4: "32"}[np.dtype(dtype).itemsize]
    letter = "U" if np.dtype(dtype).kind == "u" else "I"
    wanted = f"'{path}': tensor 'm.q.weight': … ({letter}{code} (6, 1)) … --base"
    with pytest.raises(AdapterError, match=parts(wanted)):
        BaseShapes(path).of("q")


def test_weights_with_scales_beside_them_are_packed(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"q.weight": np.zeros((6, 1), np.float32), "q.weight.absmax": np.zeros(1, np.float32)}, path)
    with pytest.raises(AdapterError, match=parts("'q.weight' … quantized … --base")):
        BaseShapes(path).of("q")


def vera(folder: Path, outputs: tuple[int, int]) -> Adapter:
    tensors = folders.vera_tensors()
    tensors["base_model.vera_B"] = np.ones((max(outputs), 2), np.float32)
    for name, m in zip("qk", outputs, strict=True):
        tensors[f"{folders.PREFIX}{name}.vera_lambda_b"] = np.ones(m, np.float32)
    return Adapter(folders.write(folder, tensors, peft_type="VERA"))


def widths(adapter: Adapter) -> dict[str, Any]:
    return {module.path: module.shape for module in adapter.modules.values()}


def test_the_base_model_says_which_side_is_the_input(tmp_path: Path) -> None:
    """Conv1D stores (in, out); of a square weight the sides are alike."""
    adapter = vera(tmp_path / "a", (4, 3))
    assert resolve_widths([adapter], base(tmp_path / "b", q_DOT_weight=(4, 5), k_DOT_weight=(2, 3))) == []
    assert widths(adapter) == {"q": (4, 5), "k": (3, 2)}


@pytest.mark.parametrize("shape", [(5, 6), (4,), (4, 5, 1), (4, 3, 3, 3)])
def test_a_base_weight_of_another_size_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    adapter = vera(tmp_path / "a", (4, 3))
    with pytest.raises(AdapterError, match=parts(f"'q': … 4, got shape {shape}")):
        resolve_widths([adapter], base(tmp_path / "b", q_DOT_weight=shape, k_DOT_weight=(3, 2)))


def test_a_module_wider_than_the_shared_matrix_is_no_module_of_it(tmp_path: Path) -> None:
    adapter, file = vera(tmp_path / "a", (4, 3)), tmp_path / "a" / "adapter_model.safetensors"
    wanted = f"'{file}': module 'base_model.model.q': expected at most the 5 columns of vera_A, got 6"
    with pytest.raises(AdapterError, match=parts(wanted)):
        resolve_widths([adapter], base(tmp_path / "b", q_DOT_weight=(4, 6), k_DOT_weight=(3, 2)))


def test_one_output_size_lets_the_shared_matrix_speak_for_all(tmp_path: Path) -> None:
    adapter = vera(tmp_path / "a", (4, 4))
    [note] = resolve_widths([adapter], None)
    assert f"{tmp_path / 'a'}: took 5 as" in note
    assert "--base" in note
    assert widths(adapter) == {"q": (4, 5), "k": (4, 5)}


@pytest.mark.parametrize("known", [{}, {"q_DOT_weight": (4, 5)}], ids=["no base", "a base without one"])
def test_sizes_that_cannot_be_known_are_asked_for(known: dict[str, Any], tmp_path: Path) -> None:
    adapter = vera(tmp_path / "a", (4, 3))
    there = base(tmp_path / "b", **known) if known else None
    wanted = f"'{tmp_path / 'a'}': PEFT VeRA … 'k' … --base"  # as they lie in the file
    with pytest.raises(AdapterError, match=parts(wanted)):
        resolve_widths([adapter], there)


def test_a_flattened_product_gets_the_kernel_of_its_convolution(tmp_path: Path) -> None:
    """LoHa of a 3 × 3 convolution of two channels and of a linear layer, both of 4 × 18."""
    sides = {"w1_a": (4, 2), "w1_b": (2, 18), "w2_a": (4, 2), "w2_b": (2, 18)}
    tensors = {
        f"lora_unet_{name}.hada_{role}": np.ones(shape, np.float32)
        for name in ("conv", "linear")
        for role, shape in sides.items()
    }
    save_file(tensors, tmp_path / "loha.safetensors")
    adapter = Adapter(tmp_path / "loha.safetensors")
    shapes = base(tmp_path / "x.safetensors", conv_DOT_weight=(4, 2, 3, 3), linear_DOT_weight=(4, 18))
    assert resolve_widths([adapter], shapes) == []
    kernels = {name: (module.kind, module.kernel) for name, module in adapter.modules.items()}
    assert kernels == {"lora_unet_conv": (CONV, (2, 3, 3)), "lora_unet_linear": (LINEAR, ())}
