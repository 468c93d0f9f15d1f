"""coremerge doctor: what this package runs on, for reports of defects."""

import os
import platform
import re
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from coremerge_ref.cli.reporting import emit, say
from coremerge_ref.version import package_version

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_VARIABLES = (*_THREADS, "CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS", "JAX_ENABLE_X64")


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Say what coremerge runs on: versions, array libraries with their devices, BLAS. Reports of defects want it.

    Names no file of yours, no user and no machine.

    \b
    Examples:
      coremerge doctor
      coremerge doctor --json
    """
    found = examine()
    if as_json:
        emit(found)
        return
    say(f"coremerge {found['coremerge_ref']}, Python {found['python']}, {found['system']}, {found['cores']} cores")
    say("")
    for name, number in found["packages"].items():
        say(f"{name} {number or 'not installed'}")
    say("")
    for name, devices in found["devices"].items():
        say(f"{name}: {devices if isinstance(devices, str) else ', '.join(devices) or 'no device'}")
    for pool in found["blas"]:
        named = " ".join(filter(None, (pool["library"], pool["version"], pool["architecture"])))
        say(f"{pool['api']}: {named}, {pool['threads']} threads")
    for name, value in found["environment"].items():
        say(f"{name}={value}")


def examine() -> dict[str, Any]:
    """What `doctor` says, as JSON has it: null for a package that is not installed, a text for a library that fails."""
    return {
        "coremerge_ref": package_version(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "packages": {name: _version(name) for name in _requirements()},
        "devices": {name: _devices(ask) for name, ask in _LIBRARIES.items() if find_spec(name)},
        "blas": _pools(),
        "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
    }


def _requirements() -> list[str]:
    """The distributions that this one names, in its extras too, in the order in which it does."""
    try:
        named = requires("coremerge_ref") or ()
    except PackageNotFoundError:  # sources that nobody installed
        return []
    return list(dict.fromkeys(re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in named))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _torch() -> list[str]:
    torch = import_module("torch")
    return ["cpu", *(f"cuda:{n} {torch.cuda.get_device_name(n)}" for n in range(torch.cuda.device_count()))]


def _jax() -> list[str]:
    return [f"{device.platform}:{device.id} {device.device_kind}" for device in import_module("jax").devices()]


def _cupy() -> list[str]:
    runtime = import_module("cupy").cuda.runtime
    names = [runtime.getDeviceProperties(n)["name"].decode() for n in range(runtime.getDeviceCount())]
    return [f"cuda:{n} {name}" for n, name in enumerate(names)]


_LIBRARIES: dict[str, Callable[[], list[str]]] = {"torch": _torch, "jax": _jax, "cupy": _cupy}


def _devices(ask: Callable[[], list[str]]) -> list[str] | str:
    """The devices of a library, or what it says instead: one that cannot be imported is what a report is for."""
    try:
        return ask()
    except Exception as error:  # whatever a broken installation raises
        return f"fails: {type(error).__name__}: {error}"


def _pools() -> list[dict[str, Any]]:
    """The thread pools of what is loaded, NumPy's BLAS among them, without their places in the file system."""
    from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

    import_module("numpy")  # of what is loaded
    return [
        {
            "api": pool["user_api"],
            "library": pool["internal_api"],
            "version": pool["version"],
            "architecture": pool.get("architecture"),
            "threads": pool["num_threads"],
        }
        for pool in threadpool_info()
    ]
