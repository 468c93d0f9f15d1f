"""Whose workers merge: processes of this machine, or those of a dask cluster that is there."""

import logging
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from multiprocessing.connection import wait

from coremerge_ref.errors import ParameterError, reason, shown

_SECONDS = 10  # that a scheduler may take to answer
_MOST = 4096  # processes; Python starts them all at once


@contextmanager
def executor_of(workers: int | None, scheduler: str | None, tell: Callable[[str], None]) -> Iterator[Executor | None]:
    """The executor that the options ask for, None where they ask for none. ParameterError where it cannot be had."""
    if workers is not None and scheduler is not None:
        raise ParameterError("--workers, --scheduler: expected one of them, got both; a cluster has workers of its own")
    if workers is not None and not 1 <= workers <= _MOST:
        raise ParameterError(f"--workers: expected a number of processes from 1 to {_MOST}, got {shown(str(workers))}")
    if scheduler is not None:
        with _cluster(scheduler, tell) as executor:
            yield executor
    else:
        with nullcontext() if workers is None else _processes(workers) as executor:
            yield executor


@contextmanager
def _processes(count: int) -> Iterator[Executor]:
    pool = ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():  # nobody waits for what is not wanted any more
            process.kill()
        raise
    pool.shutdown()


def _begin() -> None:
    """A worker leaves Ctrl-C to the process that started it, and ends when that ends, however it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


@contextmanager
def _cluster(address: str, tell: Callable[[str], None]) -> Iterator[Executor]:
    try:
        from distributed import Client
    except ImportError as error:
        raise ParameterError(
            "--scheduler: dask.distributed is not installed; pip install 'coremerge_ref[distributed]'"
        ) from error
    for name in ("distributed", *logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters arrives as an exception
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # workers compare the versions that matter themselves
            client = Client(address, timeout=_SECONDS, set_as_default=False)
    except Exception as error:  # malformed addresses, refused connections, timeouts: each protocol has its own
        raise ParameterError(
            f"--scheduler: expected a dask scheduler at {shown(address)}, none answered within {_SECONDS} s "
            f"({reason(error)}); is it running, is the address right (tcp://host:8786), can this machine reach it?"
        ) from error
    with client:
        if not client.nthreads():
            tell(f"the cluster at {address} has no workers yet: the merge begins when it has some")
        yield client.get_executor()
