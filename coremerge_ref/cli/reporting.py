"""How commands speak: results on stdout, everything else on stderr, errors as one line and an exit code."""

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from coremerge_ref.errors import CoreMergeError

REFUSED, INTERRUPTED = 2, 130


def reported(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with this package's errors as one line on stderr and exit code 2, and Ctrl-C as exit code 130."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except CoreMergeError as error:
            typer.echo(f"coremerge: error: {visible(str(error))}", err=True)
            raise typer.Exit(REFUSED) from error
        except KeyboardInterrupt:
            typer.echo("coremerge: interrupted", err=True)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(INTERRUPTED)  # all is cleaned up; leaving politely would wait for threads that still compute
        except BrokenPipeError as error:  # the reader of our stdout, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from error

    return run


def emit(value: dict[str, Any]) -> None:
    """One JSON object on stdout, for machines."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=True))


def visible(text: str) -> str:
    """`text` on one line with control characters written out: names in files must not draw on a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))


def note(text: str) -> None:
    """Something worth knowing, on stderr."""
    typer.echo(f"note: {visible(text)}", err=True)


@contextmanager
def progress(what: str, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """A function of (done, total) that draws a progress bar on stderr, where a person is looking."""
    if not (shown and sys.stderr.isatty()):
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


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
