"""The documentation site, as far as it can be tested without MkDocs: its pages, their links, the API, the formulas."""

import importlib
import importlib.util
import inspect
import re
import shutil
import subprocess
import unittest
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from coremerge_ref.core.stages import STAGES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SITE = DOCS / "mkdocs"
PAGES = sorted(DOCS.rglob("*.md"))
FENCED = re.compile(r"^ *(```+|~~~+).*?^ *\1 *$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(
    r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)|<(?:a|img)\s[^>]*?(?:href|src)=\"([^\"]+)\"", re.MULTILINE
)
CODE_BLOCKS = re.compile(r"<pre>.*?</pre>", re.DOTALL)
HEADING = re.compile(r"^#+\s+(.+?)\s*#*$", re.MULTILINE)
IDENTIFIER = re.compile(r"^::: (\S+)$", re.MULTILINE)
DOCUMENTED = set(IDENTIFIER.findall((DOCS / "api.md").read_text(encoding="utf-8")))


def relative(path):
    return str(path.relative_to(ROOT))


def config():
    return yaml.safe_load((SITE / "mkdocs.yml").read_text(encoding="utf-8"))


def leaves(nav):
    """The files that a nav names, at any depth."""
    if isinstance(nav, str):
        return [nav]
    return [leaf for entry in (nav.values() if isinstance(nav, dict) else nav) for leaf in leaves(entry)]


def names(module):
    return {name for name in importlib.import_module(module).__all__ if not name.startswith("__")}


def git(*command):
    return subprocess.run(["git", "-C", str(ROOT), *command], capture_output=True, text=True, check=False)


@cache
def anchors(page):
    """The ids of a page's headings, as GitHub and MkDocs both make them."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    words = (re.sub(r"[^\w\s-]", "", title.lower()).split() for title in HEADING.findall(text))
    explicit = re.findall(r"\bid=\"([^\"]+)\"|\{\s*#([\w-]+)", text)
    return {"-".join(w) for w in words} | {name for pair in explicit for name in pair if name}


def targets(page):
    """Where a page's links point, those inside code left out."""
    text = CODE.sub("", FENCED.sub("", page.read_text(encoding="utf-8")))
    return [next(filter(None, groups)) for groups in LINK.findall(text)]


@pytest.mark.skipif(shutil.which("git") is None or git("rev-parse").returncode != 0, reason="not a git repository")
def test_everything_the_site_is_made_of_is_in_the_repository():
    files = [relative(path) for path in SITE.iterdir() if path.is_file()]
    made = [config()["extra_css"], config()["hooks"], config()["plugins"][1]["mkdocstrings"]["handlers"]["python"]]
    named = [DOCS / made[0][0], *(SITE / name for name in made[1] + made[2]["options"]["extensions"])]
    assert {relative(path) for path in named} < set(files)
    assert git("ls-files", "--error-unmatch", *files, *map(relative, PAGES)).stderr == ""
    assert git("check-ignore", "--no-index", *files).stdout == ""


def test_search_works_in_a_site_opened_as_files_and_fetches_nothing():
    # seen in a browser; the plugin takes its shim from the net unless one of this name is there
    assert "offline" in config()["plugins"]
    (shim,) = config()["extra"]["polyfills"]
    assert "iframe-worker" in shim
    assert f"!/{shim}" in config()["exclude_docs"].split()
    assert "MIT License" in (DOCS / shim).read_text(encoding="utf-8")


def test_make_docs_builds_this_site_and_takes_warnings_as_errors():
    command = re.search(r"^docs:.*\n\t(.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert "--strict" in command
    assert f"--config-file {relative(SITE / 'mkdocs.yml')}" in command
    assert config()["validation"]["omitted_files"] == "warn"


def test_nav_names_every_page_once_and_no_other():
    named = leaves(config()["nav"])
    assert sorted(named) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES)


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=relative)
def test_links_lead_to_files_and_anchors(page):
    for target in targets(page):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.is_file(), target
        if page.is_relative_to(DOCS):
            assert file.is_relative_to(DOCS), f"{target} is not part of the site"
        if anchor:
            assert anchor in anchors(file), target


def test_links_are_found():
    assert "tutorials/adapters.md" in targets(DOCS / "index.md")
    assert "null-directions" in anchors(DOCS / "specification.md")


@pytest.mark.parametrize("module", ["coremerge_ref", "coremerge_ref.conformance", "coremerge_ref.testing"])
def test_the_api_page_has_every_public_name(module):
    # some are documented where they are defined, and methods all together
    elsewhere = {identifier.rpartition(".")[2] for identifier in DOCUMENTED}
    found = names(module) & elsewhere
    methods = {stage.__name__ for stage in STAGES.values()} if "coremerge_ref.methods" in DOCUMENTED else set()
    assert found | (methods & names(module)) == names(module)


@pytest.mark.parametrize("identifier", sorted(DOCUMENTED))
def test_the_api_page_names_what_exists(identifier):
    module, _, name = identifier.rpartition(".")
    assert hasattr(importlib.import_module(module), name)


def has_formulas(page: Path) -> bool:
    return "$" in re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("page", [page for page in PAGES if has_formulas(page)], ids=relative)
def test_formulas_become_mathml(page):
    pytest.importorskip("latex2mathml")
    markdown = pytest.importorskip("markdown")
    spec = importlib.util.spec_from_file_location("mathml", SITE / "mathml.py")
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    with unittest.TestCase().assertNoLogs():
        html = markdown.markdown(
            page.read_text(encoding="utf-8"), extensions=["tables", "fenced_code", hook.MathExtension()]
        )
    assert "<math" in html
    assert "$" not in re.sub(r"<(code|pre)\b.*?</\1>", "", html, flags=re.DOTALL)


def test_search_finds_tutorials_first_and_leaves_long_tables_out():
    spec = importlib.util.spec_from_file_location("ranking", SITE / "ranking.py")
    ranking = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ranking)
    found = {}
    for page in PAGES:
        name = page.relative_to(DOCS).as_posix()
        shown = SimpleNamespace(file=SimpleNamespace(src_uri=name), meta={})
        ranking.on_page_markdown("", page=shown)
        found[name] = shown.meta.get("search")
    assert {name for name, fields in found.items() if fields == {"exclude": True}} == {"mistakes.md", "mutation.md"}
    boosts = {name: fields.get("boost", 1) for name, fields in found.items() if fields != {"exclude": True} and fields}
    assert {name for name, boost in boosts.items() if boost > 1} == {n for n in found if n.startswith("tutorials/")}
    assert [name for name, boost in boosts.items() if boost < 1] == ["api.md"]


@pytest.mark.parametrize("identifier", sorted(DOCUMENTED))
def test_examples_in_docstrings_become_code(identifier):
    pytest.importorskip("griffe")
    markdown = pytest.importorskip("markdown")
    spec = importlib.util.spec_from_file_location("docstrings", SITE / "docstrings.py")
    docstrings = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docstrings)
    module, _, name = identifier.rpartition(".")
    text = inspect.getdoc(getattr(importlib.import_module(module), name)) or ""
    html = markdown.markdown(docstrings.to_markdown(text), extensions=["fenced_code"])
    assert "<blockquote" not in html
    assert (
        html.count("&gt;&gt;&gt; ") == text.count(">>> ") == "".join(CODE_BLOCKS.findall(html)).count("&gt;&gt;&gt; ")
    )
