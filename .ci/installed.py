"""The package as installed from its wheel, with what it requires and no more: it imports, merges and shows its demo."""

import subprocess
import sys
import tomllib
from importlib.metadata import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import coremerge_ref as cm

SOURCES = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((SOURCES / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def main() -> None:
    """AssertionError, or that of a command, for what does not hold."""
    assert SOURCES / "coremerge_ref" not in Path(cm.__file__).parents, f"imported from the sources: {cm.__file__}"
    others = [name for name in ("torch", "jax", "cupy", "array_api_strict", "peft", "scipy") if find_spec(name)]
    assert not others, f"expected NumPy alone, found {', '.join(others)}"
    shown = metadata("coremerge_ref")
    assert cm.__version__ == shown["Version"] == PROJECT["version"]
    assert shown["License-Expression"] == PROJECT["license"]
    assert set(shown.get_all("Classifier")) == set(PROJECT["classifiers"])

    rng = np.random.default_rng(0)
    updates = [cm.LowRankUpdate(rng.normal(size=(9, 2)), rng.normal(size=(2, 7)), scale=0.5) for _ in range(3)]
    total = sum(0.5 * update.B @ update.A for update in updates)
    np.testing.assert_allclose(cm.merge(updates, "ta").to_dense(), total, rtol=0, atol=1e-13 * np.linalg.norm(total))

    for arguments in (["--version"], ["demo", "--help"], ["demo"], ["conformance", "--help"]):
        subprocess.run([Path(sys.executable).with_name("coremerge"), *arguments], check=True)


if __name__ == "__main__":
    main()
