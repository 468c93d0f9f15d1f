"""The README says what is so: its Python runs, its tables are the code's, what it says of others is in the report."""

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import readme

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def block(word: str, *libraries: str) -> str:
    """The one Python block with that word; skips where a library that it needs is missing."""
    for library in libraries:
        pytest.importorskip(library)
    (found,) = [text for text in BLOCKS if word in text]
    return found


def run(text: str, **names: object) -> dict[str, object]:
    exec(compile(text, "README.md", "exec"), names)
    return names


def test_arrays_block_runs(capsys):
    run(block("LowRankUpdate(", "torch"))
    assert capsys.readouterr().out == "(64, 48) 8\n"


def test_folders_block_runs(tmp_path, monkeypatch, capsys):
    text = block("merge_folders", "torch", "peft")
    torch, peft = importlib.import_module("torch"), importlib.import_module("peft")
    monkeypatch.chdir(tmp_path)

    def base():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(12, 10))

    config = peft.LoraConfig(r=2, target_modules=["0"], init_lora_weights=False)
    for name in ("math", "code"):
        peft.get_peft_model(base(), config).save_pretrained(f"adapters/{name}")
    goal, x = torch.ones(3, 10), torch.ones(3, 12)

    def accuracy(path):
        return -float(((peft.PeftModel.from_pretrained(base(), path)(x) - goal) ** 2).mean())

    names = run(text, base=base(), accuracy=accuracy)
    assert capsys.readouterr().out == f"{names['best'].alpha} True\n"
    assert isinstance(names["model"], peft.PeftModel)


def test_pytest_block_runs(monkeypatch):
    def merge(case):
        if case.method != "ta":
            raise NotImplementedError
        weights = case.params["ta"]["weights"] or [1.0] * len(case.updates)
        return sum(
            w * s * (B.astype(float) @ A.astype(float)) for w, (B, A, s) in zip(weights, case.updates, strict=True)
        )

    module = ModuleType("my_tests")
    monkeypatch.setitem(sys.modules, "my_tests", module)
    test = run(block("parametrize_with_properties"), merge=merge, __name__="my_tests")["test_properties"]
    checks = [parameter.values[0] for parameter in test.pytestmark[0].args[1]]
    assert len(checks) > 5
    test(checks[0])


def test_every_block_is_run_by_a_test_above():
    words = ("LowRankUpdate(", "merge_folders", "parametrize_with_properties")
    assert [sum(word in text for word in words) for text in BLOCKS] == [1] * len(words)


@pytest.mark.parametrize("page", readme.TABLES)
def test_a_table_is_what_the_code_says(page):
    assert readme.TABLES[page][1]() in (ROOT / page).read_text(encoding="utf-8"), "run: python -m benchmarks.readme"


PEERS = (ROOT / "docs" / "peers.md").read_text(encoding="utf-8")
HAS = {  # what the table of comparison says that a package has of the kit's methods, by section of the report
    "peft 0.21.2: on updates": {"ta", "ties", "dare+ta", "trim+ta", "dare+ties"},
    "mergekit 0.1.5: on updates": {"ta", "mean", "ties", "dare+ta", "trim+ta", "dare+ties"},
    "fusion-bench 0.2.33: on updates": {"ta", "ties", "dare+ta", "dare+ties", "tsv", "ta+iso", "iso_cts"},
    "fusion-bench 0.2.33: in knots": {"ta", "ties"},
}


@pytest.mark.parametrize("section", HAS)
def test_of_others_it_says_what_the_report_has(section):
    part = PEERS.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = set(re.findall(r"^\| `([a-z_+]+)` \| \d", part, re.MULTILINE))
    assert rows == HAS[section]
    assert section.partition(":")[0] in README


def test_of_this_package_no_case_fails_in_the_report():
    rows = re.findall(r"^\| coremerge_ref .*: on ([\w ]+) \| \d+ \| \d+ \| (\d+) \| (\d+) \|", PEERS, re.MULTILINE)
    assert {"numpy", "torch", "array api strict"} <= {name for name, *_ in rows}
    assert {count for _, *counts in rows for count in counts} == {"0"}
