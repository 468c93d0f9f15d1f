"""Cases are chosen by a part of their names or by a glob of the whole name, one or several."""

import pytest

from coremerge_ref.conformance import cases

NAMES = [case.name for case in cases()]


@pytest.mark.parametrize(
    ("only", "skip", "expected"),
    [
        (None, None, lambda n: True),
        ("ta/core", None, lambda n: "ta/core" in n),
        ("ta/core/*", None, lambda n: n.startswith("ta/core/")),
        ("t?/core/generic", None, lambda n: n == "ta/core/generic"),
        (["ta/*", "iso/*"], None, lambda n: n.startswith(("ta/", "iso/"))),
        ((), "", lambda n: True),
        ("ties", ["*/bfloat16", "core"], lambda n: "ties" in n and not n.endswith("/bfloat16") and "core" not in n),
        ("*/[gh]e*", None, lambda n: n.split("/")[2][:2] in ("ge", "he")),
    ],
)
def test_only_and_skip(only, skip, expected):
    wanted = [name for name in NAMES if expected(name)]
    assert wanted
    assert [case.name for case in cases(only, skip)] == wanted
