"""Parts of the process that asks another, without the other: what was printed, what is read, what is refused."""

import io
import json
import os
import pickle
import queue
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from said import parts

from coremerge_ref.conformance import cases, isolate, messages
from coremerge_ref.conformance.answers import ANSWERED, BROKEN, Answer
from coremerge_ref.conformance.isolate import Here, Worker, alive, asker
from coremerge_ref.conformance.text import TRACE

CASE = cases("ta/core/generic")[0]


class Ended:
    """A process that has ended with a code, or has not."""

    def __init__(self, code: int | None) -> None:
        self.code = code

    def poll(self) -> int | None:
        return self.code

    def wait(self, timeout: float) -> int:
        if self.code is None:
            raise subprocess.TimeoutExpired("it", timeout)
        return self.code


@pytest.fixture
def worker() -> Iterator[Worker]:
    """One that has started nothing."""
    made = Worker.__new__(Worker)
    made.inbox, made.process = queue.Queue(), Ended(None)
    with tempfile.TemporaryFile() as made.log:
        yield made


# ---- what was printed --------------------------------------------------------------------------------------------
def test_what_was_printed_is_read_once(worker: Worker) -> None:
    assert worker._printed() == ""
    os.write(worker.log.fileno(), b"  first\nand \x1b[1m second \n")
    assert worker._printed() == "first\nand \\x1b[1m second"
    os.write(worker.log.fileno(), b"y")
    assert worker._printed() == "y"
    assert worker._printed() == ""
    os.write(worker.log.fileno(), "naïve \N{SNOWMAN}".encode() + b"\xff")
    assert worker._printed() == "naïve \N{SNOWMAN}\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("length", [TRACE + 1, 4 * TRACE, 4 * TRACE + 1, 10**6])
def test_of_much_that_was_printed_the_end_is_kept(worker: Worker, length: int) -> None:
    os.write(worker.log.fileno(), b"x" * (length - 4) + b"last")
    first, kept = worker._printed().split("\n")
    assert kept == "x" * (TRACE - 4) + "last"
    assert first.startswith("…")
    assert str(min(length, 4 * TRACE)) in first
    assert os.fstat(worker.log.fileno()).st_size == 0


# ---- answers -----------------------------------------------------------------------------------------------------
def test_what_came_is_read_in_its_order(worker: Worker) -> None:
    for data in (b"first", b"second"):
        worker.inbox.put(data)
    assert [worker._receive(1.0), worker._receive(1.0, CASE)] == [b"first", b"second"]


@pytest.mark.parametrize("case", [None, CASE])
def test_an_answer_has_room_for_what_was_asked_and_no_more(worker: Worker, case: object) -> None:
    room = messages.HEADER if case is None else messages.room(CASE)
    worker.inbox.put(b"x" * room)
    assert len(worker._receive(1.0, case)) == room
    worker.inbox.put(b"x" * (room + 1))
    with pytest.raises(ValueError, match=str(room + 1)):
        worker._receive(1.0, case)


@pytest.mark.parametrize(
    ("code", "said"), [(0, "exit code 0"), (3, "exit code 3"), (-11, "SIGSEGV"), (-9, "SIGKILL"), (None, "closed")]
)
def test_how_the_process_ended_is_said(worker: Worker, code: int | None, said: str) -> None:
    worker.process = Ended(code)
    worker.inbox.put(None)
    with pytest.raises(isolate._Died, match=said):
        worker._receive(1.0, CASE)
    if code is not None:  # and where a child of it holds the stream
        with pytest.raises(isolate._Died, match=said):
            worker._receive(1.0, CASE)


def test_what_a_process_said_before_it_ended_is_heard(worker: Worker) -> None:
    """It comes after the judge has seen the end: the thread that listens is slower."""

    class Late(queue.Queue[bytes | None]):
        empty_once = True

        def get(self, block: bool = True, timeout: float | None = None) -> bytes | None:
            if self.empty_once:
                self.empty_once = False
                raise queue.Empty
            return super().get(block, timeout)

    worker.inbox, worker.process = Late(), Ended(0)
    worker.inbox.put(b"last words")
    assert worker._receive(0.0, CASE) == b"last words"


def test_no_answer_and_a_flood_of_prints_are_said(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(isolate._Died, match=parts("no answer … 0.01 s")):
        worker._receive(0.01, CASE)
    monkeypatch.setattr(isolate, "PRINTED", 3 << 20)
    os.write(worker.log.fileno(), b"x" * (3 << 20))
    with pytest.raises(isolate._Died, match="no answer"):
        worker._receive(0.15, CASE)
    os.write(worker.log.fileno(), b"x")
    with pytest.raises(isolate._Died, match=parts("printed … 3 MB")):
        worker._receive(10.0, CASE)


def test_after_many_deaths_nothing_is_asked(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolate, "DEATHS", 2)
    worker.deaths = 2
    answer = worker.answer(CASE)
    assert (answer.kind, answer.array) == ("broken", None)
    assert answer.message.startswith("not asked")
    assert " 2 times" in answer.message


# ---- in this process ---------------------------------------------------------------------------------------------
def test_exits_of_this_process_are_told_as_errors_and_put_back() -> None:
    before = os._exit
    with alive(), pytest.raises(SystemExit, match=r"os\._exit\(3\)"):
        os._exit(3)
    assert os._exit is before
    with pytest.raises(KeyError), alive():
        raise KeyError
    assert os._exit is before
    answer = Here(lambda case: sys.exit(4)).answer(CASE)
    assert (answer.kind, answer.message) == ("broken", "SystemExit: 4")


def test_a_timeout_is_for_a_process_of_its_own() -> None:
    with pytest.raises(ValueError, match=parts("timeout … isolate=True")):
        asker(lambda case: None, timeout=1.0)
    assert isinstance(asker(lambda case: None), Here)


# ---- the other process, as its double ----------------------------------------------------------------------------
class Kept(io.BytesIO):
    """A stream that remembers what was written after it is closed."""

    written = b""

    def close(self) -> None:
        if not self.closed:
            self.written = self.getvalue()
        super().close()


class Double:
    """In place of a process: how it was started and ended, what it was told, and the replies that it has ready."""

    made: ClassVar[list["Double"]] = []
    replies: ClassVar[list[list[bytes]]] = []
    printed: ClassVar[bytes] = b""

    def __init__(self, command: list[str], **options: Any) -> None:
        self.command, self.options, self.pid = command, options, 10**9 + len(self.made)
        self.stdin, self.stdout, self.code = Kept(), io.BytesIO(), -9
        for data in self.replies.pop(0):
            messages.write(self.stdout, data)
        self.stdout.seek(0)
        os.write(options["stderr"].fileno(), self.printed)
        self.ended: list[str] = []
        self.made.append(self)

    def poll(self) -> int | None:
        return None

    def kill(self) -> None:
        self.ended.append("killed")

    def wait(self, timeout: float | None = None) -> int:
        self.ended.append("waited for")
        return self.code

    def told(self) -> list[Any]:
        stream = io.BytesIO(self.stdin.getvalue() if not self.stdin.closed else self.stdin.written)
        return [pickle.loads(data) for data in iter(lambda: messages.read(stream, 1 << 30), None)]


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> type[Double]:
    def group_ended(pid: int, by: int) -> None:
        (one,) = (made for made in Double.made if made.pid == pid)
        one.ended.append(signal.Signals(by).name)

    for name, value in {"made": [], "replies": [], "printed": b""}.items():
        monkeypatch.setattr(Double, name, value)
    monkeypatch.setattr(subprocess, "Popen", Double)
    monkeypatch.setattr(os, "killpg", group_ended)
    return Double


READY = json.dumps({"ready": True, "supports": {"methods": ["ta"]}}).encode()
RIGHT = messages.pack(Answer(ANSWERED, CASE.expected), CASE)
ROOT = str(Path(isolate.__file__).parents[2])


@pytest.mark.parametrize(("before", "path"), [(None, ROOT), ("/mine", f"{ROOT}{os.pathsep}/mine")])
def test_a_process_is_started_apart_and_told_what_to_import(
    double: type[Double], monkeypatch: pytest.MonkeyPatch, before: str | None, path: str
) -> None:
    if before is None:
        monkeypatch.delenv("PYTHONPATH", raising=False)
    else:
        monkeypatch.setenv("PYTHONPATH", before)
    monkeypatch.setenv("OTHER", "kept")
    monkeypatch.setattr(sys, "path", ["", "/elsewhere"])
    double.replies.append([READY])
    with Worker("mine:merge") as made:
        assert made.supports == {"methods": ["ta"]}
        assert made.timeout == 60
    (process,) = double.made
    assert process.command == [sys.executable, "-P", "-c", isolate.COMMAND]
    assert (process.options["stdin"], process.options["stdout"]) == (subprocess.PIPE, subprocess.PIPE)
    assert process.options["start_new_session"] is True
    assert process.options["env"]["PYTHONPATH"] == path
    assert process.options["env"]["OTHER"] == "kept"
    assert process.told() == [("mine:merge", [os.getcwd(), "/elsewhere"])]
    assert process.ended == ["SIGKILL", "killed", "waited for"]
    assert process.stdin.closed
    assert process.options["stderr"].closed
    made.stop()  # once more is once too often, and does nothing
    assert len(process.ended) == 3


@pytest.mark.parametrize(
    ("reply", "printed", "said"),
    [
        ([json.dumps({"ready": False, "message": "mine: no module"}).encode()], b"", "mine: no module"),
        ([json.dumps({"ready": False, "message": "no\x1b"}).encode()], b"on my way\n", r"no\x1b … printed: on my way"),
        ([b"{"], b"", "mine:merge: cannot be imported … Expecting"),
        ([], b"", "mine:merge: cannot be imported … SIGKILL"),
        ([b"x" * (messages.HEADER + 1)], b"", f"mine:merge: cannot be imported … {messages.HEADER + 1} bytes"),
    ],
)
def test_what_cannot_be_imported_is_said_and_its_process_ended(
    double: type[Double], reply: list[bytes], printed: bytes, said: str
) -> None:
    double.replies.append(reply)
    double.printed = printed
    with pytest.raises(ImportError, match=parts(said)) as caught:
        Worker("mine:merge")
    assert ("printed" in str(caught.value)) is bool(printed)
    assert double.made[0].ended[-3:] == ["SIGKILL", "killed", "waited for"]
    assert double.made[0].stdin.closed


def test_importing_has_ten_times_the_time_of_a_case(double: type[Double], monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []
    given = Worker._receive

    def received(self: Worker, seconds: float, case: Any = None) -> bytes:
        waits.append((seconds, case))
        return given(self, seconds, case)

    monkeypatch.setattr(Worker, "_receive", received)
    double.replies.append([READY, *RIGHT])
    with asker("mine:merge", isolate=True, timeout=0.5) as made:
        made.answer(CASE)
    assert waits == [(5.0, None), (0.5, CASE), (0.5, CASE)]


def test_an_answer_is_what_the_process_sends_and_has_printed(double: type[Double]) -> None:
    double.replies.append([READY, *RIGHT])
    with Worker("mine:merge") as made:
        os.write(made.log.fileno(), b"on my way\n")
        answer = made.answer(CASE)
        assert (answer.kind, answer.printed) == (ANSWERED, "on my way")
        assert np.array_equal(answer.array, CASE.expected)
        assert made.deaths == 0
        _, asked = double.made[0].told()
    assert (asked.name, asked.expected, asked.bound) == (CASE.name, None, 0)


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        ([], "the function ended its process by SIGKILL"),
        (RIGHT[:1], "the function ended its process by SIGKILL"),
        ([b"{", b""], "damaged answer: … Expecting"),
        ([b'{"kind": "answered"}', b""], "damaged answer: 'message'"),
        ([b"[]", b""], "damaged answer: "),
        ([b"x" * (messages.room(CASE) + 1)], f"damaged answer: {messages.room(CASE) + 1} bytes"),
    ],
)
def test_a_process_that_answers_nothing_fit_is_ended_and_another_started(
    double: type[Double], replies: list[bytes], said: str
) -> None:
    double.replies += [[READY, *replies], [READY, *RIGHT]]
    double.printed = b"last words"
    with Worker("mine:merge") as made:
        made._printed()
        os.write(made.log.fileno(), b"last words")
        answer = made.answer(CASE)
        assert (answer.kind, answer.array, answer.printed) == (BROKEN, None, "last words")
        assert re.fullmatch(parts(said) + ".*", answer.message)
        assert (made.deaths, made.process) == (1, None)
        assert double.made[0].ended[-3:] == ["SIGKILL", "killed", "waited for"]
        assert made.answer(CASE).kind == ANSWERED
        assert (made.deaths, len(double.made)) == (1, 2)


def test_a_process_that_reads_no_more_and_one_that_cannot_be_started_again_are_deaths(double: type[Double]) -> None:
    double.replies += [[READY], [b"{"]]
    with Worker("mine:merge") as made:
        double.made[0].code = 7

        def closed(data: bytes) -> int:
            raise BrokenPipeError

        double.made[0].stdin.write = closed  # type: ignore[method-assign, assignment]
        assert made.answer(CASE).message == "the function ended its process with exit code 7"
        answer = made.answer(CASE)
        assert (answer.kind, made.deaths) == (BROKEN, 2)
        assert answer.message.startswith("mine:merge: cannot be imported")


def test_the_last_message_that_is_read_is_no_larger_than_any_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolate, "LARGEST", 5)
    for last, kept in ((b"fifth", [b"one", b"fifth", None]), (b"sixth.", [b"one", None])):
        stream, inbox = io.BytesIO(), queue.Queue[bytes | None]()
        for data in (b"one", last):
            messages.write(stream, data)
        stream.seek(0)
        Worker._listen(stream, inbox)
        assert list(inbox.queue) == kept
        assert stream.closed
