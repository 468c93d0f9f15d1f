"""A user's score: the number that a command prints last, and every way in which there is none."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coremerge_ref.errors import CoreMergeError, ParameterError, ScoreError
from coremerge_ref.tuning.score import Command, as_evaluate, as_score, last_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.5", 0.5),
        ("accuracy: 0.48\n", 0.48),
        ("step 3/3\nacc=51.8%\n", 51.8),
        ('{"acc": 0.5, "loss": 1.25e-3}', 1.25e-3),
        ("loss (lower is better) is -2.", -2.0),
        ("score 12,345.6", 12345.6),
        ("\x1b[32m0.25\x1b[0m done", 0.25),
        ("[0.1, 0.2]", 0.2),
        ("3 of layer2 in v1.2b", 3.0),
        ("+1e3", 1000.0),
        ("nothing here", None),
        ("v2 layer3 1.2.3", None),
        ("", None),
    ],
)
def test_the_last_number(text: str, number: float | None) -> None:
    assert last_number(text) == number


def test_a_command_gets_the_path_and_the_fraction(tmp_path: Path) -> None:
    adapter = tmp_path / "it's an adapter"
    adapter.mkdir()
    score = Command("test -d {adapter} && echo {fraction} | awk '{print $1 * 2}'")
    assert score.takes_fraction
    assert score(adapter, 0.25) == 0.5
    assert not Command("echo 1 {adapter}").takes_fraction


@pytest.mark.parametrize(
    ("command", "texts"),
    [
        ("echo {adapter} > /dev/null; echo out; echo why >&2; exit 3", ["exit code 3", "why"]),
        ("echo {adapter} > /dev/null; echo only out; exit 4", ["exit code 4", "only out"]),
        ("test {adapter} && exit 1", ["exit code 1", "printed nothing"]),
        ("test {adapter} && kill -9 $$", ["signal SIGKILL"]),
        ("test {adapter} && echo no score today", ["no number", "no score today"]),
        ("test {adapter} && echo nan", ["finite", "nan last"]),
        ("test {adapter} && echo inf", ["finite", "inf last"]),
        ("no-such-program {adapter}", ["exit code 127", "not found"]),
    ],
)
def test_commands_that_give_no_score(command: str, texts: list[str], tmp_path: Path) -> None:
    with pytest.raises(ScoreError) as caught:
        Command(command)(tmp_path)
    assert all(text in str(caught.value) for text in texts), str(caught.value)


def test_a_hanging_command_is_stopped_with_all_it_started(tmp_path: Path) -> None:
    script = tmp_path / "hang.py"
    script.write_text(
        "import signal, time, os, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open('pid', 'w').write(str(os.getpid()))\n"
        "print('still loading', flush=True)\n"
        "time.sleep(600)\n"
    )
    command = Command(f"cd {tmp_path} && test -e {{adapter}}; {sys.executable} hang.py; echo 1", timeout=3.0)
    with pytest.raises(ScoreError, match=r"more than 3 s.*still loading"):
        command(tmp_path)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 20
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_ctrl_c_stops_the_command(tmp_path: Path) -> None:
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from coremerge_ref.tuning.score import Command\n"
        "try:\n    Command('echo $$ > pid; test -e {adapter}; sleep 600')('.')\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
    )
    pid = tmp_path / "pid"
    pipes = {"stdout": subprocess.PIPE, "text": True, "cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": os.getcwd()}}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as child:
        while not (pid.exists() and pid.read_text().strip()):
            time.sleep(0.05)
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=60)
    assert out == "interrupted\n"
    assert not _runs(int(pid.read_text()))


def test_of_much_output_the_end_is_read(tmp_path: Path) -> None:
    loud = (
        f"{sys.executable} -c \"print('x' * 80, end=chr(10)) or [print(i, 'y' * 80) for i in range(20000)]; print(7)\""
    )
    assert Command(f"test -e {{adapter}} && {loud}")(tmp_path) == 7.0


@pytest.mark.parametrize("value", [None, "0.5", float("nan"), np.inf, 10**400, True, [1.0], np.ones(2), 1j])
def test_what_is_no_score(value: Any) -> None:
    with pytest.raises(ScoreError, match="finite number"):
        as_score(value)


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.array(2.0), np.int64(3)])
def test_what_is_a_score(value: Any) -> None:
    assert as_score(value) == float(value)


def test_what_is_no_evaluation() -> None:
    for score, timeout, text in (("echo 1", None, "{adapter}"), (3, None, "function"), (len, 1.0, "timeout")):
        with pytest.raises(ParameterError, match=text):
            as_evaluate(score, timeout)  # type: ignore[arg-type]
    assert issubclass(ScoreError, CoreMergeError)
