"""Words of others, made fit for a terminal, JSON and XML: bounded, no control characters, no lone surrogates."""

from __future__ import annotations

import traceback

MESSAGE, TRACE = 500, 8000  # characters kept of a message, of a traceback or of what was printed


def clean(text: str, limit: int = MESSAGE, *, lines: bool = False) -> str:
    """The text with what cannot be printed written as escapes; its end where it is longer than ``limit`` and has
    lines (a traceback's end says what happened), its beginning otherwise. Never raises."""
    text = str.__str__(text)  # a subclass of str may do anything
    length = len(text)
    if length > limit:
        text = text[-limit:] if lines else text[:limit]
    shown = "".join(c if c.isprintable() or (lines and c == "\n") else _escape(c) for c in text)
    if length <= limit:
        return shown
    return f"… ({length} characters)\n{shown}" if lines else f"{shown} … ({length} characters)"


def _escape(c: str) -> str:
    return " " if c in "\t\r\n" else repr(c)[1:-1]


def message_of(error: BaseException) -> str:
    """``TypeError: what it says``, whatever the exception's ``__str__`` does."""
    try:
        text = str(error)
    except BaseException as second:
        text = f"(its message cannot be read: {type(second).__name__})"
    name = type.__dict__["__name__"].__get__(type(error))  # a metaclass may say otherwise
    return clean(f"{name}: {text}".rstrip(": "))


def traceback_of(error: BaseException) -> str:
    """The traceback from the function under test on, or nothing where it cannot be made."""
    try:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None and trace.tb_frame.f_globals.get("__package__") in OURS:
            trace = trace.tb_next
        if trace is not None and trace.tb_frame.f_globals.get("__package__") in OURS:
            return ""  # nothing of the function's own
        return clean("".join(traceback.format_exception(type(error), error, trace)), TRACE, lines=True)
    except BaseException:
        return ""


OURS = (__package__,)
