"""Adapters of classifiers, whose heads PEFT saves beside the update: every command that only looks looks at them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from coremerge_ref.adapters import load
from coremerge_ref.errors import AdapterError, ParameterError

Run = Callable[..., Any]
HEAD = ("classifier.bias", "classifier.weight")


@pytest.fixture
def classifiers(adapters: list[str]) -> list[str]:
    """The adapters, each with a head, as PEFT saves them for task_type SEQ_CLS."""
    for seed, name in enumerate(adapters):
        file, rng = Path(name) / "adapter_model.safetensors", np.random.default_rng(seed)
        head = {
            f"base_model.model.{HEAD[0]}": rng.normal(size=3),
            f"base_model.model.{HEAD[1]}": rng.normal(size=(3, 6)),
        }
        save_file(load_file(file) | {key: value.astype(np.float32) for key, value in head.items()}, file)
        config = json.loads((Path(name) / "adapter_config.json").read_text())
        config |= {"task_type": "SEQ_CLS", "modules_to_save": ["classifier", "score"]}
        (Path(name) / "adapter_config.json").write_text(json.dumps(config))
    return adapters[:2]


@pytest.mark.parametrize(
    "words", [("inspect",), ("inspect", "--measure"), ("explain",), ("explain", "--method", "ties")]
)
def test_heads_are_told_where_adapters_are_looked_at(words: tuple[str, ...], run: Run, classifiers: list[str]) -> None:
    command, *options = words
    result = run(command, *classifiers, *options)
    assert result.exit_code == 0, result.output
    notes = [line for line in result.stderr.splitlines() if "beside the update" in line]
    assert len(notes) == 2
    for line, name in zip(notes, classifiers, strict=True):
        assert all(text in line for text in (f"note: {name}: ", *HEAD, "--others"))


@pytest.mark.parametrize("others", ["mean", "first", "drop"])
def test_their_merges_are_recognized_and_verified(others: str, run: Run, classifiers: list[str]) -> None:
    assert run("merge", *classifiers, "-o", "out", "--method", "ta", "--others", others).exit_code == 0
    assert run("verify", "out").exit_code == 0
    found = run("compare", *classifiers, "out", "--method", "ta")
    assert found.exit_code == 0, found.output
    (command,) = (line.split() for line in found.stdout.splitlines() if line.startswith("  coremerge merge"))
    again = run(*command[1:])
    assert again.exit_code == 0, again.output


def test_the_refusal_says_which_choice_is_for_what(classifiers: list[str], refused: Callable[..., str]) -> None:
    line = refused("merge", *classifiers, "-o", "out")
    for text in (
        "classifier",
        "--others",
        "mean averages",
        "first keeps",
        "drop leaves",
        "same labels",
        "other labels",
    ):
        assert text in line


@pytest.mark.parametrize("to", ["peft", "mlx"])
def test_without_its_head_an_adapter_is_converted_and_its_update_is_the_same(
    to: str, run: Run, classifiers: list[str]
) -> None:
    result = run("convert", classifiers[0], "out", "--to", to, "--others", "drop")
    assert result.exit_code == 0, result.output
    assert all(text in result.stderr for text in ("left out", *HEAD, "task_type SEQ_CLS"))
    config = json.loads(Path("out/adapter_config.json").read_text())
    assert config.get("task_type") is None
    assert not config.get("modules_to_save")
    before, after = load(classifiers[0], others="drop"), load("out")
    assert before
    assert after.keys() == {name if to == "peft" else name.removeprefix("base_model.model.") for name in before}
    for (B, A), update in zip([(u.B, u.A) for u in before.values()], after.values(), strict=True):
        assert np.array_equal(B, update.B)
        assert np.array_equal(A, update.A)


def test_what_an_adapter_has_beside_its_update_is_not_left_out_unasked(
    classifiers: list[str], refused: Callable[..., str]
) -> None:
    line = refused("convert", classifiers[0], "out", "--to", "mlx")
    assert all(text in line for text in ("classifier", "--others"))
    with pytest.raises(AdapterError, match="modules_to_save"):
        load(classifiers[0])
    with pytest.raises(ParameterError, match=r"others: expected refuse or drop, got 'mean'"):
        load(classifiers[0], others="mean")
