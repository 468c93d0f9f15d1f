"""Where tables and progress bars go: a rich console that lets no text draw."""

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from coremerge_ref.cli.reporting import written_out
from coremerge_ref.cli.streams import styled


class PlainConsole(Console):
    """A console whose colours are its own: control characters in texts are written out."""

    def on_broken_pipe(self) -> None:
        """The stream knows what to do."""
        raise

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As Console's."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else written_out(text), style, control)


def console(stream: Any = None, width: int | None = None) -> Console:
    """For `stream`, by default stdout; where that is no terminal and has no width to fit, `width` columns or any."""
    file = styled(sys.stdout if stream is None else stream)
    if PlainConsole(file=file).is_terminal:
        return PlainConsole(file=file)
    return PlainConsole(file=file, width=width, soft_wrap=width is None)
