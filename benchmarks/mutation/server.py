"""Runs tests in forks of one process that has collected them: a mutant costs its tests, and nothing to begin.

A pytest plugin, whose test loop is a function of ours. JAX is not there, since its threads are gone in a fork, where it
would wait for them for ever; nor does anything run with torch or CuPy's double where NumPy does the same.
"""

import json
import os
import re
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.abc import MetaPathFinder
from typing import Any

import pytest

# other libraries than NumPy, and what waits for processes of its own, which a fork may do for ever
LEFT_OUT = re.compile(r"jax|\[.*(torch|cupy)|test_isolation|processes|dask")
CRASHED = "the process ended"
TIMEOUT = "timeout"


class NoJax(MetaPathFinder):
    """Finds no JAX, so that its tests skip."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        """ImportError for jax; None, which leaves all else to other finders."""
        if fullname == "jax":
            raise ModuleNotFoundError("no JAX in forks", name="jax")


class Server:
    """Collects tests as pytest does, then calls `work` with itself; `run` and `reach` fork."""

    def __init__(self, work: Callable[["Server"], None]) -> None:
        self.work = work
        self.items: dict[str, pytest.Item] = {}
        self.failed = False
        self.seconds = 0.0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leaves out what does not go with forks."""
        items[:] = [item for item in items if not LEFT_OUT.search(item.nodeid)]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In place of pytest's own."""
        self.items = {item.nodeid: item for item in session.items}
        self.work(self)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notes how the last test went."""
        self.failed |= report.failed

    def run(self, mutant: str, tests: Sequence[str], seconds: float) -> str | None:
        """The test that fails with the mutant, TIMEOUT or CRASHED; None where all pass within processor `seconds`."""

        def body(write: Callable[[object], None]) -> None:
            for test in self._each(mutant, tests):
                if self.failed:
                    write(test)
                    return
            write(None)

        lines, ended = self._fork(body, seconds)
        return lines[-1] if lines else TIMEOUT if not ended else CRASHED

    def reach(self, tests: Sequence[str], seconds: float) -> dict[str, tuple[float, list[str]]]:
        """Of each test that passes: its processor seconds, and the functions that it calls. One that takes longer than
        `seconds` together with those before it is left out."""

        def body(write: Callable[[object], None]) -> None:
            from mutmut.mutation import trampoline

            hits: set[str] = set()
            trampoline.record_trampoline_hit = lambda name, caller=None: hits.add(name)
            for test in self._each("stats", tests):
                write((test, not self.failed, round(self.seconds, 4), sorted(hits)))
                hits.clear()

        lines = self._fork(body, seconds)[0]
        reached = {test: (took, hits) for test, passed, took, hits in lines if passed}
        return reached | (self.reach(tests[len(lines) + 1 :], seconds) if len(lines) + 1 < len(tests) else {})

    def _each(self, mutant: str, tests: Sequence[str]) -> Iterable[str]:
        """Runs one test after the other with the mutant."""
        from mutmut.mutation import trampoline

        trampoline.set_mutant_under_test(mutant)
        items = [self.items[test] for test in tests]
        for item, following in zip(items, [*items[1:], None], strict=True):
            self.failed, before = False, sum(os.times()[:4])
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            self.seconds = sum(os.times()[:4]) - before
            yield item.nodeid

    def _fork(self, body: Callable[[Callable[[object], None]], None], seconds: float) -> tuple[list[Any], bool]:
        """What `body` writes in a fork, and whether it ended within processor `seconds`, and 8 times that by clock."""
        sys.stdout.flush()
        source, sink = os.pipe()
        pid = os.fork()
        if not pid:
            code = 1
            try:
                os.setpgid(0, 0)
                os.close(source)
                nowhere = os.open(os.devnull, os.O_RDWR)
                for stream in (0, 1, 2):
                    os.dup2(nowhere, stream)
                resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
                body(lambda value: _write(sink, value))
                code = 0
            finally:
                os._exit(code)
        os.close(sink)
        data, end, timely = b"", time.monotonic() + 8 * seconds + 20, False
        while not timely and (left := end - time.monotonic()) > 0 and select.select([source], [], [], left)[0]:
            chunk = os.read(source, 1 << 16)
            data, timely = data + chunk, not chunk
        os.close(source)
        if not timely:
            os.killpg(pid, signal.SIGKILL)  # and what it started
        status = os.waitpid(pid, 0)[1]
        over = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
        return [json.loads(line) for line in data.splitlines()], timely and not over


def _write(sink: int, value: object) -> None:
    data = (json.dumps(value) + "\n").encode()
    while data:
        data = data[os.write(sink, data) :]


def serve(folders: Sequence[str], work: Callable[[Server], None]) -> None:
    """Collects the tests of `folders`, relative to the current folder, and does `work`."""
    sys.meta_path.insert(0, NoJax())
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"
    options = ["-q", "-s", "-m", "not slow and not weekly", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no"]
    code = pytest.main([*options, "--continue-on-collection-errors", "--rootdir=.", *folders], plugins=[Server(work)])
    if code not in (0, 1):
        raise SystemExit(f"pytest ended with {code}, expected 0")
