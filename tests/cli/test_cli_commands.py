"""What holds for the command line as a whole, and inspect and demo."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coremerge_ref.cli import COMMANDS
from coremerge_ref.core.spaces import SPACES
from coremerge_ref.methods import STAGES

Run = Callable[..., Any]


@pytest.mark.parametrize("words", [[], *[[command] for command in COMMANDS]])
def test_help_teaches_with_examples(words: list[str], run: Run) -> None:
    result = run(*words, "--help")
    assert result.exit_code == 0
    assert "coremerge" in result.stdout.replace("Usage: coremerge", "")


def test_methods_lists_every_stage_and_parameter(run: Run) -> None:
    listed = run("merge", "--methods").stdout
    for name, owner in {**STAGES, **SPACES}.items():
        assert f"{name} (" in listed
        for field in dataclasses.fields(owner):
            assert f"--set {name}.{field.name}=" in listed


def test_as_a_module_and_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "coremerge_ref", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("coremerge ")


def test_nothing_heavy_is_imported_to_merge_with_numpy(adapters: list[str]) -> None:
    script = (
        "import sys; sys.argv = ['coremerge', 'merge', 'a', 'b', '-o', 'out']\n"
        "from coremerge_ref.cli import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code\n"
        "print(sorted({'torch', 'jax', 'cupy', 'peft', 'transformers', 'scipy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_of_a_command_loads_no_other_command_and_nothing_that_reads_adapters() -> None:
    script = (
        "import sys; sys.argv = ['coremerge', 'merge', '--help']\n"
        "from coremerge_ref.cli import COMMANDS, main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code\n"
        "print([name for name in COMMANDS if f'coremerge_ref.cli.{name}' in sys.modules])\n"
        "print([name for name in sys.modules if name.startswith('coremerge_ref.adapters')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["['merge']", "[]"]


def test_unknown_options_and_commands_exit_with_2(run: Run) -> None:
    assert run("merge", "--metod", "tsv").exit_code == 2
    assert run("mrege").exit_code == 2


def test_inspect_shows_modules_that_are_alike_once(run: Run, adapters: list[str]) -> None:
    result = run("inspect", "a")
    assert result.exit_code == 0
    assert "LORA" in result.stdout
    line = next(line for line in result.stdout.splitlines() if line.startswith("layers.*.q"))
    assert line.split() == ["layers.*.q", "2", "linear", "6", "×", "5", "2", "2", "float32", "176", "B"]
    assert "layers.1.q" in run("inspect", "a", "--all").stdout


def test_inspect_json(run: Run, adapters: list[str]) -> None:
    result = run("inspect", "a", "b", "--json")
    shown = json.loads(result.stdout)["adapters"]
    assert [one["path"] for one in shown] == ["a", "b"]
    first = shown[0]["modules"][0]
    assert first.keys() == {"path", "kind", "shape", "kernel", "rank", "scaling", "dtype"}
    assert (first["kind"], first["kernel"], first["rank"], first["scaling"]) == ("linear", [], 2, 2.0)
    assert {tuple(m["shape"]) for m in shown[0]["modules"]} == {(6, 5), (3, 6)}


def test_inspect_refuses_by_name(refused: Callable[..., str], adapters: list[str]) -> None:
    Path("a/adapter_config.json").write_text(json.dumps({"peft_type": "IA3"}))
    assert "IA3" in refused("inspect", "a", "b")
    assert "IA3" in refused("inspect", "a", "--json")


def test_names_that_look_like_markup_are_shown_as_they_are(run: Run, adapters: list[str]) -> None:
    config = json.loads(Path("a/adapter_config.json").read_text())
    Path("a/adapter_config.json").write_text(
        json.dumps({**config, "base_model_name_or_path": "[red]model[/red]\x1b[2J"})
    )
    shown = run("inspect", "a").stdout
    assert "[red]model[/red]" in shown
    assert "\x1b" not in shown


def test_demo_calls_the_demo(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import coremerge_ref.demo.run  # noqa: F401

    seen = []

    def fake(output: Path, console: Any, force: bool, methods: object, plot: bool) -> dict[str, Any]:
        seen.append((output, console is None, force, plot))
        return {"accuracy": 1}

    monkeypatch.setattr(sys.modules["coremerge_ref.demo.run"], "run", fake)
    assert json.loads(run("demo", "-o", "x", "--force", "--plot", "--json").stdout) == {"accuracy": 1}
    assert seen == [(Path("x"), True, True, True)]


@pytest.mark.parametrize("words", [[], *[[command] for command in COMMANDS]])
def test_h_is_help(words: list[str], run: Run) -> None:
    assert run(*words, "-h").stdout == run(*words, "--help").stdout


def test_m_is_method_wherever_there_is_one(run: Run) -> None:
    for command in COMMANDS:
        text = run(command, "--help").stdout
        if "--method " in text:
            assert re.search(r"-m, --method ", text), command


def test_completion_is_there_for_the_shells_people_have(run: Run) -> None:
    assert "--install-completion" in run("--help").stdout
    environment = {
        **os.environ,
        "_COREMERGE_COMPLETE": "complete_bash",
        "COMP_WORDS": "coremerge me",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "coremerge_ref"], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == ["merge"]


def test_methods_is_json_with_json(run: Run) -> None:
    listed = {one["name"]: one for one in json.loads(run("merge", "--methods", "--json").stdout)["methods"]}
    owners = {**STAGES, **SPACES}
    assert listed.keys() == owners.keys()
    for name, owner in owners.items():
        defaults = {field.name: field.default for field in dataclasses.fields(owner)}
        assert {key: one["default"] for key, one in listed[name]["parameters"].items()} == defaults
        assert listed[name]["kind"] == getattr(owner, "kind", "space")


def test_every_command_that_reports_has_json(run: Run) -> None:
    assert [name for name in COMMANDS if "--json" not in run(name, "--help").stdout] == []
