"""Randomly damaged adapter folders give a right result or an AdapterError, nothing else.

Ten thousand examples: COREMERGE_EXAMPLES=10000 python -m pytest tests/adapters/test_adapter_damage.py
"""

import json
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import adapter_folders as folders
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from coremerge_ref.adapters import merge_folders
from coremerge_ref.errors import AdapterError

EXAMPLES = int(os.environ.get("COREMERGE_EXAMPLES", "200"))
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)
fields = st.sampled_from(
    [*folders.CONFIG, "init_lora_weights", "use_dora", "modules_to_save", "save_projection", "other"]
)
endings = st.sampled_from(
    ["lora_A.weight", "lora_B.weight", "lora_embedding_A", "bias", "weight", "base_layer.weight", ""]
)


@st.composite
def damages(draw: st.DrawFn) -> tuple[str, Any]:
    """One kind of damage and its parameters."""
    kind = draw(
        st.sampled_from(["flip", "cut", "grow", "field", "drop field", "rename", "reshape", "value", "dtype", "remove"])
    )
    which = draw(st.sampled_from([WEIGHTS, CONFIG]))
    place = draw(st.integers(0, 10**6))
    payload = {
        "flip": lambda: (which, place, draw(st.integers(1, 255))),
        "cut": lambda: (which, place),
        "grow": lambda: (which, draw(st.binary(min_size=1, max_size=20))),
        "field": lambda: (draw(fields), draw(json_values)),
        "drop field": lambda: (draw(fields),),
        "rename": lambda: (
            place,
            draw(st.sampled_from(["q.", "base_model.model.k.", "", "vera_", "\x00"])) + draw(endings),
        ),
        "reshape": lambda: (place, draw(st.permutations(range(4)))),
        "value": lambda: (place, draw(st.floats(width=32))),
        "dtype": lambda: (place, draw(st.sampled_from(["float16", "float64", "int8", "bool", "uint32"]))),
        "remove": lambda: (place,),
    }[kind]()
    return kind, payload


def apply(folder: Path, kind: str, payload: tuple[Any, ...]) -> None:
    """Damages the folder."""
    if kind in ("flip", "cut", "grow"):
        path = folder / payload[0]
        content = bytearray(path.read_bytes())
        if kind == "flip" and content:
            content[payload[1] % len(content)] ^= payload[2]
        elif kind == "cut":
            del content[payload[1] % (len(content) + 1) :]
        elif kind == "grow":
            content += payload[1]
        path.write_bytes(bytes(content))
    elif kind in ("field", "drop field"):
        try:
            config = json.loads((folder / CONFIG).read_bytes())
        except ValueError:
            return
        if kind == "field":
            config[payload[0]] = payload[1]
        else:
            config.pop(payload[0], None)
        (folder / CONFIG).write_text(json.dumps(config))
    else:
        try:
            tensors = load_file(folder / WEIGHTS)
        except Exception:  # damaged already
            return
        if tensors:
            reshape_tensors(tensors, kind, payload)
            save_file({n: np.ascontiguousarray(t) for n, t in tensors.items()}, folder / WEIGHTS)


def reshape_tensors(tensors: dict[str, np.ndarray], kind: str, payload: tuple[Any, ...]) -> None:
    """Damages one tensor."""
    name = sorted(tensors)[payload[0] % len(tensors)]
    array = tensors.pop(name)
    if kind == "rename":
        tensors[payload[1]] = array
    elif kind == "reshape":
        tensors[name] = array.transpose([axis for axis in payload[1] if axis < array.ndim])
    elif kind == "value":
        array = array.copy()
        with np.errstate(all="ignore"):
            array.reshape(-1)[payload[0] % array.size] = np.asarray(payload[1]).astype(array.dtype)
        tensors[name] = array
    elif kind == "dtype":
        with np.errstate(all="ignore"):
            tensors[name] = array.astype(payload[1])


def reference(folder: Path, scaled: bool) -> dict[str, np.ndarray]:
    """ΔW of each module of a folder that reads as a plain adapter: scaling · B A, straight from the files.

    scaled=False leaves the scaling out: in an output alpha is the rank everywhere. By the path in the model: names
    without PEFT's prefix are read, and written with it.
    """
    tensors = {n: t.astype(np.float64) for n, t in load_file(folder / WEIGHTS).items()}
    config = json.loads((folder / CONFIG).read_text())
    alpha, made = config.get("lora_alpha", 8), {}
    for name, A in tensors.items():
        module, found, _ = name.partition(".lora_A.weight")
        if found:
            B = tensors[module + ".lora_B.weight"]
        elif ".lora_embedding_A" in name:
            module = name.partition(".lora_embedding_A")[0]
            A, B = tensors[module + ".lora_embedding_B"].T, A.T
        elif name.endswith(".vera_lambda_b"):
            module = name.removesuffix(".vera_lambda_b")
            d = tensors[module + ".vera_lambda_d"]
            made[module.removeprefix(folders.PREFIX)] = (
                A[:, None] * tensors["base_model.vera_B"][: len(A)] @ (d[:, None] * tensors["base_model.vera_A"])
            )
            continue
        else:
            continue
        r = A.shape[0]
        scaling = (alpha / np.sqrt(r) if config.get("use_rslora") else alpha / r) if scaled else 1.0
        made[module.removeprefix(folders.PREFIX)] = scaling * B.reshape(B.shape[0], -1) @ A.reshape(r, -1)
    return made


def check_right(folder: Path, out: Path) -> None:
    """The output, which is one adapter merged alone, is the input's update to rounding."""
    patterns = json.loads((folder / CONFIG).read_text())
    if patterns.get("rank_pattern") or patterns.get("alpha_pattern"):
        return  # matched as PEFT does; tested against PEFT itself
    want, got = reference(folder, scaled=True), reference(out, scaled=False)
    assert got.keys() == want.keys()
    for module, delta in want.items():
        size = np.linalg.norm(delta)
        # factors rounded to float16 at the narrowest, balanced, so relative to the norm of a product of small rank
        smallest = 2.0**-10 if any(t.dtype == np.float16 for t in load_file(out / WEIGHTS).values()) else 2.0**-23
        assert np.linalg.norm(got[module] - delta) <= 100 * smallest * size + 1e-30, module


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.booleans(), st.lists(damages(), max_size=3))
def test_damaged_folders_give_a_right_result_or_an_adapter_error(vera: bool, done: list[tuple[str, Any]]) -> None:
    place = Path(tempfile.mkdtemp())
    try:
        folder = folders.write(
            place / "a", folders.vera_tensors() if vera else None, peft_type="VERA" if vera else "LORA"
        )
        for kind, payload in done:
            apply(folder, kind, payload)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                merge_folders([folder], place / "out", "ta")
        except AdapterError as error:
            message = str(error)
        else:
            check_right(folder, place / "out")
            return
        assert done
        assert "\n" not in message
        assert sorted(os.listdir(place)) == ["a"]
    finally:
        shutil.rmtree(place)
