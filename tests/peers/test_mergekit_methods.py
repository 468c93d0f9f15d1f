"""breadcrumbs, della, sce and karcher against mergekit's own functions, on dense task vectors in full space."""

import hashlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from peers.common import dense, factors

import coremerge_ref as cm
from coremerge_ref.methods.dialects import preset

torch = pytest.importorskip("torch")
registry = pytest.importorskip("mergekit.merge_methods.registry", exc_type=ImportError)

WEIGHTS = [0.7, 1.3, 0.4]
# mergekit multiplies masks and rescales in float32 on the CPU, whatever it is given; the rest is float64
EPS = {"float32": np.finfo(np.float32).eps, "float64": np.finfo(np.float64).eps}


def group(updates: Any) -> Any:
    """The task vectors as mergekit takes them, over a zero base."""
    matrices = [torch.from_numpy(matrix) for matrix in dense(updates)]
    entries = [SimpleNamespace(tensor=matrix, id=i) for i, matrix in enumerate(matrices)]
    return SimpleNamespace(
        base=SimpleNamespace(tensor=torch.zeros_like(matrices[0])), non_base=entries, entries=entries
    )


def close(actual: Any, expected: Any, dtype: str) -> bool:
    return bool(np.linalg.norm(actual - expected) <= 64 * EPS[dtype] * np.linalg.norm(expected))


def arithmetic(updates: Any, name: str, **parameters: Any) -> np.ndarray:
    """One of mergekit's registered methods of generalized task arithmetic."""
    method = registry.get(name)
    defaults = {"normalize": method.default_normalize, "rescale": method.default_rescale}
    each = {k: [v] * len(updates) for k, v in parameters.items()}
    given = {"weight": WEIGHTS, **defaults, **each, "int8_mask": False, "lambda": 1.0}
    return np.asarray(method.merge_group(group(updates), **given).numpy())


@pytest.mark.parametrize(("density", "gamma"), [(0.9, 0.01), (0.5, 0.2), (0.3, 0.0), (0.8, 0.6), (1.0, 0.1)])
@pytest.mark.parametrize(("ours", "theirs"), [("breadcrumbs", "breadcrumbs"), ("breadcrumbs+ties", "breadcrumbs_ties")])
def test_breadcrumbs(ours: str, theirs: str, density: float, gamma: float) -> None:
    updates = factors(seed=3)
    expected = arithmetic(updates, theirs, density=density, gamma=gamma)
    method = preset(ours, "mergekit", {"breadcrumbs": {"density": density, "gamma": gamma}})
    assert close(cm.merge(updates, method, "full", weights=WEIGHTS).to_dense(), expected, "float64")


@pytest.mark.parametrize(("density", "epsilon"), [(0.7, 0.15), (0.3, 0.2), (0.5, 0.0), (1.0, 0.15)])
@pytest.mark.parametrize(("ours", "theirs"), [("della", "della_linear"), ("della+ties", "della")])
def test_della(ours: str, theirs: str, density: float, epsilon: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The masks that mergekit draws are passed in; the probabilities it draws them with are ours."""
    updates, drawn, chances, bernoulli = factors(seed=4), [], [], torch.bernoulli

    def spy(probabilities: Any) -> Any:
        chances.append(probabilities.numpy())
        drawn.append(bernoulli(probabilities))
        return drawn[-1]

    monkeypatch.setattr(torch, "bernoulli", spy)
    expected = arithmetic(updates, theirs, density=density, epsilon=epsilon)
    masks = np.stack([mask.numpy() != 0 for mask in drawn]) if drawn else None
    method = preset(ours, "mergekit", {"della": {"density": density, "epsilon": epsilon, "masks": masks}})
    assert close(cm.merge(updates, method, "full", weights=WEIGHTS).to_dense(), expected, "float32")
    if not drawn:
        return
    for t, (matrix, chance) in enumerate(zip(dense(updates), chances, strict=True)):
        numbers = np.random.Generator(np.random.Philox(key=_key(f"0||{t}"))).random(matrix.size).reshape(matrix.shape)
        kept = cm.merge(updates, [cm.Della(density, epsilon, rescale="none")], "full", weights=np.eye(3)[t])
        settled = abs(numbers - (1 - chance)) > 1e-6  # mergekit's probabilities are float32
        np.testing.assert_array_equal((kept.to_dense() != 0)[settled], (numbers >= 1 - chance)[settled])
        assert settled.mean() > 0.99


def _key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("size", [1.0, 1e-5])
def test_sce(density: float, size: float) -> None:
    """At 1e-5 mean squares sum to less than mergekit's 1e-6, and it weighs all tasks alike."""
    updates = [(size * w * B, A) for w, (B, A) in zip(WEIGHTS, factors(seed=5), strict=True)]
    expected = registry.get("sce").merge_group(group(updates), select_topk=density, int8_mask=False).numpy()
    method = preset("sce", "mergekit", {"sce": {"density": density}})
    assert close(cm.merge(updates, method, "full").to_dense(), expected, "float64")
    if size == 1.0:
        assert close(cm.merge(updates, cm.Sce(density), "full").to_dense(), expected, "float64")


@pytest.mark.parametrize("kind", ["generic", "aligned", "two", "zero", "tiny", "one"])
def test_karcher(kind: str) -> None:
    updates = factors(seed=6)
    B, A = updates[0]
    if kind == "aligned":
        updates = [
            (B + 0.1 * s * C, A) for s, (C, _) in enumerate([(X[0][:, :4], 0) for X in factors(9, ranks=(4, 4, 4))])
        ]
    updates = {
        "two": updates[:2],
        "zero": [*updates, (0 * B, A)],
        "tiny": [*updates, (1e-8 * B, A)],
        "one": updates[:1],
    }.get(kind, updates)
    expected = registry.get("karcher").merge_group(group(updates), max_iter=10, tol=1e-5).numpy()
    for space in ("full", "core"):
        assert close(cm.merge(updates, preset("karcher", "mergekit"), space).to_dense(), expected, "float64")
