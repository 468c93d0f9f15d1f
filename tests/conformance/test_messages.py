"""Answers between processes: what is packed comes out as it was, and what pack does not make is refused."""

import io
import json
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from said import parts

from coremerge_ref.conformance import cases
from coremerge_ref.conformance.answers import ANSWERED, BROKEN, CHANGED, UNSUPPORTED, Answer
from coremerge_ref.conformance.messages import HEADER, pack, read, room, unpack, write

CASE = cases("ta/core/generic")[0]  # (10, 8)


@pytest.mark.parametrize("kind", [ANSWERED, CHANGED])
@pytest.mark.parametrize(
    "dtype",
    [np.float64, np.float32, np.float16, ml_dtypes.bfloat16, np.int8, np.uint64, np.bool_],
    ids=lambda t: t.__name__,
)
@pytest.mark.parametrize("shape", [(10, 8), (8, 10)])
def test_an_array_comes_out_as_it_went_in(kind: str, dtype: type, shape: tuple[int, int]) -> None:
    given = np.arange(80).reshape(shape[::-1]).T.astype(dtype)  # column by column in memory
    found = unpack(*pack(Answer(kind, given), CASE), CASE)
    assert (found.kind, found.array.dtype, found.array.shape) == (kind, given.dtype, shape)
    assert np.array_equal(found.array, given)


@pytest.mark.parametrize("numeric", [True, False])
@pytest.mark.parametrize("kind", [BROKEN, UNSUPPORTED])
def test_words_come_out_as_they_went_in(kind: str, numeric: bool) -> None:
    answer = Answer(kind, None, "KeyError: 'k'", "File mine.py\n  k", numeric)
    header, data = pack(answer, CASE)
    assert unpack(header, data, CASE) == answer
    assert data == b""


@pytest.mark.parametrize(
    ("array", "kind"),
    [(np.zeros((3, 4)), "f"), (np.zeros((10, 8), dtype=complex), "c"), (np.zeros((3, 4), dtype=np.complex64), "c")],
)
def test_an_array_that_cannot_be_right_sends_its_shape_alone(array: np.ndarray, kind: str) -> None:
    header, data = pack(Answer(ANSWERED, array), CASE)
    assert data == b""
    found = unpack(header, data, CASE).array
    assert (found.shape, found.dtype.kind, found.any()) == (array.shape, kind, False)


def said(**fields: object) -> bytes:
    whole = {"kind": ANSWERED, "message": "", "traceback": "", "numeric": False, "shape": [10, 8], "dtype": "float64"}
    return json.dumps({k: v for k, v in (whole | fields).items() if v is not None}).encode()


NUMBERS = np.ones((10, 8)).tobytes()


@pytest.mark.parametrize(
    ("header", "data", "error", "words"),
    [
        (said(dtype="object"), NUMBERS, ValueError, "dtype … 'object'"),
        (said(dtype="complex"), NUMBERS, ValueError, "dtype … 'complex'"),
        (said(dtype=3), NUMBERS, ValueError, "dtype … 3"),
        (said(shape=[4, 20]), NUMBERS, ValueError, "shape"),
        (said(shape=[10, 9]), NUMBERS, ValueError, "reshape"),
        (said(shape=None), b"", ValueError, "no array"),
        (said(kind=None), NUMBERS, KeyError, "kind"),
        (said(numeric=None), NUMBERS, KeyError, "numeric"),
        (said(shape=3), NUMBERS, TypeError, "not iterable"),
        (b"{", NUMBERS, ValueError, "Expecting"),
    ],
)
def test_what_pack_does_not_make_is_refused(header: bytes, data: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=parts(words)):
        unpack(header, data, CASE)


def test_words_of_a_stranger_are_bounded_and_printable() -> None:
    found = unpack(said(message="\x1b" + "y" * 10**5, traceback="z\n\x00" * 10**5, numeric=1), NUMBERS, CASE)
    assert found.message.isprintable()
    assert found.message.startswith(r"\x1b" + "y" * 100)
    assert len(found.message) < 1500
    assert "\n" in found.traceback
    assert all(c.isprintable() or c == "\n" for c in found.traceback)
    assert len(found.traceback) < 100_000
    assert found.numeric is False  # 1 is not true


# ---- the stream --------------------------------------------------------------------------------------------------
def test_messages_are_read_one_by_one_until_the_end() -> None:
    stream = io.BytesIO()
    for data in (b"first", b"", b"third"):
        write(stream, data)
    stream.seek(0)
    assert [read(stream, 5) for _ in range(4)] == [b"first", b"", b"third", None]


@pytest.mark.parametrize("cut", [3, 8, 10])
def test_a_message_that_breaks_off_is_the_end(cut: int) -> None:
    stream = io.BytesIO()
    write(stream, b"first")
    assert read(io.BytesIO(stream.getvalue()[:cut]), 100) is None


def test_a_message_that_announces_too_much_is_the_end() -> None:
    stream = io.BytesIO()
    write(stream, b"first")
    assert read(io.BytesIO(stream.getvalue()), 4) is None


def test_there_is_room_for_every_entry_of_an_answer_and_its_header() -> None:
    assert room(CASE) == 16 * 80 + HEADER
    batch = replace(CASE, updates=[(np.zeros((3, 10, 2)), np.zeros((3, 2, 8)), 1.0)])
    assert room(batch) == 16 * 240 + HEADER
