"""Every reader of the table, on randomly damaged adapters: a merge that can be read again, or one AdapterError.

Ten thousand examples a reader: COREMERGE_EXAMPLES=10000 python -m pytest tests/adapters/formats/test_damage.py
"""

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adapter_folders as folders
import numpy as np
import pytest
import test_adapter_damage as damage
from gguf_files import gguf_file, gguf_tensors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from coremerge_ref.adapters import Adapter, merge_folders
from coremerge_ref.adapters.formats import READERS, open_reader
from coremerge_ref.adapters.formats.base import PeftReader, Reader
from coremerge_ref.adapters.formats.place import Place
from coremerge_ref.errors import AdapterError

P = folders.PREFIX
EXAMPLES = int(os.environ.get("COREMERGE_EXAMPLES", "60"))


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def peft(kind: str, tensors: dict[str, np.ndarray], **fields: Any) -> Callable[[Path], Path]:
    settings = {"lora_alpha": None, "rank_pattern": None, "alpha_pattern": None, "use_rslora": None, **fields}
    if kind not in ("ADALORA", "VBLORA", "GRALORA"):
        settings["fan_in_fan_out"] = None
    return lambda place: folders.write(place / "a", tensors, peft_type=kind, **settings)


def trained_at_initial(place: Path) -> str:
    return f"{folders.write(place / 'a')}@{folders.write(place / 'b', folders.lora_tensors(3))}"


def single(place: Path) -> Path:
    (place / "a").mkdir()
    path = place / "a" / "adapter_model.safetensors"
    lycoris = {
        f"l.hada_{role}": draw(9, *shape)
        for role, shape in (("w1_a", (6, 2)), ("w1_b", (2, 5)), ("w2_a", (6, 2)), ("w2_b", (2, 5)))
    }
    kohya = {"k.lora_down.weight": draw(0, 2, 5), "k.lora_up.weight": draw(1, 6, 2), "k.alpha": draw(2, 1)}
    tucker = {
        "t.lora_down.weight": draw(0, 2, 4, 1, 1),
        "t.lora_mid.weight": draw(1, 2, 2, 3, 3),
        "t.lora_up.weight": draw(2, 5, 2, 1, 1),
    }
    save_file(lycoris | kohya | tucker, path)
    return path


def mlx(place: Path) -> Path:
    folder = folders.write(place / "a", {"x.lora_a": draw(0, 5, 2), "x.lora_b": draw(1, 2, 4)})
    (folder / "adapter_model.safetensors").rename(folder / "adapters.safetensors")
    (folder / "adapter_config.json").write_text(
        json.dumps({"fine_tune_type": "lora", "lora_parameters": {"rank": 2, "scale": 2.0}})
    )
    return folder


def gguf(place: Path) -> Path:
    (place / "a").mkdir()
    return gguf_file(place / "a" / "adapter_model.safetensors", gguf_tensors(0, 2))


LYCORIS = {role: draw(7, *s) for role, s in (("w1_a", (6, 2)), ("w1_b", (2, 5)), ("w2_a", (6, 2)), ("w2_b", (2, 5)))}
MADE: dict[str, Callable[[Path], Path | str]] = {
    "LoraReader": lambda place: folders.write(place / "a"),
    "VeraReader": lambda place: folders.write(place / "a", folders.vera_tensors(), peft_type="VERA"),
    "AdaLoraReader": peft(
        "ADALORA", {f"{P}q.lora_A": draw(0, 2, 5), f"{P}q.lora_B": draw(1, 4, 2), f"{P}q.lora_E": draw(2, 2, 1)}
    ),
    "LohaReader": peft("LOHA", {f"{P}q.hada_{role}": array for role, array in LYCORIS.items()}, alpha=3),
    "LokrReader": peft(
        "LOKR", {f"{P}q.lokr_w1": draw(0, 2, 3), f"{P}q.lokr_w2_a": draw(1, 4, 2), f"{P}q.lokr_w2_b": draw(2, 2, 5)}
    ),
    "MissReader": peft("MISS", {f"{P}q.miss_block": draw(0, 2, 4)}),
    "DeloraReader": peft(
        "DELORA",
        {
            f"{P}q.delora_A": draw(0, 2, 5),
            f"{P}q.delora_B": draw(1, 4, 2),
            f"{P}q.delora_lambda": draw(2, 1),
            f"{P}q.delora_w_norm": draw(3, 5),
        },
    ),
    "GraloraReader": peft("GRALORA", {f"{P}q.gralora_A": draw(0, 2, 3, 2), f"{P}q.gralora_B": draw(1, 2, 2, 3)}),
    "VbloraReader": peft(
        "VBLORA",
        {
            "base_model.vblora_vector_bank": draw(0, 5, 2),
            f"{P}q.vblora_logits_A": draw(1, 2, 3, 5),
            f"{P}q.vblora_logits_B": draw(2, 4, 2, 5),
        },
    ),
    "InitialReader": trained_at_initial,
    "SingleFileReader": single,
    "MlxReader": mlx,
    "GgufReader": gguf,
}


def base(place: Path) -> Path:
    """Sizes for the kinds that do not hold them."""
    save_file({"q.weight": draw(0, 4, 5)}, place / "base.safetensors")
    return place / "base.safetensors"


def weights_of(reader: Reader) -> Path:
    return reader.files[1 if isinstance(reader, PeftReader) else 0]


@pytest.mark.parametrize("reader", READERS, ids=lambda r: r.__name__)
def test_undamaged_adapters_are_recognised_by_that_reader_alone(reader: type[Reader], tmp_path: Path) -> None:
    given = MADE[reader.__name__](tmp_path)
    place = Place(given)
    assert [one for one in READERS if one.recognise(place)] == [reader]
    assert type(open_reader(Place(given))) is reader
    report = merge_folders([given], tmp_path / "out", "ta", base=base(tmp_path))
    assert report.written
    assert len(Adapter(tmp_path / "out").modules) == report.layers


@pytest.mark.parametrize("reader", READERS, ids=lambda r: r.__name__)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(done=st.lists(damage.damages(), min_size=1, max_size=3))
def test_damaged_adapters_give_an_adapter_or_an_adapter_error(
    reader: type[Reader], done: list[tuple[str, Any]]
) -> None:
    place = Path(tempfile.mkdtemp())
    try:
        given_path = MADE[reader.__name__](place)
        folder, names = place / "a", {path.name for path in place.iterdir()}
        if (folder / "adapters.safetensors").exists():
            (folder / "adapters.safetensors").rename(folder / damage.WEIGHTS)
        for kind, payload in done:
            if (folder / damage.CONFIG).exists() or payload[0] != damage.CONFIG:
                damage_one(folder, kind, payload)
        if reader.__name__ == "MlxReader":
            (folder / damage.WEIGHTS).rename(folder / "adapters.safetensors")
        known = base(place)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                merge_folders([given_path], place / "out", "ta", base=known)
        except AdapterError as error:
            message = str(error)
        else:
            message = ""
            out = Adapter(place / "out")
            before = Adapter(given_path)
            assert {m.shape[0] for m in out.modules.values()} == {m.shape[0] for m in before.modules.values()}
            for update in out.load(out.modules).values():
                assert np.all(np.isfinite(update.B))
                assert np.all(np.isfinite(update.A))
        assert "\n" not in message
        assert {path.name for path in place.iterdir()} - {"out"} == names | {"base.safetensors"}
        assert (place / "out").exists() != bool(message)
    finally:
        shutil.rmtree(place)


def damage_one(folder: Path, kind: str, payload: tuple[Any, ...]) -> None:
    """As the damage of folders, where there is a config; of files alone, what can be done to a file."""
    if kind in ("field", "drop field") and not (folder / damage.CONFIG).exists():
        return
    if kind not in ("flip", "cut", "grow", "field", "drop field"):
        try:
            load_file(folder / damage.WEIGHTS)
        except Exception:  # damaged already, or GGUF
            return
    damage.apply(folder, kind, payload)
