"""coremerge extract: the nearest LoRA of a fine-tune's difference, its error as it is, and what PEFT makes of it."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import ml_dtypes
import needs_torch  # noqa: F401
import numpy as np
import peft_zoo as zoo
import pytest
import torch
from peft import PeftModel
from safetensors.numpy import load_file, save_file
from test_fusing import check, gpt2, llama, logits, trained, unmerged

from coremerge_ref.adapters import extract_adapter, merge_folders
from coremerge_ref.errors import AdapterError, ParameterError
from coremerge_ref.testing import THRESHOLD, ratio


def model(folder: Path, tensors: dict[str, np.ndarray], **config: Any) -> Path:
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps({"model_type": "none", **config}))
    return folder


def weights(seed: int = 0, dtype: Any = np.float64) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"l.0.q.weight": (24, 16), "l.0.up.weight": (12, 40), "conv.weight": (9, 4, 3, 3), "emb.weight": (30, 8),
              "norm.weight": (16,), "l.0.q.bias": (24,)}  # fmt: skip
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def tuned(before: dict[str, np.ndarray], only: tuple[str, ...] = (), decay: float = 0.7) -> dict[str, np.ndarray]:
    """Those weights with differences of full rank, whose singular values fall by `decay`, or by its square."""
    rng = np.random.default_rng(77)
    after = {}
    for i, (name, tensor) in enumerate(before.items()):
        flat = tensor.reshape(tensor.shape[0], -1).astype(np.float64)
        P, _, Qh = np.linalg.svd(rng.standard_normal(flat.shape), full_matrices=False)
        change = (P * decay ** ((1 + i % 2) * np.arange(P.shape[1]))) @ Qh
        touched = name in only if only else len(tensor.shape) > 1
        after[name] = (flat + 0.1 * change * touched).reshape(tensor.shape).astype(tensor.dtype)
    return after


def products(folder: Path) -> dict[str, np.ndarray]:
    """B A of each module as the file has it, with PEFT's alpha = r."""
    tensors = {
        n.removeprefix("base_model.model."): t.astype(np.float64)
        for n, t in load_file(folder / "adapter_model.safetensors").items()
    }
    modules = {name.partition(".lora_A")[0] for name in tensors if ".lora_A" in name}
    flat = {name: (tensors[f"{name}.lora_B.weight"], tensors[f"{name}.lora_A.weight"]) for name in modules}
    return {name: B.reshape(len(B), -1) @ A.reshape(len(A), -1) for name, (B, A) in flat.items()}


def difference(before: dict[str, np.ndarray], after: dict[str, np.ndarray], module: str) -> np.ndarray:
    D = after[f"{module}.weight"].astype(np.float64) - before[f"{module}.weight"].astype(np.float64)
    return D.reshape(len(D), -1)


@pytest.mark.parametrize("svd", ["full", "auto", "randomized"])
def test_the_error_is_that_of_what_is_written(svd: str, tmp_path: Path) -> None:
    """Computed with NumPy from the file; and that of a full SVD is the least there is."""
    before = weights()
    after = tuned(before)
    report = extract_adapter(
        model(tmp_path / "b", before), model(tmp_path / "t", after), tmp_path / "out", rank=3, svd=svd
    )
    assert report.layers.keys() == {"l.0.q", "l.0.up", "conv"}
    for module, product in products(tmp_path / "out").items():
        D = difference(before, after, module)
        S = np.linalg.svd(D, compute_uv=False)
        size, facts = float(np.linalg.norm(D)), report.layers[module]
        error = float(np.linalg.norm(D - product))
        for got, want in (
            (facts["error"], error / size),
            (facts["norm"], size),
            (facts["energy"], 1 - (error / size) ** 2),
        ):
            assert ratio(got, want, scale=1.0, eps=2.0**-52, kappa=10) <= THRESHOLD
        least = float(np.linalg.norm(S[3:]))
        assert error >= least * (1 - 1e-12)
        if svd != "randomized":
            assert ratio(error, least, scale=size, eps=2.0**-52, kappa=10) <= THRESHOLD
        change = size / float(np.linalg.norm(before[f"{module}.weight"]))
        assert ratio(facts["change"], change, scale=change, eps=2.0**-52, kappa=10) <= THRESHOLD
        assert ("of" in facts) == (not facts["sketched"])


def test_a_sketch_is_nearly_as_near(tmp_path: Path) -> None:
    """600 × 700, which auto sketches: the error that is reported is the true one, 1 % above the least at most."""
    rng = np.random.default_rng(2)
    before = {"q.weight": rng.standard_normal((600, 700))}
    after = tuned(before, decay=0.97)
    base, fine = model(tmp_path / "b", before), model(tmp_path / "t", after)
    D = difference(before, after, "q")
    S = np.linalg.svd(D, compute_uv=False)
    size = float(np.linalg.norm(D))
    for given in ({"rank": 16}, {"retain": 0.9}):
        out = tmp_path / next(iter(given))
        facts = extract_adapter(base, fine, out, **given).layers["q"]
        assert 16 < facts["sketched"] <= 150
        error, k = float(np.linalg.norm(D - products(out)["q"])), facts["rank"]
        assert ratio(facts["error"], error / size, scale=1.0, eps=2.0**-52, kappa=10) <= THRESHOLD
        assert np.linalg.norm(S[k:]) <= error <= 1.01 * np.linalg.norm(S[k:])
    assert facts["energy"] >= 0.9
    assert np.sum(S[: facts["rank"] - 2] ** 2) < 0.9 * size**2  # not many more than are needed
    again = extract_adapter(base, fine, tmp_path / "again", rank=16)
    first = (tmp_path / "rank" / "adapter_model.safetensors").read_bytes()
    assert (tmp_path / "again" / "adapter_model.safetensors").read_bytes() == first
    assert again.layers["q"]["sketched"] == 26


@pytest.mark.parametrize(
    ("shape", "svd", "rank", "sketched"),
    [
        ((48, 60), "full", 1, 0),
        ((48, 60), "auto", 1, 0),  # a small layer
        ((60, 48), "randomized", 1, 11),  # ten directions more than the rank
        ((48, 60), "randomized", 38, 48),
        ((48, 60), "randomized", 39, 0),  # there are no more
        ((512, 560), "auto", 1, 0),
        ((560, 513), "auto", 1, 11),
        ((560, 520), "auto", 120, 130),
        ((560, 520), "auto", 121, 0),  # more than a quarter
        ((560, 520), "full", 1, 0),
    ],
)
def test_a_sketch_is_taken_where_it_is_asked_for_or_much_smaller_than_the_layer(
    shape: tuple[int, int], svd: str, rank: int, sketched: int, tmp_path: Path
) -> None:
    before = {"q.weight": np.zeros(shape, np.float32)}
    before["q.weight"][0, 0] = 1
    after = {"q.weight": np.random.default_rng(3).standard_normal(shape).astype(np.float32)}
    base, fine = model(tmp_path / "b", before), model(tmp_path / "t", after)
    facts = extract_adapter(base, fine, tmp_path / "out", rank=rank, svd=svd).layers["q"]
    assert (facts["sketched"], facts["rank"]) == (sketched, rank)


def test_torch_extracts_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    before = {"q.weight": rng.standard_normal((520, 530)), "k.weight": rng.standard_normal((40, 30))}
    after = tuned(before, decay=0.9)
    base, fine = model(tmp_path / "b", before), model(tmp_path / "t", after)
    for name in ("numpy", "torch"):
        extract_adapter(base, fine, tmp_path / name, rank=8, backend=name)
    one, two = products(tmp_path / "numpy"), products(tmp_path / "torch")
    for module, product in one.items():
        size = float(np.linalg.norm(product))
        # the cut may turn by rounding over the gap between the last value kept and the first left
        assert ratio(two[module], product, scale=size, eps=2.0**-52, kappa=100) <= THRESHOLD


def test_what_does_not_fit_into_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = weights()
    base, fine = model(tmp_path / "b", before), model(tmp_path / "t", tuned(before))
    monkeypatch.setattr("coremerge_ref.adapters.extract.free_memory", lambda: 20_000.0)
    with pytest.raises(ParameterError, match=r"'l\.0\.up'.*--exclude"):
        extract_adapter(base, fine, tmp_path / "out", rank=1)  # 12 × 40 entries of 8 bytes, eight times
    monkeypatch.setattr("coremerge_ref.adapters.extract.free_memory", lambda: 30_720.0)
    extract_adapter(base, fine, tmp_path / "exactly", rank=1)
    monkeypatch.setattr("coremerge_ref.adapters.extract.free_memory", lambda: 20_000.0)
    extract_adapter(base, fine, tmp_path / "out", rank=1, svd="randomized")
    extract_adapter(base, fine, tmp_path / "small", rank=1, include=["l.0.q"], exclude=["up"], svd="randomized")


def test_numbers_out_of_range_are_one_line(tmp_path: Path) -> None:
    before, after = ({"q.weight": sign * np.full((6, 5), 1.7e308)} for sign in (1, -1))
    with pytest.raises(AdapterError) as caught:
        extract_adapter(model(tmp_path / "b", before), model(tmp_path / "t", after), tmp_path / "out", rank=1)
    assert "q" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["b", "t"]


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99, 1.0])
def test_retain_keeps_the_share_in_every_layer(share: float, tmp_path: Path) -> None:
    before = weights()
    after = tuned(before)
    report = extract_adapter(
        model(tmp_path / "b", before), model(tmp_path / "t", after), tmp_path / "out", retain=share
    )
    for module, facts in report.layers.items():
        S2 = np.linalg.svd(difference(before, after, module), compute_uv=False) ** 2
        fewest = len(S2) if share == 1 else int(np.searchsorted(np.cumsum(S2), share * np.sum(S2))) + 1
        assert facts["rank"] == fewest
    assert report.ranks[0] < report.ranks[1] or share == 0.5


@pytest.mark.parametrize("make", [llama, gpt2])
def test_peft_loads_it_on_the_base_and_is_the_fine_tune(make: Any, tmp_path: Path) -> None:
    """A fine-tune of the linear layers, of full rank, extracted at full rank: GPT-2's are Conv1D."""
    base = make()
    fine = copy.deepcopy(base)
    torch.manual_seed(3)
    embeddings = {id(fine.get_input_embeddings().weight), id(fine.get_output_embeddings().weight)}
    with torch.no_grad():
        for name, parameter in fine.named_parameters():
            if parameter.ndim == 2 and id(parameter) not in embeddings and "wpe" not in name:
                parameter.add_(torch.randn_like(parameter) / 10)
    base.save_pretrained(tmp_path / "base", max_shard_size="4KB")
    fine.save_pretrained(tmp_path / "fine")
    report = extract_adapter(tmp_path / "base", tmp_path / "fine", tmp_path / "out", retain=1.0)
    with zoo.quiet():
        adapted = PeftModel.from_pretrained(copy.deepcopy(base), str(tmp_path / "out")).eval()
    check(logits(adapted), logits(fine))
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["task_type"] == "CAUSAL_LM"
    assert config["base_model_name_or_path"] == str(tmp_path / "base")
    assert config["target_modules"] == sorted({path.rpartition(".")[2] for path in report.layers})
    assert config["fan_in_fan_out"] == (make is gpt2)


def test_the_advice_for_dora_is_followed(tmp_path: Path) -> None:
    """Refused as an adapter; merged into its base by PEFT, its difference is a LoRA of full rank."""
    base = llama()
    base.save_pretrained(tmp_path / "base")
    adapter = trained(base, tmp_path / "dora", 5, ["q_proj", "up_proj"], use_dora=True)
    with pytest.raises(AdapterError, match="extract a LoRA from the difference with coremerge extract"):
        merge_folders([adapter], tmp_path / "out", "ta")
    with zoo.quiet():
        PeftModel.from_pretrained(copy.deepcopy(base), str(adapter)).merge_and_unload().save_pretrained(
            tmp_path / "fine"
        )
    extract_adapter(tmp_path / "base", tmp_path / "fine", tmp_path / "out", retain=1.0)
    check(unmerged(base, tmp_path / "out"), unmerged(base, adapter))
    merge_folders([tmp_path / "out"], tmp_path / "merged", "ta")


def test_convolutions_and_layers_that_did_not_change(tmp_path: Path) -> None:
    kind = zoo.KINDS["conv2d"]
    base = zoo.seeded(kind)
    fine = copy.deepcopy(base)
    with torch.no_grad():
        fine.one.weight.add_(torch.randn_like(fine.one.weight))
    for name, one in (("b", base), ("t", fine)):
        model(tmp_path / name, {n: t.numpy() for n, t in one.state_dict().items()})
    report = extract_adapter(tmp_path / "b", tmp_path / "t", tmp_path / "out", retain=1.0)
    assert report.layers.keys() == {"one"}
    assert report.unchanged == ["two"]
    assert any("1 modules do not differ: two" in text for text in report.notes)
    with zoo.quiet():
        adapted = PeftModel.from_pretrained(copy.deepcopy(base), str(tmp_path / "out")).eval().double()
    given = kind.inputs()
    with torch.no_grad():
        check(adapted(given).numpy(), fine.double()(given).numpy())


def test_what_is_not_taken_is_said_with_how_much_it_differs(tmp_path: Path) -> None:
    before = weights()
    after = tuned(before)
    after["norm.weight"] = 1.5 * before["norm.weight"]
    base, fine = model(tmp_path / "b", before), model(tmp_path / "t", after | {"new.weight": np.ones((3, 3))})
    notes = extract_adapter(base, fine, tmp_path / "out", rank=1).notes
    assert any("2 tensors" in text and "0.5" in text and "norm.weight, emb.weight" in text for text in notes)
    assert any("1 weights are not in" in text and "new.weight" in text for text in notes)
    one = extract_adapter(base, fine, tmp_path / "two", rank=1, include=["q"])
    assert one.layers.keys() == {"l.0.q"}


@pytest.mark.parametrize(
    ("one", "other", "dtype", "want"),
    [
        (np.float16, np.float16, None, "float16"),
        (ml_dtypes.bfloat16, ml_dtypes.bfloat16, None, "bfloat16"),
        (np.float32, ml_dtypes.bfloat16, None, "float32"),
        (np.float16, np.float16, "float32", "float32"),
    ],
)
def test_dtypes(one: Any, other: Any, dtype: str | None, want: str, tmp_path: Path) -> None:
    before = weights()
    after = tuned(before, ("l.0.q.weight",))
    base = model(tmp_path / "b", {name: tensor.astype(one) for name, tensor in before.items()})
    fine = model(tmp_path / "t", {name: tensor.astype(other) for name, tensor in after.items()})
    extract_adapter(base, fine, tmp_path / "out", rank=2, include=["q"], dtype=dtype)
    assert {t.dtype.name for t in load_file(tmp_path / "out" / "adapter_model.safetensors").values()} == {want}


def test_the_record(tmp_path: Path) -> None:
    before = weights()
    base, fine = model(tmp_path / "b", before), model(tmp_path / "t", tuned(before))
    extract_adapter(base, fine, tmp_path / "out", rank=2)
    record = json.loads((tmp_path / "out" / "coremerge.json").read_text())
    assert record["extracted"]["base"]["path"] == str(base)
    assert record["extracted"]["tuned"]["sha256"].keys() == {"model.safetensors"}
    assert (record["rank"], record["svd"]) == (2, "auto")
    assert record["outputs"].keys() == {"adapter_config.json", "adapter_model.safetensors"}
    assert record["layers"].keys() == {"l.0.q", "l.0.up", "conv"}


@pytest.mark.parametrize(
    ("change", "given", "error", "word"),
    [
        (lambda t: t, {}, ParameterError, "give rank or retain"),
        (lambda t: t, {"rank": 1, "svd": "lapack"}, ParameterError, "full, randomized, auto"),
        (lambda t: t, {"rank": 1, "dtype": "int8"}, TypeError, "dtype"),
        (lambda t: t, {"rank": 1, "include": ["nothing"]}, AdapterError, "got none"),
        (
            lambda t: t | {"l.0.q.weight": np.ones((24, 17))},
            {"rank": 1},
            AdapterError,
            r"l\.0\.q.*\(24, 17\).*--exclude",
        ),
        (lambda t: t | {"l.0.q.weight": np.ones((24, 16), np.int8)}, {"rank": 1}, AdapterError, "quantised"),
        (lambda t: t | {"l.0.q.weight": np.full((24, 16), np.nan)}, {"rank": 1}, AdapterError, "NaN"),
        (lambda t: {"other.weight": np.ones((3, 3))}, {"rank": 1}, AdapterError, "one architecture"),
        (lambda t: weights(), {"rank": 1}, AdapterError, "nothing to extract"),
    ],
)
def test_refusals(change: Any, given: Any, error: Any, word: str, tmp_path: Path) -> None:
    before = weights()
    base, fine = model(tmp_path / "b", before), model(tmp_path / "t", change(tuned(before)))
    with pytest.raises(error, match=word) as caught:
        extract_adapter(base, fine, tmp_path / "out", **given)
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["b", "t"]
