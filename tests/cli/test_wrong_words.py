"""Whatever is written wrongly is answered in one line: what was expected, what came, and what to write instead."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coremerge_ref.cli import COMMANDS
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.methods import STAGES
from coremerge_ref.methods.dialects import preset

Refused = Callable[..., str]
MERGE = ("merge", "a", "b", "-o", "out")
RAW = ("[Errno", "Value error", "Input should be", "None", "Traceback", "<class", "NoneType", "pydantic", "Usage:")

WRONG: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    ((*MERGE, "--method", "tvs"), ("'tvs'", "did you mean 'tsv'?")),
    ((*MERGE, "--method", "TIES"), ("did you mean 'ties'?",)),
    ((*MERGE, "--method", ""), ("''",)),
    ((*MERGE, "--space", "cor"), ("did you mean 'core'?",)),
    ((*MERGE, "--set", "tvs.k=3"), ("did you mean 'tsv'?",)),
    ((*MERGE, "--method", "ties", "--set", "ties.densty=1"), ("did you mean 'density'?",)),
    ((*MERGE, "--method", "ties", "--set", "tsv.k=4"), ("tsv.k", "'ties'", "--method tsv")),
    (("explain", "a", "b", "--method", "ties", "--set", "tsv.k=4"), ("tsv.k", "'ties'", "--method tsv")),
    ((*MERGE, "--set", "tsv.k=many"), ("tsv.k", "an integer or none", "'many'")),
    ((*MERGE, "--set", "knots.scaled=maybe", "--space", "knots"), ("true or false", "'maybe'")),
    ((*MERGE, "--alpha", "2"), ("--alpha", "--scale")),
    ((*MERGE, "--weight", "1,2"), ("--weights",)),
    ((*MERGE, "--metod", "tsv"), ("did you mean '--method'?",)),
    ((*MERGE, "--weights", "0.5", "0.5"), ("--weights 0.5,0.5",)),
    (("compare", "a", "b", "--weights", "0.5", "0.5"), ("--weights 0.5,0.5",)),
    (("explain", "a", "b", "--weights", "0.5", "0.5"), ("--weights 0.5,0.5",)),
    (("explain", "a", "b", "--weights", "0.5,x"), ("weights", "'x'")),
    ((*MERGE, "--rank", "x"), ("--rank", "an integer", "'x'")),
    ((*MERGE, "--scale", "x"), ("--scale", "a number", "'x'")),
    ((*MERGE, "--dry-run=3"), ("--dry-run",)),
    (("merge", "-o"), ("-o", "coremerge merge --help")),
    ((*MERGE, "--config", "gone.yaml"), ("gone.yaml", "No such file", "check the path")),
    ((*MERGE, "--config", "gone.json"), ("gone.json",)),
    ((*MERGE, "--config", "a"), ("'a'",)),
    ((*MERGE, "--base", "gone"), ("gone",)),
    (("merg", "a"), ("'merg'", "did you mean 'merge'?", "coremerge --help")),
    (("inspect",), ("ADAPTERS", "got nothing", "coremerge inspect --help")),
    (("inspect", "gone"), ("gone",)),
    (("convert", "a"), ("OUTPUT", "coremerge convert --help")),
    (("convert", "a", "out", "more", "--to", "peft"), ("more",)),
    (("convert", "a", "out"), ("--to",)),
    (("convert", "a", "out", "--to", "safetensors"), ("kohya", "'safetensors'")),
    (("vectors", "chek", "cases"), ("'chek'", "export")),
    (("vectors", "check", "gone", "outputs.safetensors"), ("gone", "check the path")),
    (("vectors", "check", "a", "outputs.safetensors"), ("manifest.json",)),
    (("vectors", "export", "a/adapter_config.json"), ("adapter_config.json",)),
    (("vectors", "export", "cases", "--precision", "float8"), ("float8", "float32")),
    (("conformance", "gone.py:merge"), ("gone.py",)),
    (("conformance", "gone_module:merge"), ("gone_module",)),
    (("conformance", "merge"), ("'merge'",)),
    (("conformance", "a.b:c", "--generated", "-1"), ("--generated", "0")),
    (("conformance", "a.b:c", "--timeout", "soon"), ("--timeout", "a number", "'soon'")),
    (("conformance", "--explain", "scaling"), ("scaling",)),
    (("resize", "a", "out", "--rank", "x"), ("--rank", "'x'")),
    (("resize", "gone", "-o", "out", "--rank", "2"), ("gone",)),
    (("verify", "gone"), ("gone",)),
    (("verify", "a"), ("coremerge.json",)),
    (("compare", "a"), ("at least one input",)),
    (("demo", "--method", "tvs", "-o", "out"), ("did you mean 'tsv'?",)),
]


@pytest.mark.parametrize(("words", "expected"), WRONG, ids=[" ".join(words) or "nothing" for words, _ in WRONG])
def test_one_line_that_says_what_to_write(
    words: tuple[str, ...], expected: tuple[str, ...], refused: Refused, adapters: list[str]
) -> None:
    line = refused(*words)
    assert all(word in line for word in expected), line
    assert not [raw for raw in RAW if raw in line], line


@pytest.mark.parametrize("command", COMMANDS)
def test_an_option_that_no_command_has(command: str, refused: Refused, adapters: list[str]) -> None:
    line = refused(command, "--no-such-option")
    assert line.startswith(f"coremerge: error: {command}: ")
    assert "--no-such-option" in line
    assert f"see coremerge {command} --help" in line


ELSEWHERE = sorted(
    {
        (theirs, dialect, pipeline)
        for stage in STAGES.values()
        for dialect, names in stage.called.items()
        for theirs, pipeline in names.items()
    }
)


@pytest.mark.parametrize(("theirs", "dialect", "pipeline"), ELSEWHERE)
def test_names_of_other_projects_come_with_the_words_that_compute_the_same(
    theirs: str, dialect: str, pipeline: str, refused: Refused, run: Callable[..., Any], adapters: list[str]
) -> None:
    line = refused(*MERGE, "--method", theirs)
    assert f"--method {pipeline}" in line
    settings = line.partition(f"to compute as {dialect}: ")[2].partition(";")[0].split()
    words = [word for word in settings if word != "--set"]
    text = dict(word.split("=") for word in words)
    result = run(*MERGE, "--method", pipeline, *settings, "--rank", "2", "--dry-run")
    assert result.exit_code == 0, result.output
    there, here = preset(pipeline, dialect).parameters, Pipeline.parse(pipeline).parameters
    assert text == {
        f"{stage}.{name}": str(value)
        for stage, values in there.items()
        for name, value in values.items()
        if value != here[stage][name]
    }


@pytest.mark.parametrize("parameter", ["density", "k", "drop"])
def test_parameters_of_methods_as_options(parameter: str, refused: Refused, adapters: list[str]) -> None:
    line = refused(*MERGE, f"--{parameter}", "1")
    owners = [n for n, cls in STAGES.items() if parameter in (f.name for f in dataclasses.fields(cls))]
    assert owners
    assert all(f"--set {owner}.{parameter}=" in line for owner in owners)
    one = refused(*MERGE, "--method", owners[0], f"--{parameter}=1")
    assert f"--set {owners[0]}.{parameter}=" in one
    assert not any(f"--set {owner}." in one for owner in owners[1:])


def test_what_compare_prints_is_taken(run: Callable[..., Any], adapters: list[str]) -> None:
    assert run(*MERGE, "--set", "tsv.k=relative").exit_code == 0
    assert '"k": null' in Path("out/coremerge.json").read_text()


@pytest.mark.parametrize("text", ["1,2", "1, 2", "1 2", " 1 ,2"])
def test_weights_with_commas_or_spaces(text: str, run: Callable[..., Any], adapters: list[str]) -> None:
    assert run(*MERGE, "--weights", text).exit_code == 0


def test_h_is_help(run: Callable[..., Any]) -> None:
    for words in ((), *((command,) for command in COMMANDS)):
        assert run(*words, "-h").stdout == run(*words, "--help").stdout
