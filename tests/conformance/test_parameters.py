"""Every parameter that a case names is explained, in the documentation too."""

from pathlib import Path

from coremerge_ref.conformance import cases
from coremerge_ref.conformance.parameters import MEANINGS, table

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def test_every_parameter_of_every_case_has_its_meaning_in_the_documentation():
    asked = {(stage, name) for case in cases() for stage, given in case.params.items() for name in given}
    assert asked <= {(stage, name) for stage, names in MEANINGS.items() for name in names}
    assert table() in PAGE.read_text(encoding="utf-8")
