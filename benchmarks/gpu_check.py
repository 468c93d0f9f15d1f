"""What `make gpu` runs on a machine with an NVIDIA card: the tests on CuPy and torch CUDA, then the benchmark.

    python -m benchmarks.gpu_check [--folder build/gpu] [--quick]

It takes CuPy, torch and NumPy as they are installed and adds, in a virtual environment of its own, what else the tests
need and is not there. Under ten minutes together: each part has a limit, and what it had by then counts. Writes
results.json and results.md in the folder. Exit status 0: a card was found and its tests passed; 1: they did not; 2: the
machine is not ready, with what is missing.
"""

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tomllib
import venv
from importlib import metadata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
TESTS = ("tests/core", "tests/methods", "tests/properties", "tests/analysis/test_diagnostics.py")
SELECTED = "cupy or cuda or test_devices"
LIMITS = {"tests": 300, "benchmark": 270}  # seconds
AS_THEY_ARE = ("numpy", "torch", "cupy", "jax")  # never installed or changed here


def missing() -> list[str]:
    """What the tests need of pyproject.toml's dependencies and its extra `conformance`, and is not installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["conformance"]]
    names = {text: re.split(r"[<>=!~\[; ]", text)[0] for text in needed}
    return [text for text, name in names.items() if not _installed(name)]


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def ready(folder: Path) -> str:
    """The Python to run with: this one, or that of an environment on top of it which has what is missing."""
    absent = missing()
    if not absent:
        return sys.executable
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        venv.create(folder / "venv", system_site_packages=True, with_pip=True)
    kept = [text for text in absent if text.startswith(AS_THEY_ARE)]
    command = [str(python), "-m", "pip", "install", "--quiet", "--constraint", str(ROOT / ".ci/constraints.txt")]
    if kept or subprocess.call([*command, *absent]):
        print(f"not installed and not to be had: {', '.join(kept or absent)}; install them and run again")
        raise SystemExit(2)
    return str(python)


def versions(python: str) -> dict[str, Any]:
    """Cards, driver and versions, as that Python sees them."""
    code = """
import json, numpy
found = {"numpy": numpy.__version__, "cards": {}}
try:
    import cupy
    runtime = cupy.cuda.runtime
    found |= {"cupy": cupy.__version__, "CUDA of cupy": runtime.runtimeGetVersion()}
    found["driver"] = runtime.driverGetVersion()
    found["cards"]["cupy"] = [runtime.getDeviceProperties(i)["name"].decode() for i in range(runtime.getDeviceCount())]
except Exception as error:
    found["cupy"] = f"{type(error).__name__}: {error}"
try:
    import torch
    found |= {"torch": torch.__version__, "CUDA of torch": torch.version.cuda}
    found["cards"]["torch"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
except Exception as error:
    found["torch"] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return {"python": platform.python_version(), **json.loads(done.stdout.splitlines()[-1])}


def run(command: list[str], limit: int) -> str:
    """ "finished", "failed", or "stopped after … s"; all it prints is seen."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    child = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        return "failed" if child.wait(limit) else "finished"
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGINT)  # both parts write what they have then
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        return f"stopped after {limit} s"


def read_tests(report: Path) -> dict[str, Any]:
    """Counts and failures of a JUnit report; None of them where it is not there."""
    if not report.exists():
        return {"passed": 0, "skipped": 0, "failed": []}
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    failed = [
        {"test": f"{case.get('classname')}::{case.get('name')}", "why": (case.find("*").get("message") or "")[:400]}  # type: ignore[union-attr]
        for case in bad
    ]
    return {"passed": len(cases) - len(bad) - skipped, "skipped": skipped, "failed": failed}


def page(results: dict[str, Any]) -> str:
    """The results as one page."""
    from benchmarks.speed.report import gpu

    tests, about = results["tests"], results["machine"]
    cards = "; ".join(f"{library}: {', '.join(names) or 'none'}" for library, names in about["cards"].items())
    lines = ["# On a card", "", f"Cards: {cards}.", ""]
    lines += [f"- {name}: {value}" for name, value in about.items() if name != "cards"]
    lines += ["", f"Tests {tests['state']}: {tests['passed']} passed, {tests['skipped']} skipped, "]
    lines[-1] += f"{len(tests['failed'])} failed."
    lines += [f"- `{case['test']}`: {' '.join(case['why'].split())}" for case in tests["failed"]]
    measured = [card for card in results["benchmark"]["cards"] if card.get("methods")]
    table = gpu(measured) if measured else "Nothing was measured."
    return "\n".join([*lines, "", f"Benchmark {results['benchmark']['state']}.", "", table, ""])


def main() -> None:
    """Tests, then the benchmark, then both on one page; what there is so far is written after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "gpu")
    parser.add_argument("--quick", action="store_true", help="the benchmark on two small blocks")
    args = parser.parse_args()
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    python = ready(folder)
    results: dict[str, Any] = {"machine": versions(python), "tests": {}, "benchmark": {"state": "not run", "cards": []}}
    if not any(results["machine"]["cards"].values()):
        print(f"no card found: {json.dumps(results['machine'])}")
        raise SystemExit(2)
    junit, bench = folder / "tests.xml", folder / "benchmark.json"
    for old in (junit, bench):
        old.unlink(missing_ok=True)
    options = ["-q", "-p", "no:cacheprovider", "-k", SELECTED, "-m", "not slow", f"--junitxml={junit}"]
    state = run([python, "-m", "pytest", *TESTS, *options], LIMITS["tests"])
    results["tests"] = {"state": state, **read_tests(junit)}
    write(folder, results)
    command = [python, "-m", "benchmarks.gpu", "--rounds", "3", "--output", str(bench), *["--quick"] * args.quick]
    state = run(command, LIMITS["benchmark"])
    results["benchmark"] = {"state": state, "cards": json.loads(bench.read_text()) if bench.exists() else []}
    write(folder, results)
    print(f"{folder / 'results.json'} and {folder / 'results.md'}")
    if results["tests"]["state"] != "finished":
        raise SystemExit(1)


def write(folder: Path, results: dict[str, Any]) -> None:
    """Both files."""
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "results.md").write_text(page(results))


if __name__ == "__main__":
    main()
