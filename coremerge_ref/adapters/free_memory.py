"""How much memory is free."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def free_memory() -> float | None:
    """Bytes that can be taken, as the system and this process's control group say; None where nothing says it."""
    return min(_limits(), default=None)


def _limits() -> Iterator[float]:
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        yield 1024.0 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    with suppress(OSError, ValueError, IndexError):
        own = Path("/proc/self/cgroup").read_text().splitlines()
        group = Path("/sys/fs/cgroup") / next(line for line in own if line.startswith("0::"))[3:].strip("/")
        for folder in (group, *group.parents):
            with suppress(OSError, ValueError):  # "max" is no number, and the root has no such file
                limit = int((folder / "memory.max").read_text())
                pages = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                used = int((folder / "memory.current").read_text()) - int(pages["inactive_file"])
                yield float(max(0, limit - used))
    if not os.path.exists("/proc/meminfo"):
        with suppress(OSError, ValueError):
            yield float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
