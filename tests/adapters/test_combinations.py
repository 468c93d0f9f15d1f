"""Combinations of kinds, ranks, patterns, dtypes, names and missing modules: merged right, or refused in one line."""

import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import adapter_folders as folders
import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from coremerge_ref.adapters import load, merge_folders
from coremerge_ref.errors import AdapterError
from coremerge_ref.testing import THRESHOLD, ratio

# path → (kind, shape of ΔW's weight)
MODULES: dict[str, tuple[str, tuple[int, ...]]] = {
    "model.layers.0.q_proj": ("linear", (6, 5)),
    "model.layers.0.k_proj": ("linear", (6, 5)),
    "model.layers.1.q_proj": ("linear", (6, 5)),
    "model.conv": ("conv", (4, 3, 2, 2)),
    "model.emb": ("embedding", (7, 4)),
    "lm_head": ("linear", (7, 4)),
}
DTYPES = {np.float16: 2.0**-10, ml_dtypes.bfloat16: 2.0**-7, np.float32: 2.0**-23, np.float64: 2.0**-52}
NAMINGS = {
    "peft": lambda path: folders.PREFIX + path,
    "bare": lambda path: path,
    "compiled": lambda path: f"{folders.PREFIX}_orig_mod.{path}",
    "distributed": lambda path: f"{folders.PREFIX}module.{path}",
    "within": lambda path: f"thinker.{folders.PREFIX}{path}",
}

adapter = st.fixed_dictionaries(
    {
        "modules": st.lists(st.sampled_from(sorted(MODULES)), min_size=1, unique=True),
        "naming": st.sampled_from(sorted(NAMINGS)),
        "dtype": st.sampled_from(list(DTYPES)),
        "r": st.integers(1, 4),
        "alpha": st.sampled_from([0.5, 3, 8]),
        "rslora": st.booleans(),
        "ranks": st.dictionaries(
            st.sampled_from(["q_proj", "lm_head", "conv", ".*_proj", "^model.emb"]), st.integers(1, 5)
        ),
        "alphas": st.dictionaries(st.sampled_from(["k_proj", ".*head", "0.q_proj"]), st.sampled_from([1, 7])),
    }
)


def write(folder: Path, spec: dict[str, Any], seed: int) -> dict[str, np.ndarray]:
    """Writes the adapter; returns its ΔW as matrices (m, n) in float64, by the definition of PEFT's scaling."""
    from peft.utils.other import get_pattern_key

    rng = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}
    updates = {}
    for path in spec["modules"]:
        kind, shape = MODULES[path]
        named = NAMINGS[spec["naming"]](path)
        # the path that patterns are matched with is the one in the file
        at = named.removeprefix(folders.PREFIX)
        r = spec["ranks"].get(get_pattern_key(spec["ranks"], at), spec["r"])
        alpha = spec["alphas"].get(get_pattern_key(spec["alphas"], at), spec["alpha"])
        scale = alpha / (r**0.5 if spec["rslora"] else r)
        m, *rest = shape
        A = rng.standard_normal((r, *rest)).astype(spec["dtype"])
        B = rng.standard_normal((m, r)).astype(spec["dtype"])
        updates[path] = scale * B.astype(float) @ A.astype(float).reshape(r, -1)
        if kind == "embedding":
            tensors |= {f"{named}.lora_embedding_A": B.T, f"{named}.lora_embedding_B": A.T}
        else:
            up = B.reshape(m, r, *[1] * (len(rest) - 1))
            tensors |= {f"{named}.lora_A.weight": A, f"{named}.lora_B.weight": up}
    folder.mkdir()
    save_file(
        {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / "adapter_model.safetensors"
    )
    config = {
        "peft_type": "LORA", "r": spec["r"], "lora_alpha": spec["alpha"], "use_rslora": spec["rslora"],
        "rank_pattern": spec["ranks"], "alpha_pattern": spec["alphas"], "target_modules": spec["modules"],
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return updates


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(adapter, min_size=1, max_size=4), st.booleans(), st.sampled_from([None, "float64"]))
def test_sums_are_right_or_refused(specs: list[dict[str, Any]], ragged: bool, dtype: str | None) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        updates = [write(root / str(t), spec, t) for t, spec in enumerate(specs)]
        paths = [root / str(t) for t in range(len(specs))]
        if apart([set(update) for update in updates]):
            with pytest.raises(AdapterError, match=r"^[^\n]*share no module[^\n]*$"):
                merge_folders(paths, root / "out", "ta", ragged=ragged, dtype=dtype)
            return
        report = merge_folders(paths, root / "out", "ta", ragged=ragged, dtype=dtype)
        got = load(root / "out")
        kept_names = len({spec["naming"] for spec in specs} - {"peft", "bare", "within"}) == 1 and all(
            spec["naming"] not in ("peft", "bare", "within") for spec in specs
        )
        lead = {"compiled": "_orig_mod.", "distributed": "module."}.get(specs[0]["naming"], "") if kept_names else ""
        union = dict.fromkeys(path for update in updates for path in update)
        assert got.keys() == {lead + path for path in union}
        assert any(f"{t} lacks" in " ".join(report.notes) for t in map(str, paths)) == any(
            set(update) != set(union) for update in updates
        )
        for path in union:
            held = [(update[path], spec) for update, spec in zip(updates, specs, strict=True) if path in update]
            eps = 2.0**-52 if dtype else max(DTYPES[spec["dtype"]] for _, spec in held)
            want, size = sum(delta for delta, _ in held), sum(float(np.linalg.norm(delta)) for delta, _ in held)
            one = got[lead + path]
            B, A = one.B.astype(float), one.A.astype(float)
            assert ratio(one.scale * B @ A, want, size, eps) < THRESHOLD, path


def apart(sets: list[set[str]]) -> bool:
    """Whether the sets fall into groups that share nothing."""
    groups: list[set[str]] = []
    for one in sets:
        near = [group for group in groups if group & one]
        groups = [group for group in groups if group not in near] + [one.union(*near)]
    return len(groups) > 1


def test_groups_of_sets() -> None:
    for order in itertools.permutations([{1}, {2}, {1, 2}]):
        assert not apart(list(order))
    assert apart([{1}, {2}, {2, 3}])
