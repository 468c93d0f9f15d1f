"""The user's own score of an adapter: a function, or a command that prints a number."""

import math
import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from numbers import Real
from pathlib import Path
from typing import IO, Any, TypeAlias

from coremerge_ref.core.arrays import as_float
from coremerge_ref.errors import ParameterError, ScoreError, reason, shown

Evaluate: TypeAlias = Callable[..., Any]  # of an adapter, and of a fraction of the data where some are asked for

ADAPTER, FRACTION = "{adapter}", "{fraction}"
_TAIL_BYTES, _TAIL_LINES = 2**16, 4  # of what a command printed: read for the number, and shown where it fails
_GRACE = 5.0  # seconds from being asked to end to being ended
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
_GROUPED = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?")  # 12,345.6


class Command:
    """A command as a function of where an adapter is: the number that it prints last.

    text: for the shell, with {adapter} for the path and, where wanted, {fraction} for the share of the data to score
    on; other braces are left alone. timeout: seconds it may take, None for any.
    """

    def __init__(self, text: str, timeout: float | None = None) -> None:
        """ParameterError unless the text has {adapter}."""
        if ADAPTER not in text:
            raise ParameterError(
                f"score: expected a command with {ADAPTER} where the path of the adapter goes, such as "
                f"'python evaluate.py {ADAPTER}', got {shown(text)}"
            )
        self.text, self.timeout = text, timeout

    @property
    def takes_fraction(self) -> bool:
        """Whether it can score on a part of the data."""
        return FRACTION in self.text

    def __call__(self, adapter: Path, fraction: float = 1.0) -> float:
        """Runs it. ScoreError for a nonzero exit, for none in time, and where it prints no number."""
        line = self.text.replace(ADAPTER, shlex.quote(os.path.abspath(adapter))).replace(FRACTION, f"{fraction:g}")
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            code = self._run(line, out, errors)
            printed = _tail(out)
            if code is None:
                raise ScoreError(f"the command took more than {self.timeout:g} s and was stopped{_said(errors, out)}")
            if code:
                how = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
                raise ScoreError(f"the command ended with {how}{_said(errors, out)}")
            number = last_number(printed)
            if number is None or not math.isfinite(number):
                what = "no number" if number is None else f"{number} last"
                raise ScoreError(f"expected a finite number from the command, which printed {what}{_said(out, errors)}")
            return number

    def _run(self, line: str, out: IO[bytes], errors: IO[bytes]) -> int | None:
        """The exit code; None where time ran out. Where it is stopped, so is all that it started."""
        try:
            child = subprocess.Popen(
                line, shell=True, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, start_new_session=True
            )
        except (OSError, ValueError) as error:
            raise ScoreError(f"the command cannot be run: {reason(error)}") from error
        try:
            return child.wait(self.timeout)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _stop(child)


def _stop(child: "subprocess.Popen[bytes]") -> None:
    """Ends a command that still runs, with all that it started: first asked to, then not."""
    if child.poll() is not None:
        return
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, how)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE)


def last_number(text: str) -> float | None:
    """The last number in a text, None where it has none: 0.48 of "accuracy: 0.48", of "48 %", and of {"acc": 0.48} too.

    What is part of a word is no number; 12,345 is one.
    """
    for word in reversed(re.split(r"[\s:=;|()\[\]{}<>\"'%]+", _COLOURS.sub("", text))):
        plain = word.rstrip(".,")
        if _GROUPED.fullmatch(plain):
            return float(plain.replace(",", ""))
        try:
            return float(plain)
        except ValueError:
            continue
    return None


def _tail(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    return file.read().decode("utf-8", errors="replace")


def _said(*files: IO[bytes]) -> str:
    """The last lines of the first file that has some, for a message."""
    for file in files:
        lines = [line.strip() for line in _COLOURS.sub("", _tail(file)).splitlines() if line.strip()]
        if lines:
            return "; its last output: " + " / ".join(line[:200] for line in lines[-_TAIL_LINES:])
    return "; it printed nothing"


def as_evaluate(score: Evaluate | str, timeout: float | None = None) -> Evaluate:
    """A function as it is, a text as a Command. ParameterError for anything else, and for a timeout of a function."""
    if isinstance(score, str):
        return Command(score, timeout)
    if not callable(score):
        raise ParameterError(f"evaluate: expected a function of an adapter, or a command, got {type(score).__name__}")
    if timeout is not None:
        raise ParameterError("timeout: expected none for a function, which cannot be stopped; give a command")
    return score


def as_score(value: Any) -> float:
    """What an evaluation returned, as a number. ScoreError for anything that is no finite real number."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(as_float(value)):
        raise ScoreError(f"expected a finite number from the evaluation, got {shown(repr(value))[1:-1]}")
    return float(value) + 0.0  # no -0
