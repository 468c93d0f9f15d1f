"""The process that is asked: imports the function, answers cases, holds no expected value. Started by ``isolate``."""

from __future__ import annotations

import faulthandler
import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any, BinaryIO

from . import messages, questions
from .answers import BROKEN, Answer, call
from .loading import load
from .supports import declared
from .text import message_of


def main() -> None:
    """Serve until the judge closes the stream of requests."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # input() finds nothing to read, print() goes where errors go
    os.dup2(2, 1)
    faulthandler.enable()
    questions.DATA = Path(os.devnull) / "expected values are the judge's alone"
    serve(requests, replies)
    os._exit(0)  # threads and exit handlers of the function are nobody's concern


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """The function's name first, then cases; each is answered before the next is read."""
    name, path = pickle.loads(messages.read(requests, 1 << 30) or b"")
    sys.path[:], sys.argv = path, [name]
    try:
        fn = load(name)
        said: dict[str, Any] = {"ready": True, "supports": declared(fn)}
    except BaseException as error:
        said = {"ready": False, "message": message_of(error).partition(": ")[2]}
        messages.write(replies, json.dumps(said).encode())
        return
    messages.write(replies, json.dumps(said).encode())
    while (request := messages.read(requests, 1 << 40)) is not None:
        case = pickle.loads(request)
        try:
            answer = call(fn, case)
        except KeyboardInterrupt as error:  # nobody's keyboard: the function raised it
            answer = Answer(BROKEN, message=message_of(error))
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BaseException:  # closed or replaced by the function
                continue
        header, data = messages.pack(answer, case)
        messages.write(replies, header)
        messages.write(replies, data)
