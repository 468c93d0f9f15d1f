"""What installers, citation managers and people who carry the project elsewhere read of it."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import coremerge_ref as cm
from coremerge_ref.adapters.record import package_version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]


def test_the_version_is_said_once():
    assert cm.__version__ == package_version() == PROJECT["version"]
    assert "__version__" in cm.__all__
    package = ROOT / "coremerge_ref"
    copies = [path for path in package.rglob("*.py") if f'"{PROJECT["version"]}"' in path.read_text(encoding="utf-8")]
    assert copies == []


def bounds(extras: tuple[str, ...]) -> dict[str, str]:
    """{package: the lowest version that the metadata allows} of what is always needed, and in those extras."""
    optional = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in optional[extra])]
    return {name: bound for name, _, bound in (line.partition(">=") for line in lines)}


def test_the_lowest_versions_are_those_that_the_metadata_allows():
    lines = (ROOT / ".ci" / "lowest.txt").read_text(encoding="utf-8").splitlines()
    held = dict(line.split("==") for line in lines if "==" in line)
    wanted = bounds(("conformance",))
    assert {name: held.get(name) for name in wanted} == wanted


def test_without_an_installation_the_version_is_unknown(monkeypatch):
    from coremerge_ref import version

    def missing(name):
        raise version.PackageNotFoundError(name)

    monkeypatch.setattr(version, "version", missing)
    assert version.package_version() == "unknown"


def test_the_citation_names_this_version_and_the_paper():
    assert CITATION["cff-version"] == "1.2.0"
    assert (CITATION["title"], CITATION["version"]) == (PROJECT["name"], PROJECT["version"])
    assert CITATION["license"] == PROJECT["license"]
    assert {"message", "authors"} <= CITATION.keys()
    paper = CITATION["preferred-citation"]
    assert paper["url"] == PROJECT["urls"]["Paper"]
    assert paper["url"].endswith("/2509.17786")
    assert len(paper["authors"]) == 8
    assert paper in CITATION["references"]


def test_the_changelog_begins_with_what_is_unreleased():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## \[([^]]+)\]", text, re.MULTILINE)
    assert sections[0] == "Unreleased"
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_pages_at_the_top_name_are_there(page):
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    paths = [
        name
        for name in re.findall(r"`([\w./]+/[\w./]*)`", text)
        if not name.startswith(("dist/", ".git/", "adapters/"))
    ]
    missing = [name for name in {*links, *paths} if not (ROOT / name).exists()]
    assert missing == []


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_a_hosted_workflow_does_what_ci_does_and_no_more():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]
    commands = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert [command.split()[-1] for command in commands["run"]] == [".ci/run"]
    assert commands["weekly"] == ["make ${{ matrix.target }}"]
    assert set(jobs["weekly"]["strategy"]["matrix"]["target"]) <= targets()


def test_pre_commit_and_ci_lint_by_one_target():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [hook["entry"].split()[-1] for hook in repository["hooks"]] == ["lint"]
    assert "\nmake lint\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["defect.yml", "addition.yml"])
def test_an_issue_is_asked_for_what_doctor_prints(name):
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / name).read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= form.keys()
    assert any("`coremerge doctor`" in field["attributes"].get("description", "") for field in form["body"])


def test_contributing_names_targets_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`make ([a-z]+)", text)) <= targets()
