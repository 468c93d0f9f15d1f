"""How commands speak: results on stdout, everything else on stderr, errors as one line and an exit code.

What is said holds names that strangers wrote. Lines go through `say` and `note`, tables through tables.console; all
write control characters out, and so do the streams of the process (streams.py), whoever uses them.
"""

import functools
import json
import math
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import typer

from coremerge_ref.errors import CoreMergeError, ParameterError, reason, shown

UNSAID, REFUSED, INTERRUPTED = 1, 2, 130
_LONGEST = 1500  # characters of a line that nobody asked for
_PART = 32  # characters of what a progress bar is at, so that all of it fits 80 columns


def reported(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with this package's errors as one line on stderr and exit code 2, and Ctrl-C as exit code 130.

    Where stdout takes no more, such as a full disk, the exit code is 1, with a line that says so: commands speak when
    their work is done.
    """

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except CoreMergeError as error:
            say_error(str(error))
            raise typer.Exit(REFUSED) from error
        except KeyboardInterrupt:
            typer.echo("coremerge: interrupted", err=True)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(INTERRUPTED)  # all is cleaned up; leaving politely would wait for threads that still compute
        except OSError as error:  # those of files are errors of this package long before
            _forget_stdout()
            say_error(f"cannot write to standard output: {reason(error)}; all else is done")
            raise typer.Exit(UNSAID) from error

    return run


def say_error(text: str) -> None:
    """What was refused, on stderr."""
    with suppress(OSError):  # a full disk may be where stderr goes, too
        _speak(f"coremerge: error: {visible(text, _LONGEST)}", sys.stderr)


def refusal(error: Exception) -> CoreMergeError:
    """What went wrong with a file as an error of this package, which names the file and says what to do."""
    if isinstance(error, CoreMergeError):
        return error
    if isinstance(error, OSError) and error.filename is not None:
        return ParameterError(f"{shown(error.filename)}: cannot be used: {reason(error)}; check the path")
    return ParameterError(reason(error))


def _forget_stdout() -> None:
    """What could not be written is not tried again when Python ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def emit(value: dict[str, Any]) -> None:
    """One JSON object on stdout, for machines; null for numbers that are not finite, which JSON has not."""
    typer.echo(json.dumps(_finite(value), indent=2, ensure_ascii=True, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def visible(text: str, longest: int | None = None) -> str:
    """`text` on one line with control characters written out: names in files must not draw on a terminal."""
    line = written_out(" ".join(text.split()))
    return line if longest is None or len(line) <= longest else f"{line[:longest]}…"


def written_out(text: str) -> str:
    """`text` with all that is not printable written out, but for the ends of lines."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def say(text: str) -> None:
    """A line on stdout; on a terminal as many as it takes, broken between words."""
    _speak(visible(text), sys.stdout)


def note(text: str) -> None:
    """Something worth knowing, on stderr; where a bar is drawn there, above it."""
    _speak(f"note: {visible(text, _LONGEST)}", sys.stderr)


def say_lines(text: str) -> None:
    """Lines on stdout: tables and paragraphs. On a terminal long ones go on below, broken between words."""
    _speak(text, sys.stdout)


def paste(command: str) -> None:
    """A command on a line of its own, whole, for people to paste."""
    typer.echo(f"  {written_out(command)}")


def _speak(text: str, stream: Any) -> None:
    if stream.isatty():
        width = shutil.get_terminal_size().columns
        text = "\n".join(_wrapped(line, width) for line in text.split("\n"))
    typer.echo(text, file=stream)


def _wrapped(line: str, width: int) -> str:
    starts = [match.end() for match in re.finditer(r"(?:^|  ) *(?=\S)", line)]  # of columns
    indent = " " * max((start for start in starts if start <= width * 2 // 3), default=0)
    wrap = textwrap.TextWrapper(
        width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )
    return wrap.fill(line) if len(line) > width else line


@contextmanager
def progress(what: str, shown: bool) -> Iterator[Callable[..., None]]:
    """A function of (done, total, part="") that draws a bar on stderr, where a person is looking.

    The bar shows the share done, the time left and the part at work, such as a layer.
    """
    if not (shown and sys.stderr.isatty()):
        yield lambda *_: None
        return
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from coremerge_ref.cli.tables import console

    columns = (
        "{task.description}",
        BarColumn(24),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[part]}"),
    )
    with Progress(*columns, console=console(sys.stderr), transient=True) as bar:
        task = bar.add_task(what, total=None, part="")

        def report(done: float, total: float, part: str = "") -> None:
            bar.update(task, completed=done, total=total, part=escape(shortened(visible(part), _PART)))

        yield report


def shortened(text: str, length: int) -> str:
    """`text` in at most `length` characters; what it begins and ends with is kept."""
    if len(text) <= length:
        return text
    return f"{text[: (length - 1) // 2]}…{text[-(length // 2) :]}"


def counted(count: int, thing: str) -> str:
    """1 layer, 2 layers."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def size(count: float) -> str:
    """A number of bytes for people: 1.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
