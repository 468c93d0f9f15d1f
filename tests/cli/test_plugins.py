"""Methods of installed packages: found by the command line by their entry point, nothing imported by hand."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import coremerge_ref as cm
from coremerge_ref.cli import methods
from coremerge_ref.core.stages import STAGES

Run = Callable[..., Any]

SOFT_VOTE = '''
from dataclasses import dataclass
from typing import ClassVar

import coremerge_ref as cm
from coremerge_ref.methods.base import MERGE, SIGNED_PERMUTATION, Search


@dataclass(frozen=True)
class SoftVote(cm.Stage):
    """Σ_t M_t, weighted entry by entry with |M_t|^power."""

    power: float = 1.0
    name: ClassVar[str] = "soft_vote"
    kind: ClassVar[str] = MERGE
    commutes_with: ClassVar[str] = SIGNED_PERMUTATION
    source = "a package of the tests"
    searches = (Search("soft_vote", {"soft_vote": {"power": (1.0, 2.0)}}),)

    def apply(self, item):
        stack = item.weighted()
        weight = abs(stack.M) ** self.power
        total = weight.sum(axis=0)
        return stack.merged((weight * stack.M).sum(axis=0) / (total + (total == 0)))
'''


def install(folder: Path, name: str, source: str, points: str) -> None:
    """What pip leaves behind: a module and its metadata."""
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[coremerge_ref.methods]\n{points}\n", encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, and the table of stages, the modules and what was told as they were, afterwards."""
    folder, stages, modules = tmp_path / "site", dict(STAGES), set(sys.modules)
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(methods, "_told", set())
    yield folder
    STAGES.clear()
    STAGES.update(stages)
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.fixture
def soft_vote(site: Path) -> None:
    install(site, "soft_vote_package", SOFT_VOTE, "soft_vote = soft_vote_package:SoftVote")


@pytest.mark.usefixtures("soft_vote")
def test_listed_merged_explained_and_recognized(adapters: list[str], run: Run, tmp_path: Path) -> None:
    listed = run("merge", "--methods").stdout
    assert "soft_vote (merge, a package of the tests): Σ_t M_t, weighted entry by entry" in listed
    assert "--set soft_vote.power=1.0" in listed
    words = ("--method", "soft_vote", "--set", "soft_vote.power=2")
    done = run("merge", *adapters, "-o", "out", *words)
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(Path("out/coremerge.json").read_text())["parameters"]["soft_vote"]["power"] == 2.0
    explained = run("explain", *adapters, "--method", "soft_vote", "--json")
    assert explained.exit_code == 0, explained.stderr
    found = run("compare", *adapters, "out", "--method", "soft_vote", "--json")
    assert json.loads(found.stdout)["matches"][0]["parameters"]["soft_vote.power"] == 2.0


@pytest.mark.usefixtures("soft_vote")
def test_from_a_settings_file_and_in_pipelines(adapters: list[str], run: Run) -> None:
    Path("merge.yaml").write_text("method: trim+soft_vote+iso\nset: {soft_vote: {power: 3}, trim: {density: 0.5}}\n")
    done = run("merge", *adapters, "-o", "out", "--config", "merge.yaml")
    assert done.exit_code == 0, done.stderr
    assert json.loads(Path("out/coremerge.json").read_text())["parameters"]["soft_vote"]["power"] == 3.0


@pytest.mark.usefixtures("soft_vote")
def test_in_the_demo(run: Run, tmp_path: Path) -> None:
    done = run("demo", "-o", tmp_path / "demo", "--method", "soft_vote", "--method", "ta", "--json")
    assert done.exit_code == 0, done.stderr
    assert {line["method"] for line in json.loads(done.stdout)["merged"]} == {"soft_vote", "ta"}
    refused = run("demo", "-o", tmp_path / "other", "--method", "softer_vote")
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)


@pytest.mark.usefixtures("soft_vote")
def test_in_a_process_of_its_own(site: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "coremerge_ref", "merge", "--methods"],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": f"{site}:{Path(cm.__file__).parents[1]}"},
    )  # fmt: skip
    assert "soft_vote (merge" in done.stdout
    assert done.stderr == ""


@pytest.mark.usefixtures("soft_vote")
def test_parameters_are_checked_as_those_of_our_own(adapters: list[str], run: Run) -> None:
    for setting, said in (
        ("soft_vote.power=high", "--set soft_vote.power: expected a number, got 'high'"),
        ("soft_vote.force=1", "--set soft_vote.force: expected a parameter among power"),
    ):
        refused = run("merge", *adapters, "-o", "out", "--method", "soft_vote", "--set", setting)
        assert refused.exit_code == 2
        assert said in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("source", "points", "said"),
    [
        ("raise RuntimeError('two\\nlines')", "m = broken:M", "(broken:M) is left out: RuntimeError: two lines; mend"),
        ("import no_such_module", "m = broken:M", "ModuleNotFoundError: No module named 'no_such_module'; mend or"),
        ("raise SystemExit(3)", "m = broken", "(broken) is left out: SystemExit: 3; mend or uninstall it"),
        ("def f(:", "m = broken", "is left out: SyntaxError: invalid syntax"),
        ("x = 1", "m = broken:M", "AttributeError: module 'broken' has no attribute 'M'"),
        ("class M: pass", "m = broken:M", "ParameterError: register: expected a dataclass that derives from Stage"),
        (SOFT_VOTE.replace('"soft_vote"', '"ties"'), "m = broken:SoftVote", "one that no other stage or space has"),
    ],
)
def test_a_broken_plug_in_is_one_line_and_the_rest_works(
    source: str, points: str, said: str, site: Path, adapters: list[str], run: Run
) -> None:
    install(site, "broken", source, points)
    install(site, "soft_vote_package", SOFT_VOTE, "soft_vote = soft_vote_package:SoftVote")
    done = run("merge", *adapters, "-o", "out", "--method", "soft_vote")
    assert done.exit_code == 0
    assert done.stderr.startswith("note: plug-in 'm' of broken ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    again = run("compare", *adapters, "out", "--method", "ta", "--set", "ta.weights=1,1")
    assert "left out" not in again.stderr  # said once


def test_types_that_cannot_be_read(site: Path, adapters: list[str], run: Run) -> None:
    install(site, "odd", SOFT_VOTE.replace("power: float", "power: 'no_such_type'"), "m = odd:SoftVote")
    refused = run("merge", *adapters, "-o", "out", "--method", "soft_vote", "--set", "soft_vote.power=2")
    said = "--set soft_vote.power: its type cannot be read (name 'no_such_type' is not defined); set it in Python"
    assert (refused.exit_code, refused.stderr) == (2, f"coremerge: error: {said}\n")


def test_a_module_as_entry_point_registers_what_it_holds(site: Path, run: Run) -> None:
    install(site, "holder", SOFT_VOTE.replace("@dataclass", "@cm.register\n@dataclass"), "all = holder")
    assert "soft_vote (merge" in run("merge", "--methods").stdout
