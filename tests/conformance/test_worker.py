"""What the process that is asked says to its judge, message by message, in this process."""

import io
import json
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from coremerge_ref.conformance import cases, messages
from coremerge_ref.conformance.answers import ANSWERED, BROKEN, UNSUPPORTED, fresh
from coremerge_ref.conformance.messages import unpack, write
from coremerge_ref.conformance.worker import serve

FILE = str(Path(__file__).parent / "strangers.py")
LINEAR, OTHER = cases("ta/core/generic")[0], cases("tsv/core/generic")[0]


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the function's process is given as its own."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", [*sys.argv])


def replied(function: str, *asked: object, path: Sequence[str] = ()) -> list[bytes]:
    """All that is replied to a function's name and to cases."""
    requests, replies = io.BytesIO(), io.BytesIO()
    write(requests, pickle.dumps((function, [*sys.path, *path])))
    for case in asked:
        write(requests, pickle.dumps(fresh(case)))
    requests.seek(0)
    serve(requests, replies)
    replies.seek(0)
    return list(iter(lambda: messages.read(replies, 1 << 30), None))


def test_a_function_is_ready_and_answers_one_case_after_the_other() -> None:
    ready, *rest = replied(f"{FILE}:right", LINEAR, OTHER, LINEAR)
    assert json.loads(ready) == {"ready": True, "supports": None}
    assert len(rest) == 6  # a header and an array for each
    first, second, third = (
        unpack(*rest[i : i + 2], case) for i, case in zip((0, 2, 4), (LINEAR, OTHER, LINEAR), strict=True)
    )
    for answer in (first, third):
        assert answer.kind == ANSWERED
        np.testing.assert_allclose(answer.array, LINEAR.expected, rtol=1e-12, atol=1e-12)
    assert (second.kind, second.message) == (UNSUPPORTED, "linear merges alone")


def test_what_a_function_declares_is_said_when_it_is_ready() -> None:
    (ready,) = replied(f"{FILE}:linear")
    assert json.loads(ready) == {"ready": True, "supports": {"methods": ["ta"], "spaces": ["core", "full"]}}


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (f"{FILE}:nothing_of_that_name", "nothing_of_that_name"),
        ("no_such_module:merge", "no_such_module"),
        (f"{FILE}:np", "expected a function of a case, got module"),
        (f"{FILE}:misdeclared", "no such methods: tas"),
    ],
)
def test_a_function_that_cannot_be_had_is_said_once_and_nothing_is_answered(function: str, said: str) -> None:
    (reply,) = replied(function, LINEAR)
    told = json.loads(reply)
    assert (told["ready"], told.keys()) == (False, {"ready", "message"})
    assert said in told["message"]
    assert not told["message"].startswith(("ImportError", "ValueError"))


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("interrupts", "KeyboardInterrupt"),
        ("exits", "SystemExit: 0"),
        ("generator_exits", "GeneratorExit: now"),
        ("text", "array of numbers, got dtype <U1"),
    ],
)
def test_what_a_function_raises_is_its_answer_and_the_next_case_is_asked(function: str, said: str) -> None:
    _, *rest = replied(f"{FILE}:{function}", LINEAR, LINEAR)
    assert len(rest) == 4
    for header, data in (rest[:2], rest[2:]):
        answer = unpack(header, data, LINEAR)
        assert (answer.kind, answer.array) == (BROKEN, None)
        assert said in answer.message


def test_the_function_has_the_judges_path_and_its_own_name_as_arguments() -> None:
    replied(f"{FILE}:right", path=["/where/the/judge/looks"])
    assert sys.argv == [f"{FILE}:right"]
    assert sys.path[-1] == "/where/the/judge/looks"
