"""One thread for BLAS: waiting for threads takes longer than products and decompositions as small as those of cores."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from threading import Lock

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]


class _OneBlasThread:
    """LAPACK's threads limited to one while anybody is inside: the limit is the process's, and merges may overlap."""

    def __init__(self) -> None:
        self._lock, self._inside, self._limits = Lock(), 0, ExitStack()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._limits.enter_context(_pools(len(sys.modules)).limit(limits=1, user_api="blas"))
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._limits.close()


@lru_cache(maxsize=1)
def _pools(modules: int) -> ThreadpoolController:
    """The libraries that are loaded, which takes milliseconds to see: looked for again where modules have come."""
    return ThreadpoolController()


one_blas_thread = _OneBlasThread()
