"""Parts of the process that asks another, without the other: what was printed, what is read, what is refused."""

import os
import queue
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest
from said import parts

from coremerge_ref.conformance import cases, isolate, messages
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
