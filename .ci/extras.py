"""Each extra by itself in an empty environment: it installs, `coremerge doctor` runs, and its tests pass.

    python .ci/extras.py [EXTRA ...]

From a checkout, with the versions of .ci/constraints.txt. Without names: all of TESTS. What is needed to test at all
(hypothesis and pytest) comes with the extra "conformance", after `coremerge doctor` has run without.
"""

import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
# not here: cupy, which needs a card (`make gpu`), peers (`make peers`), and what only developers install
TESTS = {
    "conformance": ["tests/conformance/test_invalid.py", "tests/conformance/test_isolation.py"],
    "exact": ["tests/analysis/test_certify.py"],
    "formats": ["tests/adapters/formats"],
    "gguf": ["tests/adapters/formats/test_mlx_and_gguf.py", "-k", "gguf"],
    "hub": ["tests/adapters/test_hub.py"],
    "jax": ["tests/core/test_core_space.py", "tests/core/test_frames.py", "-k", "jax"],
    "plot": ["tests/analysis/explain/test_explanation.py"],
    "search": ["tests/tuning/test_search.py"],
    "torch": ["tests/core/test_core_space.py", "tests/core/test_frames.py", "-k", "torch"],
}


def main(extras: list[str]) -> None:
    """CalledProcessError for the first extra that does not hold; SystemExit for names that are none."""
    if unknown := {*extras} - TESTS.keys():
        raise SystemExit(f"expected extras among {', '.join(TESTS)}, got {', '.join(sorted(unknown))}")
    for extra in extras or TESTS:
        print(f"{extra}: {', '.join(EXTRAS[extra])}", flush=True)
        place = ROOT / "build" / "extras" / extra
        venv.create(place, clear=True, with_pip=True)
        install(place, f"{ROOT}[{extra}]")
        run(place, place / "bin" / "coremerge", "doctor")
        install(place, "--editable", f"{ROOT}[{extra},conformance]")
        run(ROOT, place / "bin" / "python", "-m", "pytest", "-q", *TESTS[extra])


def install(place: Path, *what: str) -> None:
    """With pip, at the versions of the constraints."""
    constraints = ROOT / ".ci" / "constraints.txt"
    run(place, place / "bin" / "python", "-m", "pip", "install", "--quiet", "--constraint", constraints, *what)


def run(folder: Path, *words: str | Path) -> None:
    """A command in `folder`."""
    subprocess.run(words, cwd=folder, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
