"""Work for a concurrent.futures executor, or done here."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any

from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.errors import ParameterError


def mapped(executor: Executor | None, function: Callable[..., Any], work: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
    """function(*args) for each args of `work`, in order: here, or by the executor's workers."""
    if executor is None:
        yield from (function(*args) for args in work)
        return
    futures = []
    try:
        futures = [executor.submit(function, *args) for args in work]
        for future in futures:
            yield future.result()
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        if any(word in str(error) for word in ("pickle", "serialize", "local object")):
            _check_picklable(executor, work[0][2:])
        raise
    finally:
        for future in futures:
            future.cancel()


def _check_picklable(executor: Executor, parts: tuple[Any, ...]) -> None:
    """ParameterError if the space, the pipeline or the options cannot be sent to another process."""
    try:
        pickle.dumps(parts)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        method = next((str(part) for part in parts if isinstance(part, Pipeline)), "")
        raise ParameterError(
            f"executor: {type(executor).__name__} cannot send method {method!r} to its workers: {error}; define "
            "functions at the top level of a module, or use a ThreadPoolExecutor"
        ) from error
