"""Ask the function in a process of its own, so that a crash, an exit, a hang or a print is that case's result."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from . import messages
from .answers import BROKEN, Answer, Function, call, fresh
from .loading import importable, load
from .questions import Case
from .supports import declared
from .text import TRACE, clean

TIMEOUT = 60.0  # seconds that a case may take
IMPORTING = 10  # times that, for the import
DEATHS = 20  # processes lost before the rest is not asked
PRINTED = 100 << 20  # bytes that a case may print
LARGEST = 1 << 28  # bytes of a message, whatever it says
COMMAND = "from coremerge_ref.conformance.worker import main; main()"


class Here:
    """The function in this process: quick, and open to a debugger; a hang hangs and a crash crashes."""

    def __init__(self, fn: Function) -> None:
        self.fn, self.supports = fn, declared(fn)

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def answer(self, case: Case) -> Answer:
        """What the function returned or raised."""
        with alive():
            return call(self.fn, case)


def asker(fn: Function | str, isolate: bool = False, timeout: float | None = None) -> Here | Worker:
    """Something that asks the function, given as itself or by name (``my_pkg.my_module:merge``)."""
    if isolate:
        return Worker(importable(fn), timeout)
    if timeout is not None:
        raise ValueError("timeout: only a function in a process of its own can be stopped; use isolate=True")
    with alive():
        return Here(load(fn) if isinstance(fn, str) else fn)


@contextlib.contextmanager
def alive() -> Iterator[None]:
    """os._exit in this process raises SystemExit, so that it is told like sys.exit."""
    end, process = os._exit, os.getpid()

    def told(status: int) -> NoReturn:
        if os.getpid() == process:
            raise SystemExit(f"os._exit({status})")
        end(status)  # a child that was forked

    os._exit = told
    try:
        yield
    finally:
        os._exit = end


class Worker:
    """A process that has imported ``name`` (module:function) and answers cases; started anew after each death.

    ImportError where the function cannot be imported. Use it as a context manager: it ends the process."""

    def __init__(self, name: str, timeout: float | None = None) -> None:
        self.name, self.timeout = name, TIMEOUT if timeout is None else timeout
        self.deaths = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.supports: dict[str, list[str]] | None = None
        self.start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """A new process, once it has imported the function."""
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        root = str(Path(__file__).parents[2])
        before = os.environ.get("PYTHONPATH")
        environment = {**os.environ, "PYTHONPATH": root + (os.pathsep + before if before else "")}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
            env=environment, start_new_session=True,
        )  # fmt: skip
        self.inbox: queue.Queue[bytes | None] = queue.Queue(4)
        threading.Thread(target=self._listen, args=(self.process.stdout, self.inbox), daemon=True).start()
        path = [os.getcwd() if p == "" else p for p in sys.path]
        try:
            self._send(pickle.dumps((self.name, path)))
            said: Any = json.loads(self._receive(IMPORTING * self.timeout))
        except (_Died, ValueError) as error:
            said = {"ready": False, "message": f"{self.name}: cannot be imported: {error}"}
        if not said.get("ready"):
            printed = self._printed()
            self.stop()
            raise ImportError(clean(said["message"]) + (printed and f"; it printed: {clean(printed)}"))
        self.supports = said["supports"]

    def answer(self, case: Case) -> Answer:
        """What the function returned or raised, or how its process ended."""
        if self.deaths >= DEATHS:
            return Answer(BROKEN, message=f"not asked: the function had ended its process {DEATHS} times before")
        try:
            if self.process is None:
                self.start()
            self._send(pickle.dumps(fresh(case)))
            header, data = self._receive(self.timeout, case), self._receive(self.timeout, case)
            return replace(messages.unpack(header, data, case), printed=self._printed())
        except (_Died, ImportError, ValueError, KeyError, TypeError) as error:
            self.deaths += 1
            said = str(error) if isinstance(error, (_Died, ImportError)) else f"damaged answer: {error}"
            printed = self._printed()
            self.stop()
            return Answer(BROKEN, message=clean(said), printed=printed)

    def stop(self) -> None:
        """End the process and all that it started."""
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
        for stream in (process.stdin, self.log):
            with contextlib.suppress(OSError):
                assert stream is not None
                stream.close()

    @staticmethod
    def _listen(stream: Any, inbox: queue.Queue[bytes | None]) -> None:
        """Everything that comes, None at the end."""
        with stream:
            while (data := messages.read(stream, LARGEST)) is not None:
                inbox.put(data)
            inbox.put(None)

    def _send(self, data: bytes) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        try:
            messages.write(self.process.stdin, data)  # type: ignore[arg-type]
        except OSError as error:
            raise _Died(self._end()) from error

    def _receive(self, seconds: float, case: Case | None = None) -> bytes:
        assert self.process is not None
        end, limit = time.monotonic() + seconds, messages.HEADER if case is None else messages.room(case)
        ended = False
        while True:
            try:
                data = self.inbox.get(timeout=0.5 if ended else max(0.0, min(0.1, end - time.monotonic())))
            except queue.Empty:
                if ended:  # even where a child of it still holds the stream
                    raise _Died(self._end()) from None
                ended = self.process.poll() is not None
                if ended:  # what it said last may still be on its way
                    continue
                if time.monotonic() >= end:
                    raise _Died(f"no answer within {seconds:g} s") from None
                if os.fstat(self.log.fileno()).st_size > PRINTED:
                    raise _Died(f"printed more than {PRINTED >> 20} MB") from None
                continue
            if data is None:
                raise _Died(self._end())
            if len(data) > limit:
                raise ValueError(f"{len(data)} bytes")
            return data

    def _end(self) -> str:
        """How the process ended."""
        assert self.process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self.process.wait(timeout=1)
            if code < 0:
                return f"the function ended its process by {signal.Signals(-code).name}"
            return f"the function ended its process with exit code {code}"
        return "the function closed the stream of its answers"

    def _printed(self) -> str:
        """The end of what was printed since the last answer."""
        if self.log.closed:  # another process could not be started, and start has told what it printed
            return ""
        log = self.log.fileno()
        size = os.fstat(log).st_size
        if size == 0:
            return ""
        data = os.pread(log, 4 * TRACE, max(0, size - 4 * TRACE))
        os.lseek(log, 0, os.SEEK_SET)  # the process writes where this descriptor stands: they share the position
        os.ftruncate(log, 0)
        return clean(data.decode(errors="replace").strip(), TRACE, lines=True)


class _Died(Exception):
    """The process is gone or has to go."""
