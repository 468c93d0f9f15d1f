"""Tables and progress bars: what identifies is whole or told apart, and in pipes nothing is padded or cut."""

import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from coremerge_ref.analysis.explain.text import at_separators
from coremerge_ref.cli.reporting import shortened, written_out
from coremerge_ref.cli.streams import styled

WHOLE, MIDDLE, WORDS = "whole", "middle", "words"
_GAP = 2  # columns between columns
_ANY = 10_000  # columns where there is no width to fit
_LEAST = 16  # characters that a name or a sentence keeps


@dataclass(frozen=True)
class Column:
    """A column: its heading; right: numbers; drop: where the width does not do, the highest goes first, 0 never.

    fits: what becomes of cells that are too long: WHOLE stays, MIDDLE is shortened there, WORDS goes on in lines below.
    """

    heading: str
    right: bool = False
    drop: int = 0
    fits: str = WHOLE


class PlainConsole(Console):
    """A console whose colours are its own: control characters in texts are written out."""

    def on_broken_pipe(self) -> None:
        """The stream knows what to do."""
        raise

    def print(self, *objects: Any, **options: Any) -> None:
        """As Console's; without the spaces at the ends of lines where no terminal is."""
        if self.is_terminal:
            super().print(*objects, **options)
            return
        with self.capture() as captured:
            super().print(*objects, **options)
        self.file.write(re.sub(r"[ \t]+$", "", captured.get(), flags=re.MULTILINE))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As Console's."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else written_out(text), style, control)


def console(stream: Any = None) -> Console:
    """For `stream`, by default stdout; where that is no terminal there is no width to fit."""
    file = styled(sys.stdout if stream is None else stream)
    if PlainConsole(file=file).is_terminal:
        return PlainConsole(file=file)
    return PlainConsole(file=file, width=_ANY)


def width_of(stream: Any) -> int | None:
    """The columns of a terminal, None for anything else."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int | None = None) -> str:
    """The rows under their headings in at most `width` columns, as far as what identifies allows."""
    cells = [[written_out(" ".join(cell.split())) for cell in row] for row in rows]
    kept = list(range(len(columns)))
    if width is not None:
        droppable = sorted((i for i in kept if columns[i].drop), key=lambda i: columns[i].drop, reverse=True)
        while droppable and sum(_widths(columns, cells, kept)) + _GAP * (len(kept) - 1) > width:
            kept.remove(droppable.pop(0))
    fitted = (_fitting(columns, cells, kept, width) if width is not None else None) or {}
    widths = {i: fitted.get(i, w) for i, w in zip(kept, _widths(columns, cells, kept), strict=True)}
    shown = {i: _fitted([row[i] for row in cells], columns[i].fits, widths[i]) for i in kept}
    lines = [_line([columns[i].heading for i in kept], columns, kept, widths)]
    for n in range(len(cells)):
        parts = [shown[i][n] for i in kept]
        for k in range(max(map(len, parts), default=0)):
            lines.append(_line([part[k] if k < len(part) else "" for part in parts], columns, kept, widths))
    return "\n".join(lines)


def _widths(columns: Sequence[Column], cells: Sequence[Sequence[str]], kept: Sequence[int]) -> list[int]:
    return [max(cell_len(text) for text in (columns[i].heading, *(row[i] for row in cells))) for i in kept]


def _fitting(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], kept: Sequence[int], width: int
) -> dict[int, int] | None:
    """Narrower widths of the columns that may be narrowed, widest first; None where they cannot make it fit."""
    widths = dict(zip(kept, _widths(columns, cells, kept), strict=True))
    excess = sum(widths.values()) + _GAP * (len(kept) - 1) - width
    narrowed: dict[int, int] = {}
    for i in sorted((i for i in kept if columns[i].fits != WHOLE), key=lambda i: -widths[i]):
        least = min(widths[i], max(_LEAST, cell_len(columns[i].heading), width // 4))
        narrowed[i] = max(least, widths[i] - max(excess, 0))
        excess -= widths[i] - narrowed[i]
    return narrowed if excess <= 0 else None


def _fitted(texts: Sequence[str], fits: str, width: int) -> list[list[str]]:
    """Each text as lines of at most `width`, as far as that leaves them whole or told apart."""
    if fits == MIDDLE:
        short = [shortened(text, width) for text in texts]
        alike = {text: len({full for full, cut in zip(texts, short, strict=True) if cut == text}) > 1 for text in short}
        return [at_separators(text, width) if alike[cut] else [cut] for text, cut in zip(texts, short, strict=True)]
    if fits == WORDS:
        return [in_words(text, width) for text in texts]
    return [[text] for text in texts]


def in_words(text: str, width: int) -> list[str]:
    """Lines of at most `width`, broken between words alone."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _line(texts: Sequence[str], columns: Sequence[Column], kept: Sequence[int], widths: dict[int, int]) -> str:
    padded = []
    for i, text in zip(kept, texts, strict=True):
        space = " " * max(0, widths[i] - cell_len(text))
        padded.append(space + text if columns[i].right else text + space)
    return (" " * _GAP).join(padded).rstrip()
