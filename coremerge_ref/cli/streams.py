"""The streams of the process, on which nothing draws but this package's own tables and progress bars."""

import io
import sys
from typing import Any

from coremerge_ref.cli.reporting import written_out


class Plain(io.TextIOWrapper):
    """A stream that writes control characters out, and what its encoding lacks, whoever uses it."""

    def __init__(self, stream: Any) -> None:
        options: dict[str, Any] = {"encoding": stream.encoding, "errors": "backslashreplace", "write_through": True}
        stream.flush()
        super().__init__(stream.buffer, **options)
        self.styled = io.TextIOWrapper(stream.buffer, **options)
        self._kept = stream  # whose end would close the file

    def write(self, text: str) -> int:
        """Writes it out."""
        return super().write(written_out(text))


def styled(stream: Any) -> Any:
    """Where this package writes the colours of its own."""
    return stream.styled if isinstance(stream, Plain) else stream


def guard_streams() -> None:
    """Makes stdout and stderr such streams."""
    sys.stdout, sys.stderr = Plain(sys.stdout), Plain(sys.stderr)
