"""Runs `coremerge` in a process of its own, again and again: a fork of this one, which has imported everything.

Reads one JSON object a line, {"words", "folder", "seconds", …}, and answers with one a line. The system ends a
child that takes more than `seconds` of processor time or HANG seconds in all, and says what memory it took at most.
"""

import contextlib
import gc
import io
import json
import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

HANG = 60  # seconds of waiting, for a pipe that nobody writes to: nothing here waits at all


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What one command did."""
    place = Path(request["folder"])
    said = [open(place / name, "w+b") for name in (".stdout", ".stderr")]  # noqa: SIM115 (closed below)
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = command(request, [file.fileno() for file in said])
        except BaseException:
            os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
        finally:
            os._exit(code)
    _, status, usage = os.wait4(child, 0)
    texts = []
    for file in said:
        file.seek(0)
        texts.append(file.read().decode("utf-8", "backslashreplace"))
        file.close()
        os.unlink(file.name)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "stdout": texts[0],
        "stderr": texts[1],
        "peak": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }


def command(request: dict[str, Any], outputs: list[int]) -> int:
    """The exit code of a command run here, under limits."""
    from coremerge_ref import cli

    os.chdir(request["folder"])
    for handle, target in zip(outputs, (1, 2), strict=True):
        os.dup2(handle, target)
    if request.get("stdout") == "a pipe that nobody reads":
        reader, writer = os.pipe()
        os.dup2(writer, 1)
        os.close(reader)
    elif "stdout" in request:
        os.dup2(os.open(request["stdout"], os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    resource.setrlimit(resource.RLIMIT_CPU, (request["seconds"], request["seconds"] + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (2**31, 2**31))  # the machine is to live through a failure
    signal.alarm(HANG)
    if request.get("user"):
        os.setgroups([])
        os.setgid(request["user"])
        os.setuid(request["user"])
    if "umask" in request:
        os.umask(request["umask"])
    sys.argv = ["coremerge", *request["words"]]
    if "kill" in request:
        kill_before(request["kill"], request["exchange"])
    try:
        cli.main()
    except SystemExit as end:
        code = end.code
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else 0 if code is None else 1


def kill_before(number: int, exchanging: bool) -> None:
    """Kills this process before its `number`-th call to the file system, as Python's audit events tell of them.

    What it reads elsewhere, such as of packages that are installed, is not counted.
    """
    from coremerge_ref.adapters import exchange, replace

    count, here = 0, os.getcwd() + os.sep

    def hook(event: str, given: tuple[Any, ...]) -> None:
        nonlocal count
        if event.startswith(("os.", "fcntl.", "open", "ctypes.dlsym", "test.")) and not event.endswith("env"):
            place = os.path.abspath(os.fsdecode(given[0])) if given and isinstance(given[0], str | bytes) else here
            count += (place + os.sep).startswith(here)
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    def audited(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            sys.audit(name)
            return call(*arguments)

        return run

    if not exchanging:
        replace.exchange = lambda a, b: False
        exchange._NEW = 1 << 20  # unknown to any system
    os.fsync = audited("test.fsync", lambda _: None)  # a kill loses nothing that was not synced, and disks are slow
    sys.addaudithook(hook)


def main() -> None:
    """Answers until nobody asks."""
    from coremerge_ref.cli import build

    warm = json.loads(sys.argv[1])
    os.chdir(warm["folder"])
    for words in warm["commands"]:  # here, so that children find every module imported: some may not read them
        with contextlib.redirect_stdout(io.StringIO()):
            build()(words, standalone_mode=False)
    assert threading.active_count() == 1
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
