"""Every command on terminals of 80 and 140 columns and in a pipe: what identifies is whole or told apart."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from coremerge_ref.cli import COMMANDS
from coremerge_ref.cli.tables import MIDDLE, WORDS, Column, table

NAMES = ("q_proj", "k_proj", "v_proj", "o_proj")
MODULES = [f"model.layers.{i}.self_attn.{name}" for i in range(2) for name in NAMES] + [
    f"model.layers.{i}.block_sparse_moe.experts.{i}.{side}.down_proj_of_a_long_name"
    for i in range(2)
    for side in ("left_of_everything", "right_of_everything")
]
# each in a process of its own, as for users; what they import is there already, but for PEFT, beside which the demo
# would time itself (tests/demo)
CODE = """
import os, sys
sys.modules["peft"] = None
import coremerge_ref.adapters
from coremerge_ref.cli import COMMANDS, main
from coremerge_ref.cli.commands import load_command
for name in COMMANDS:
    load_command(name)
for words in {runs!r}:
    sys.argv = ["coremerge", *words]
    print("=====", " ".join(words), flush=True)
    child = os.fork()
    if not child:
        main()
    os.waitpid(child, 0)
"""
WIDTHS = {"80": 80, "140": 140, "pipe": None}
INPUTS = ("first-adapter", "second-adapter")
RUNS: dict[str, tuple[str, ...]] = {
    "merge": (
        "merge",
        *INPUTS,
        "-o",
        "out",
        "--method",
        "ties",
        "--set",
        "ties.density=0.5",
        "--set",
        "ties.elect=count",
    ),
    "inspect": ("inspect", *INPUTS),
    "inspect --all": ("inspect", "first-adapter", "--all"),
    "explain": ("explain", *INPUTS, "--method", "ties"),
    "explain --all": ("explain", *INPUTS, "--method", "tsv", "--all"),
    "compare": ("compare", *INPUTS, "out", "--method", "ties"),
    "resize": ("resize", "first-adapter", "-o", "small", "--rank", "2", "--all"),
    "convert": ("convert", "first-adapter", "mlx", "--to", "mlx"),
    "verify": ("verify", "out"),
    "vectors": ("vectors", "export", "cases", "--only", "ta/core/generic"),
    "conformance": ("conformance", "answer.py:merge", "--only", "ta/core", "--all"),
    "conformance --list": ("conformance", "--list", "--only", "ta/core"),
    "sweep": ("sweep", "out", "--score", "echo 1 # {adapter}", "--alphas", "1,2"),
    "search": ("search", *INPUTS, "--score", "echo 1 # {adapter}", "--trials", "3", "--method", "dare+ties"),
    "demo": ("demo", "--method", "ta", "-o", "demo-out"),
    "doctor": ("doctor",),
    "merge --methods": ("merge", "--methods"),
    "wrong": ("merge", *INPUTS, "-o", "again", "--method", "tvs"),
}
RUNS |= {command: (command, "--help") for command in {*COMMANDS} - {words[0] for words in RUNS.values()}}
RUNS |= {f"{command} --help": (command, "--help") for command in COMMANDS}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two adapters with names as those of real models, and an implementation that answers nothing but zeros."""
    place = tmp_path_factory.mktemp("widths")
    for seed, folder in enumerate(INPUTS):
        rng = np.random.default_rng(seed)
        tensors = {}
        for k, name in enumerate(MODULES):
            tensors[f"base_model.model.{name}.lora_A.weight"] = rng.standard_normal((4, 8 + k % 4)).astype(np.float32)
            tensors[f"base_model.model.{name}.lora_B.weight"] = rng.standard_normal((6, 4)).astype(np.float32)
        (place / folder).mkdir()
        save_file(tensors, place / folder / "adapter_model.safetensors")
        base = "an-organization/a-model-with-a-long-name-8B-Instruct"
        config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "base_model_name_or_path": base}
        (place / folder / "adapter_config.json").write_text(json.dumps(config))
    (place / "answer.py").write_text(
        "import numpy as np\n\ndef merge(case):\n"
        "    B, A, _ = case.updates[0]\n    return np.zeros((B.shape[-2], A.shape[-1]))\n"
    )
    return place


def said(place: Path, columns: int | None) -> dict[str, str]:
    """What each command says on a terminal of so many columns, or in a pipe."""
    words = list(RUNS.values())
    for made in ("out", "small", "mlx", "cases", "demo-out"):
        subprocess.run(["rm", "-rf", made], cwd=place, check=True)
    start = [sys.executable, "-c", CODE.format(runs=words)]
    env = {**os.environ, "TERM": "xterm", "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "utf-8"}
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        env.pop(name, None)
    if columns is None:
        done = subprocess.run(start, cwd=place, env=env, capture_output=True, text=True, check=True)
        text = done.stdout
    else:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        with subprocess.Popen(start, cwd=place, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as child:
            os.close(theirs)
            chunks = []
            while True:
                try:
                    chunk = os.read(ours, 65536)
                except OSError:
                    break
                if not chunk:
                    break
                chunks.append(chunk)
        assert child.returncode == 0
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", b"".join(chunks).decode()).replace("\r\n", "\n")
        text = "\n".join(line.rpartition("\r")[2] for line in text.split("\n"))
    parts = re.split(r"^===== .*\n", text, flags=re.MULTILINE)[1:]
    assert len(parts) == len(RUNS), text
    return dict(zip(RUNS, parts, strict=True))


@pytest.fixture(scope="module", params=[pytest.param(n, id=i, marks=pytest.mark.slow) for i, n in WIDTHS.items()])
def spoken(request: pytest.FixtureRequest, place: Path) -> tuple[int | None, dict[str, str]]:
    return request.param, said(place, request.param)


def test_every_command_runs(spoken: tuple[int | None, dict[str, str]]) -> None:
    assert all(text.strip() for name, text in spoken[1].items() if spoken[0] is not None or name != "wrong")
    assert not any("Traceback" in text for text in spoken[1].values())


def test_lines_fit_and_end_without_spaces(spoken: tuple[int | None, dict[str, str]]) -> None:
    columns, texts = spoken
    for name, text in texts.items():
        for line in text.split("\n"):
            if columns is None:
                assert line == line.rstrip(), (name, line)
            elif not line.strip().startswith("coremerge "):  # what is to be pasted
                words = max(map(len, line.split()), default=0)
                assert len(line) <= max(columns, words + 12), (name, line)


def whole(name: str, text: str) -> bool:
    """Whether the name is there, in one line or in several of its column, the first."""
    return name in "".join(line.split("  ")[0].strip() for line in text.split("\n"))


def test_names_of_layers_are_whole_or_told_apart(spoken: tuple[int | None, dict[str, str]]) -> None:
    texts = spoken[1]
    rows = [line for line in texts["inspect"].split("\n") if line[:5] == "model"]
    half = len(rows) // 2
    assert len({row.split("  ")[0] for row in rows[:half]}) == half
    for name in ("inspect --all", "resize"):
        text = texts[name]
        assert all(whole(module, text) for module in MODULES), name
        first = [line.split("  ")[0].strip() for line in text.split("\n") if line.startswith("model.")]
        assert len(first) == len(set(first)) == len(MODULES), (name, first)
    for projection in NAMES:
        assert whole(projection, texts["inspect"])
        assert whole(projection, texts["explain --all"])


def test_parameters_that_compare_found_are_whole(spoken: tuple[int | None, dict[str, str]]) -> None:
    text = spoken[1]["compare"]
    lines = text.split("\n")
    assert lines[lines.index("to make it again:") + 1].startswith("  coremerge merge first-adapter second-adapter -o ")
    for word in ("ties.density=0.5", "ties.elect=count"):
        assert word in text.partition("to make it again")[0]
        assert f"--set {word}" in text.partition("to make it again")[2]


def test_settings_that_search_tried_are_whole(spoken: tuple[int | None, dict[str, str]]) -> None:
    pytest.importorskip("optuna")
    table, _, closing = spoken[1]["search"].partition("trial  score")[2].partition("best of 3 trials")
    rows = [line for line in table.split("\n") if line[:1].isdigit()]
    assert len(rows) == 3
    settings = table.split()
    for name in ("dare.drop=", "ties.density="):
        assert sum(bool(re.fullmatch(rf"{name}[\d.e-]+", word)) for word in settings) == 3, table
    assert all(f"{name} alone" in table for name in INPUTS)
    assert "no merge tried scores higher than" in " ".join(closing.split())


def test_words_are_not_broken(spoken: tuple[int | None, dict[str, str]]) -> None:
    text = spoken[1]["wrong"] + spoken[1]["compare"] + spoken[1]["conformance"]
    known = {"breadcrumbs,", "karcher,", "stages", "expected", "gives", "farther"}
    words = set(text.split())
    assert known - words <= ({"breadcrumbs,", "karcher,", "stages", "expected"} if spoken[0] is None else set())


def test_cases_of_the_kit_are_whole(spoken: tuple[int | None, dict[str, str]]) -> None:
    cases = spoken[1]["conformance --list"].split()
    assert cases
    assert all(case in spoken[1]["conformance"] for case in cases)


COLUMNS = [Column("name", fits=MIDDLE), Column("n", right=True), Column("kind", drop=1), Column("what", fits=WORDS)]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200, None])
@pytest.mark.parametrize("count", [1, 2, 12])
def test_a_table_keeps_what_identifies(width: int | None, count: int) -> None:
    names = [f"model.layers.{i}.self_attention.{'q' if i % 2 else 'k'}_projection.of.{i}" for i in range(count)]
    rows = [(name, str(10**i), "linear", f"words that say {i} and go on for long") for i, name in enumerate(names)]
    text = table(COLUMNS, rows, width)
    assert all(line == line.rstrip() for line in text.split("\n"))
    assert all(str(10**i) in text for i in range(count))
    if width is None or width >= 80:
        assert max(map(len, text.split("\n"))) <= (width or 10**4)
        assert all(f"say {i}" in " ".join(text.split()) for i in range(count))
    if width is None:
        assert all(name in text for name in names)
        assert "linear" in text


def test_columns_are_dropped_before_names_are_shortened_to_the_same() -> None:
    names = [f"{'a' * 40}{i}{'z' * 40}" for i in range(3)]
    text = table([Column("name", fits=MIDDLE), Column("kind", drop=1)], [(name, "k" * 9) for name in names], 40)
    cells = text.split("\n")[1:]
    assert all(name in "".join(cells) for name in names)


def test_wide_characters_are_counted_as_terminals_do(run: Callable[..., Any]) -> None:
    text = table([Column("name"), Column("n", right=True)], [("層", "1"), ("ab", "2")])
    assert text.split("\n")[1:] == ["層    1", "ab    2"]
