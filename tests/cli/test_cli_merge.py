"""coremerge merge: options, YAML, precedence, output, refusals."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from backends import EPS
from safetensors.numpy import load_file

from coremerge_ref.adapters import load
from coremerge_ref.testing import THRESHOLD, ratio

Run = Callable[..., Any]
Refused = Callable[..., str]


def record(folder: str = "out") -> dict[str, Any]:
    return json.loads((Path(folder) / "coremerge.json").read_text())


def test_merges_and_says_so(run: Run, adapters: list[str]) -> None:
    result = run("merge", *adapters, "-o", "out")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("merged 3 adapters, 3 layers, tsv in core space into out: ")
    assert result.stdout.count("\n") == 4  # what was done, how to load it, what to do about α with a command to paste
    assert result.stderr == ""
    assert sorted(os.listdir("out")) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "coremerge.json",
    ]


def test_every_option_reaches_the_merge(run: Run, adapters: list[str]) -> None:
    result = run(
        *("merge", *adapters, "--output", "out", "--method", "dare+ties+iso", "--space", "core", "--basis", "tucker"),
        *("--set", "dare.seed=7", "--set", "dare.drop=1e-1", "--set", "ties.density=0.5", "--set", "ties.elect=count"),
        *("--weights", "-1,0.5,2", "--scale", "0.25", "--rank", "3", "--dtype", "bfloat16"),
        *("--backend", "torch", "--device", "cpu"),
    )
    assert result.exit_code == 0, result.output
    made = record()
    assert made["method"] == "dare+ties+iso"
    assert made["space"] == {"name": "core", "basis": "tucker"}
    assert made["parameters"]["dare"] == {"drop": 0.1, "seed": 7, "masks": None, "rescale": "inverse"}
    assert (made["parameters"]["ties"]["density"], made["parameters"]["ties"]["elect"]) == (0.5, "count")
    assert (made["weights"], made["scale"], made["rank"], made["dtype"]) == ([-1, 0.5, 2], 0.25, 3, "bfloat16")
    assert (made["backend"], made["device"]) == ("torch", "cpu")
    shapes = {t.shape for t in load_file("out/adapter_model.safetensors").values()}
    assert shapes == {(3, 5), (6, 3), (3, 6), (3, 3)}


@pytest.mark.parametrize("device", [None, "cuda", "cuda:1"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_cupy_merges_on_the_device_that_is_asked_for(
    run: Run, adapters: list[str], device: str | None, dtype: str
) -> None:
    """Neither device of the double reaches the other, so all arrays were on one."""
    options = ("--method", "dare+ties+iso", "--dtype", dtype)
    assert run("merge", *adapters, "--output", "numpy", *options).exit_code == 0
    result = run(
        *("merge", *adapters, "--output", "out", *options, "--backend", "cupy"),
        *(() if device is None else ("--device", device)),
    )
    assert result.exit_code == 0, result.output
    merged, right = ({path: u.to_dense() for path, u in load(name).items()} for name in ("out", "numpy"))
    unit = {"float32": EPS["float32"], "bfloat16": EPS["bfloat16"]}[dtype]
    for path, want in right.items():
        size = float(np.linalg.norm(want.astype(np.float64)))
        assert ratio(merged[path].astype(np.float64), want.astype(np.float64), size, unit, 10) <= THRESHOLD


@pytest.mark.parametrize("device", ["cuda:9", "cpu", "cuda:x", "1"])
def test_cupy_has_no_such_device(run: Run, adapters: list[str], device: str) -> None:
    result = run("merge", *adapters, "--output", "out", "--backend", "cupy", "--device", device)
    assert result.exit_code == 2
    assert "device" in result.stderr
    assert device in result.stderr


def test_yaml_has_the_same_names_and_options_win(run: Run, adapters: list[str]) -> None:
    settings = {
        "adapters": adapters, "output": "out", "method": "ties", "weights": [1, 2, 3], "scale": 3,
        "set": {"ties": {"density": 0.5, "keep": "exact"}, "knots": {"transposed": True}}, "space": "knots",
    }  # fmt: skip
    Path("merge.yaml").write_text(yaml.safe_dump(settings))
    assert run("merge", "--config", "merge.yaml").exit_code == 0
    made = record()
    assert made["space"] == {"name": "knots", "transposed": True, "scaled": True}
    assert (made["scale"], made["parameters"]["ties"]["density"]) == (3, 0.5)
    result = run("merge", "--config", "merge.yaml", "-o", "two", "--scale", "0.5", "--set", "ties.density=0.25")
    assert result.exit_code == 0, result.output
    made = record("two")
    assert made["scale"] == 0.5
    assert (made["parameters"]["ties"]["density"], made["parameters"]["ties"]["keep"]) == (0.25, "exact")


def test_json_is_one_object_and_nothing_else(run: Run, adapters: list[str]) -> None:
    result = run("merge", *adapters, "-o", "out", "--json")
    report = json.loads(result.stdout)
    assert (report["adapters"], report["layers"], report["method"], report["written"]) == (3, 3, "tsv", True)
    assert result.stderr == ""


def test_a_dry_run_checks_and_writes_nothing(run: Run, adapters: list[str], refused: Refused, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = run("merge", *adapters, "-o", "out", "--dry-run")
    assert (result.exit_code, sorted(tmp_path.rglob("*"))) == (0, before)
    assert "nothing was written" in result.stdout
    assert "nothing is there" in refused("merge", *adapters, "gone", "-o", "out", "--dry-run")


def test_dense(run: Run, adapters: list[str]) -> None:
    assert run("merge", *adapters, "-o", "out", "--method", "ta", "--space", "full", "--dense").exit_code == 0
    dense = load_file("out/delta_weights.safetensors")
    want = np.zeros((3, 6))
    for adapter in adapters:
        tensors = load_file(f"{adapter}/adapter_model.safetensors")
        A, B = (tensors[f"base_model.model.head.lora_{x}.weight"].astype(float) for x in "AB")
        want += 2 * B @ A
    assert np.linalg.norm(dense["head.weight"] - want) <= 4 * 2.0**-23 * np.linalg.norm(want)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--method", "nope"], ["'nope'", "tsv", "ties"]),
        (["--method", "ties+tsv"], ["one merge"]),
        (["--method", "ties", "--space", "full"], ["--rank", "--dense"]),
        (["--space", "moon"], ["'moon'", "knots"]),
        (["--basis", "moon"], ["'moon'", "tucker"]),
        (["--space", "full", "--rank", "2", "--basis", "tucker"], ["--space"]),
        (["--set", "tsv.k"], ["stage.parameter=value"]),
        (["--set", "k=3"], ["stage.parameter=value"]),
        (["--set", "tsv.q=3"], ["tsv.q", "k"]),
        (["--set", "tvs.k=3"], ["tvs", "tsv"]),
        (["--set", "tsv.k=many"], ["tsv.k", "int"]),
        (["--set", "tsv.k=1.5"], ["tsv.k"]),
        (["--set", "tsv.k=true"], ["tsv.k"]),
        (["--set", "tsv.k=0"], ["tsv.k", "at least 1"]),
        (["--set", "ties.density=0.5"], ["ties", "method"]),
        (["--method", "ties", "--set", "ties.density=2"], ["density", "at most 1"]),
        (["--method", "ties", "--set", "ties.elect=loudest"], ["elect", "mass"]),
        (["--method", "dare", "--set", "dare.masks=[1]"], ["masks", "Python"]),
        (["--set", "knots.scaled=false"], ["knots", "--space"]),
        (["--weights", "1,2"], ["weights", "3"]),
        (["--weights", "1,x,2"], ["weights", "'x'"]),
        (["--weights", "1,nan,2"], ["weights", "finite"]),
        (["--scale", "inf"], ["scale", "finite"]),
        (["--rank", "0"], ["rank", "at least 1"]),
        (["--dtype", "int8"], ["int8", "bfloat16"]),
        (["--backend", "mlx"], ["mlx", "numpy"]),
        (["--device", "cuda:0"], ["cuda:0"]),
        (["--config", "gone.yaml"], ["gone.yaml"]),
        (["--base", "gone"], ["gone"]),
    ],
)
def test_refusals_of_arguments(words: list[str], expected: list[str], refused: Refused, adapters: list[str]) -> None:
    line = refused("merge", *adapters, "-o", "out", *words)
    assert all(word in line for word in expected), line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metod: tsv", ["metod", "method"]),
        ("scale: [1]", ["scale", "number"]),
        ("rank: 1.5", ["rank"]),
        ("- tsv", ["mapping", "list"]),
        ("method: {", ["YAML"]),
        ("set: {tsv: 3}", ["set.tsv"]),
        ("set: {tsv: {k: [1]}}", ["tsv.k"]),
        ("", ["mapping"]),
        ("\x00", ["YAML"]),
        ("1: 2", ["mapping"]),
        ("[" * 5000, ["YAML"]),
    ],
)
def test_refusals_of_files(text: str, expected: list[str], refused: Refused, adapters: list[str]) -> None:
    Path("merge.yaml").write_text(text)
    line = refused("merge", *adapters, "-o", "out", "--config", "merge.yaml")
    assert all(word in line for word in [*expected, "" if "tsv.k" in expected else "merge.yaml"]), line


def test_refusals_of_folders(refused: Refused, run: Run, adapters: list[str]) -> None:
    assert "nothing is there" in refused("merge", "gone", "-o", "out")
    assert "at least one" in refused("merge", "-o", "out")
    assert "-o" in refused("merge", *adapters)
    assert run("merge", *adapters, "-o", "out").exit_code == 0
    assert "--force" in refused("merge", *adapters, "-o", "out")
    assert run("merge", *adapters, "-o", "out", "--force").exit_code == 0
    Path("a/adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "use_dora": True}))
    assert "use_dora" in refused("merge", *adapters, "-o", "new")


def test_names_from_files_cannot_draw_on_the_terminal(refused: Refused, adapters: list[str]) -> None:
    Path("a/adapter_config.json").write_text(json.dumps({"peft_type": "\x1b[2J\nfake: all is well"}))
    assert "\x1b" not in refused("merge", *adapters, "-o", "out")


def test_ctrl_c_is_quiet_and_leaves_nothing(adapters: list[str], tmp_path: Path) -> None:
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job ignores it
        "import coremerge_ref.core.models as models, time\n"
        "def slow(*a, **k):\n    print('merging', flush=True)\n    time.sleep(60)\n"
        "models.merge_groups = slow\n"
        "import sys; sys.argv = ['coremerge', 'merge', 'a', 'b', '-o', 'out']\n"
        "from coremerge_ref.cli import main; main()"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as child:
        assert child.stdout
        child.stdout.readline()
        time.sleep(1.0)  # until the main thread waits for the batch
        child.send_signal(signal.SIGINT)
        try:
            _, errors = child.communicate(timeout=30)
        finally:
            child.kill()
    assert (child.returncode, errors) == (130, "coremerge: interrupted\n")
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c"]


def test_the_closing_lines_say_what_to_do_next(run: Run, adapters: list[str]) -> None:
    done, load, alpha, sweep = run("merge", "a", "b", "-o", "my merge", "--scale", "0.5").stdout.splitlines()
    assert done.startswith("merged 2 adapters, 3 layers, tsv in core space into my merge: ")
    assert load == 'load it: PeftModel.from_pretrained(model, "my merge")'
    assert alpha.startswith("α is 0.5; ")
    command = shlex.split(sweep)
    assert command[:3] == ["coremerge", "sweep", "my merge"]
    score = f"{sys.executable} -c 'print(1)' {{adapter}}"
    swept = run(*[score if word == "COMMAND {adapter}" else word for word in command[1:]])
    assert swept.exit_code == 0, swept.stderr
    found = json.loads(run("merge", "a", "b", "-o", "out", "--json").stdout)
    assert (found["scale"], found["load"]) == (1.0, 'PeftModel.from_pretrained(model, "out")')


def test_what_no_library_loads_is_no_such_promise(run: Run, adapters: list[str]) -> None:
    assert run("merge", "a", "b", "-o", "out", "--dense").stdout.count("\n") == 1


def test_what_help_quotes_of_the_study_is_what_its_tables_say(run: Run) -> None:
    page = (Path(__file__).parents[2] / "docs" / "accuracy.md").read_text(encoding="utf-8")
    sixteen, vera = (page.partition(heading)[2] for heading in ("### LoRA of rank 16", "### VeRA"))
    told = " ".join(run("merge", "--help").stdout.split())

    def core(table: str, method: str) -> str:
        rows = [line for line in table.splitlines() if line.startswith(f"| `{method}`")]
        row = next(line for line in rows if "relative" not in line)
        return row.split("|")[5].split("±")[0].strip()

    for method, words in (("tsv", "{} % of the"), ("tsv+iso", "{} % with tsv+iso"), ("ta", "{} % with ta")):
        assert words.format(core(sixteen, method)) in told
    vera_figures = [core(vera, method) for method in ("tsv", "tsv+iso", "ta")]
    assert "with VeRA adapters {} %, {} % and {} %".format(*vera_figures) in told
