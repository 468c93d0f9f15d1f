"""Adapters made and saved by PEFT, merged by us, loaded by PEFT: outputs equal base + α Σ w_t ΔW_t to rounding.

ΔW_t and the expected models come from PEFT's get_delta_weight and plain additions to weights, in float64.
"""

import json
from pathlib import Path

import needs_torch  # noqa: F401
import numpy as np
import peft_zoo as zoo
import pytest
import torch
from safetensors.numpy import load_file, save_file

from coremerge_ref.adapters import Adapter, merge_folders
from coremerge_ref.errors import AdapterError

ALPHA, WEIGHTS = 0.7, (1.0, -0.5, 2.0, 0.25)

# The output's factors are rounded to float32 once, which moves ΔW by at most about 2 eps ‖B‖‖A‖ (balanced factors:
# near ‖ΔW‖ times a modest condition number). 50 eps covers that and the random conditioning of these small factors.
EPS = 2.0**-23
ROUNDING = 50 * EPS


def base_file(base: torch.nn.Module, folder: Path) -> Path:
    """The base model's weights as a safetensors file."""
    save_file(
        {name: weight.detach().numpy() for name, weight in base.state_dict().items()}, folder / "base.safetensors"
    )
    return folder / "base.safetensors"


def expected(
    kind: zoo.Kind, base: torch.nn.Module, paths: list[Path]
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """(Σ w_t ΔW_t, Σ |w_t| ‖ΔW_t‖) by weight name, from PEFT."""
    total: dict[str, torch.Tensor] = {}
    size: dict[str, float] = {}
    for weight, path in zip(WEIGHTS, paths, strict=False):
        for name, delta in zoo.deltas(zoo.load(base, path)).items():
            total[name] = total.get(name, 0) + weight * delta
            size[name] = size.get(name, 0) + abs(weight) * float(torch.linalg.norm(delta))
    return total, size


@pytest.mark.parametrize("name", zoo.KINDS)
def test_outputs_equal_base_plus_scaled_deltas(name: str, tmp_path: Path) -> None:
    kind = zoo.KINDS[name]
    base = zoo.seeded(kind)
    paths = zoo.save_adapters(kind, base, tmp_path)
    merge_folders(
        paths,
        tmp_path / "out",
        "ta",
        weights=WEIGHTS[: len(paths)],
        scale=ALPHA,
        base=base_file(base, tmp_path) if "many" in name else None,
    )
    changes, size = expected(kind, base, paths)
    merged = zoo.load(base, tmp_path / "out")
    got = zoo.deltas(merged)
    assert got.keys() == changes.keys()
    for layer, change in changes.items():
        assert torch.linalg.norm(got[layer] - ALPHA * change) <= ROUNDING * ALPHA * size[layer], layer
    with torch.no_grad():
        x = kind.inputs()
        want, have = kind.output(zoo.added(base, changes, ALPHA)(x)), kind.output(merged(x))
        assert torch.linalg.norm(have - kind.output(base.double()(x))) > 1e-3 * torch.linalg.norm(
            want
        )  # it does something
    # three layers deep at most, each with Lipschitz constant a small multiple of 1
    assert torch.linalg.norm(have - want) <= 20 * ROUNDING * torch.linalg.norm(want)


@pytest.mark.parametrize("name", [name for name in zoo.KINDS if name != "attention"])
def test_dense_output_is_what_is_added_to_the_weights(name: str, tmp_path: Path) -> None:
    kind = zoo.KINDS[name]
    base = zoo.seeded(kind)
    paths = zoo.save_adapters(kind, base, tmp_path)
    merge_folders(
        paths,
        tmp_path / "out",
        "ta",
        "full",
        weights=WEIGHTS[: len(paths)],
        scale=ALPHA,
        dense=True,
        dtype="float64",
        base=base_file(base, tmp_path) if "many" in name else None,
    )
    changes, size = expected(kind, base, paths)
    got = load_file(tmp_path / "out" / "delta_weights.safetensors")
    assert got.keys() == changes.keys()
    assert not (tmp_path / "out" / "adapter_config.json").exists()
    for layer, change in changes.items():
        assert got[layer].shape == base.state_dict()[layer].shape
        # float64 throughout; PEFT's scaling and our product order differ in the last place alone
        assert (
            np.linalg.norm(got[layer] - ALPHA * change.numpy())
            <= 50 * 2.0**-52 * ALPHA * size[layer] + np.finfo(float).tiny
        )


def test_dense_output_of_an_attention_is_refused(tmp_path: Path) -> None:
    kind = zoo.KINDS["attention"]
    paths = zoo.save_adapters(kind, zoo.seeded(kind), tmp_path)
    with pytest.raises(AdapterError, match="MultiheadAttention"):
        merge_folders(paths, tmp_path / "out", "ta", dense=True)
    assert not (tmp_path / "out").exists()


def test_truncation_is_the_best_of_its_rank(tmp_path: Path) -> None:
    kind = zoo.KINDS["linear"]
    base = zoo.seeded(kind)
    paths = zoo.save_adapters(kind, base, tmp_path)
    merge_folders(paths, tmp_path / "out", "ta", rank=2, weights=WEIGHTS[:3])
    changes, size = expected(kind, base, paths)
    for layer, delta in zoo.deltas(zoo.load(base, tmp_path / "out")).items():
        sigma = torch.linalg.svdvals(changes[layer])
        assert torch.linalg.matrix_rank(delta, rtol=1e-5) == 2
        assert abs(torch.linalg.norm(delta - changes[layer]) - torch.linalg.norm(sigma[2:])) <= ROUNDING * size[layer]


def test_one_adapter_alone_is_itself_whatever_the_method(tmp_path: Path) -> None:
    kind = zoo.KINDS["patterns"]
    base = zoo.seeded(kind)
    paths = zoo.save_adapters(kind, base, tmp_path)
    want = zoo.deltas(zoo.load(base, paths[0]))
    for method in ("ta", "mean", "tsv", "cart"):
        merge_folders(paths[:1], tmp_path / method, method)
        got = zoo.deltas(zoo.load(base, tmp_path / method))
        for layer, delta in want.items():
            assert torch.linalg.norm(got[layer] - delta) <= ROUNDING * torch.linalg.norm(delta), (method, layer)


@pytest.mark.parametrize("method", ["tsv", "ties", "dare+ties+iso", "trim+mean"])
def test_folders_give_what_merge_gives_on_the_same_factors(method: str, tmp_path: Path) -> None:
    import coremerge_ref as cm

    kind = zoo.KINDS["patterns"]
    base = zoo.seeded(kind)
    paths = zoo.save_adapters(kind, base, tmp_path)
    merge_folders(paths, tmp_path / "out", method, dtype="float64")
    models = [zoo.load(base, path) for path in paths]
    got = zoo.deltas(zoo.load(base, tmp_path / "out"))
    for layer in ("a", "b.c"):
        modules = [model.base_model.model.get_submodule(layer) for model in models]
        updates = [
            cm.LowRankUpdate(
                m.lora_B["default"].weight.detach().numpy(),
                m.lora_A["default"].weight.detach().numpy(),
                m.scaling["default"],
            )
            for m in modules
        ]
        want = torch.from_numpy(cm.merge_adapters({layer: updates}, method)[layer].to_dense())
        assert torch.linalg.norm(got[f"{layer}.weight"] - want) <= 1e-12 * torch.linalg.norm(want)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_in_and_out(dtype: str, tmp_path: Path) -> None:
    kind = zoo.KINDS["linear"]
    base = zoo.seeded(kind)
    paths = zoo.save_adapters(kind, base.to(getattr(torch, dtype)), tmp_path)
    assert {m.dtype for m in Adapter(paths[0]).modules.values()} <= {dtype, "float32"}  # PEFT trains in float32
    merge_folders(paths, tmp_path / "out", "ta", dtype=dtype)
    merge_folders([tmp_path / "out"], tmp_path / "again", "ta")
    changes, size = expected_sum(zoo.seeded(kind), paths)
    for folder in ("out", "again"):
        assert {m.dtype for m in Adapter(tmp_path / folder).modules.values()} == {dtype}
        for layer, delta in zoo.deltas(zoo.load(zoo.seeded(kind), tmp_path / folder)).items():
            eps = 2.0**-10 if dtype == "float16" else 2.0**-7
            assert torch.linalg.norm(delta - changes[layer]) <= 10 * eps * size[layer]


def expected_sum(base: torch.nn.Module, paths: list[Path]) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """(Σ ΔW_t, Σ ‖ΔW_t‖) from PEFT."""
    each = [zoo.deltas(zoo.load(base, path)) for path in paths]
    names = each[0].keys()
    return {n: sum(d[n] for d in each) for n in names}, {
        n: sum(float(torch.linalg.norm(d[n])) for d in each) for n in names
    }


def test_fresh_adapters_give_a_zero_update_that_peft_loads(tmp_path: Path) -> None:
    kind = zoo.Kind(zoo.Mlp, [zoo.lora(["a", "c"], init_lora_weights=True)] * 2, zoo.numbers(4, 6))
    base = zoo.seeded(kind)
    paths = zoo.save_adapters(kind, base, tmp_path)
    merge_folders(paths, tmp_path / "out", "tsv")
    assert all(not delta.any() for delta in zoo.deltas(zoo.load(base, tmp_path / "out")).values())


def test_the_record_names_everything(tmp_path: Path) -> None:
    import hashlib

    kind = zoo.KINDS["linear"]
    paths = zoo.save_adapters(kind, zoo.seeded(kind), tmp_path)
    merge_folders(paths, tmp_path / "out", "ties", weights=(1, 2, 3), scale=0.5)
    record = json.loads((tmp_path / "out" / "coremerge.json").read_text())
    assert (record["method"], record["weights"], record["scale"]) == ("ties", [1, 2, 3], 0.5)
    assert record["parameters"]["ties"]["density"] == 0.2
    assert record["space"] == {"name": "core", "basis": "paper"}
    for given, path in zip(record["inputs"], paths, strict=True):
        assert given["path"] == str(path)
        for name, digest in given["sha256"].items():
            assert digest == hashlib.sha256((path / name).read_bytes()).hexdigest()
