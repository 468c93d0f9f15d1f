"""Calls done by an executor's workers, and what fails there said as errors of this package."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future, as_completed
from contextlib import contextmanager
from typing import Any

from coremerge_ref.errors import AdapterError, CoreMergeError, ParameterError, reason


def done_by(
    executor: Executor, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], tell: Callable[[int], None]
) -> list[Any]:
    """function(*args) for each args of `calls`, by the executor's workers, in order; tell: called with each one done.

    Raises what the calls raise, and what `failures` says.
    """
    futures: dict[Future[Any], int] = {}
    results: list[Any] = [None] * len(calls)
    try:
        with failures(executor, calls[:1]):
            for i, args in enumerate(calls):
                futures[executor.submit(function, *args)] = i
            for future in as_completed(futures):
                results[futures[future]] = future.result()
                tell(futures[future])
    finally:
        for future in futures:
            future.cancel()
    return results


@contextmanager
def failures(executor: Executor, sent: object) -> Iterator[None]:
    """AdapterError where workers fail: killed, without this package, out of reach.

    ParameterError where `sent` cannot be sent to another process: the method above all.
    """
    try:
        yield
    except (CoreMergeError, OSError):
        raise
    except Exception as error:
        kind = type(executor).__name__
        if any(word in str(error) for word in ("pickle", "serialize", "local object")):
            try:
                pickle.dumps(sent)
            except (pickle.PicklingError, AttributeError, TypeError) as why:
                raise ParameterError(
                    f"executor: {kind} cannot send the method to its workers: {reason(why)}; define functions at the "
                    "top level of a module, or use a ThreadPoolExecutor"
                ) from error
        if isinstance(error, CancelledError):
            raise AdapterError(
                f"{kind}: the work was cancelled, and nothing was changed: did the scheduler, or whoever runs the "
                "workers, go away?"
            ) from error
        raise AdapterError(
            f"a worker of {kind} failed: {type(error).__name__}: {reason(error)}; nothing was changed: was it killed, "
            "or out of memory? can it import coremerge_ref?"
        ) from error
