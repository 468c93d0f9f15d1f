"""The streams of the process, on which nothing draws but this package's own tables and progress bars."""

import io
import os
import sys
from typing import Any, NoReturn

from coremerge_ref.cli.reporting import written_out


class Stream(io.TextIOWrapper):
    """A stream of the process. Where its reader left, such as head, which has seen enough, the process ends, with 0."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream.buffer, encoding=stream.encoding, errors="backslashreplace", line_buffering=True)
        self._kept = stream  # whose end would close the file

    def write(self, text: str) -> int:
        """Writes it; what the encoding lacks is written out."""
        try:
            return super().write(text)
        except BrokenPipeError:
            return self._leave()

    def flush(self) -> None:
        """Hands on what was written."""
        try:
            super().flush()
        except BrokenPipeError:
            self._leave()

    def _leave(self) -> NoReturn:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())  # for what is left
        raise SystemExit(0)


class Plain(Stream):
    """Such a stream on which nothing draws, whoever uses it: control characters are written out."""

    def __init__(self, stream: Any) -> None:
        stream.flush()
        super().__init__(stream)
        self.styled = Stream(stream)

    def write(self, text: str) -> int:
        """Writes it out."""
        return super().write(written_out(text))


def styled(stream: Any) -> Any:
    """Where this package writes the colours of its own."""
    return stream.styled if isinstance(stream, Plain) else stream


def guard_streams() -> None:
    """Makes stdout and stderr such streams."""
    sys.stdout, sys.stderr = Plain(sys.stdout), Plain(sys.stderr)
