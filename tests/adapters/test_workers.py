"""Calls done by an executor's workers: results in order, what is cancelled, and what failures there are said to be."""

from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from threading import Event
from typing import Any

import pytest
from said import parts

from coremerge_ref.adapters.workers import done_by, failures
from coremerge_ref.errors import AdapterError, CoreMergeError, ParameterError


class ByHand(Executor):
    """Hands out futures, which the test fulfils."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, function: Callable[..., Any], /, *words: Any, **more: Any) -> "Future[Any]":
        self.futures.append(Future())
        return self.futures[-1]


def test_results_are_in_order_and_each_is_told_when_it_is_there() -> None:
    gates = [Event(), Event(), Event()]
    gates[2].set()
    told: list[int] = []

    def work(i: int, factor: int) -> int:
        assert gates[i].wait(30)
        return factor * i

    def tell(i: int) -> None:
        told.append(i)
        gates[i - 1].set()

    with ThreadPoolExecutor(3) as threads:
        assert done_by(threads, work, [(0, 7), (1, 7), (2, 7)], tell) == [0, 7, 14]
    assert told == [2, 1, 0]


def test_no_calls_are_done_at_once() -> None:
    assert done_by(ByHand(), len, [], lambda i: None) == []


@pytest.mark.parametrize("error", [AdapterError("said"), OSError(28, "No space"), ParameterError("said")], ids=repr)
def test_what_a_call_raises_in_words_is_raised_and_the_rest_is_cancelled(error: Exception) -> None:
    class Failing(ByHand):
        def submit(self, function: Any, /, *words: Any, **more: Any) -> "Future[Any]":
            future = super().submit(function, *words, **more)
            if len(self.futures) == 2:
                future.set_exception(error)
            return future

    executor = Failing()
    with pytest.raises(type(error)) as caught:
        done_by(executor, len, [(0,), (1,), (2,)], lambda i: None)
    assert caught.value is error
    assert [future.cancelled() for future in executor.futures] == [True, False, True]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            BrokenProcessPool("A process died\nin the night"),
            "ByHand … BrokenProcessPool: A process died; nothing … killed",
        ),
        (CancelledError(), "ByHand: … cancelled … scheduler"),
        (
            ImportError("No module named 'x'"),
            "ByHand … ImportError: No module named 'x'; nothing … import coremerge_ref",
        ),
        (TypeError("cannot pickle 'x'"), "ByHand … TypeError: cannot pickle 'x'; nothing"),  # not what was sent
    ],
    ids=lambda given: type(given).__name__,
)
def test_workers_that_fail_are_said_in_a_line(error: Exception, message: str) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(AdapterError, match=parts(message)) as caught, failures(ByHand(), [(1, "x")]):
        fail()
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "text", ["cannot pickle '_thread.lock' object", "Could not serialize object", "Can't get local object 'f'"]
)
def test_a_method_that_cannot_be_sent_is_said(text: str) -> None:
    """Libraries have their own words for it; whether it is so is tried."""

    def fail() -> None:
        raise TypeError(text)

    local = lambda: 0  # noqa: E731
    wanted = "executor: ByHand … the method … top level … ThreadPoolExecutor"
    with pytest.raises(ParameterError, match=parts(wanted)), failures(ByHand(), [(local,)]):
        fail()


def test_only_the_first_call_is_tried_to_be_sent() -> None:
    """All are alike, and there may be thousands."""

    class Refusing(Executor):
        def submit(self, function: Any, /, *words: Any, **more: Any) -> "Future[Any]":
            raise TypeError("cannot pickle that")

    with pytest.raises(ParameterError, match="executor: Refusing"):
        done_by(Refusing(), len, [(lambda: 0,), (1,)], lambda i: None)
    with pytest.raises(AdapterError, match=parts("Refusing … TypeError")) as caught:
        done_by(Refusing(), len, [(1,), (lambda: 0,)], lambda i: None)
    assert isinstance(caught.value, CoreMergeError)
