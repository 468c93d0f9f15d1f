"""Functions under test that do what no function should, for processes of their own to run."""

import contextlib
import ctypes
import os
import subprocess
import sys
import threading
import time

import numpy as np


def right(case):
    """Linear merges, right."""
    if case.method not in ("ta", "mean"):
        raise NotImplementedError("linear merges alone")
    w = next(iter(case.params.values()))["weights"]
    total = sum(x * s * (b.astype(float) @ a.astype(float)) for x, (b, a, s) in zip(w, case.updates, strict=True))
    return total / sum(w) if case.method == "mean" else total


def linear(case):
    return right(case)


linear.supports = {"methods": ["ta"], "spaces": ["core", "full"]}


def misdeclared(case):
    return right(case)


misdeclared.supports = {"methods": ["tas"]}


def exits(case):
    sys.exit(0)


def ends(case):
    os._exit(0)


def crashes(case):
    print("on my way")
    ctypes.string_at(0)


def hangs(case):
    while True:
        time.sleep(0.01)


def leaves_a_child(case):
    """A grandchild that holds the streams open, outside the process group, and outlives the crash."""
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"], start_new_session=True)
    os._exit(3)


def interrupts(case):
    raise KeyboardInterrupt


def generator_exits(case):
    raise GeneratorExit("now")


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no message")


def mute(case):
    raise Mute


def loud(case):
    raise ValueError("[bold]\x1b[31m\x00\ud800 & <tag> ]]>\n" + "y" * 10_000_000)


def prints(case):
    print("\x1b[2J{'not': 'JSON'}" + "z" * 1000)
    os.write(1, b"straight to the descriptor\n")
    return right(case)


def floods(case):
    while True:
        os.write(2, b"x" * 1_000_000)


def closes(case):
    with contextlib.suppress(OSError):
        os.closerange(3, 64)
    return right(case)


def text(case):
    return np.array([["a"]])


def things(case):
    return np.array([[object()]])


def nothing(case):
    return None


def huge(case):
    return np.broadcast_to(0.0, (10**6, 10**6))


def complex_numbers(case):
    return np.zeros(case.shape, dtype=complex)


def from_a_thread(case):
    threading.Thread(target=lambda: time.sleep(0.2), daemon=False).start()
    return right(case)


def looks_it_up(case):
    from coremerge_ref.conformance import cases

    return next(c.expected for c in cases() if c.name == case.name)


def patches_the_judge(case):
    from coremerge_ref.conformance import asking, verdict

    verdict.judge = asking.judge = lambda case, answer, precision=None: ("pass", 0.0, "")
    return np.zeros(case.shape)


number = 3
