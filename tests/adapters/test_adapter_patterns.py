"""rank_pattern and alpha_pattern: what PEFT's own matching gives, whatever the pattern, without its price."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coremerge_ref.adapters import patterns
from coremerge_ref.adapters.patterns import MOST_EXPRESSIONS, Patterns, exact_pattern
from coremerge_ref.errors import AdapterError

names = st.sampled_from(["layers", "q", "q_proj", "a-b", "0", "1", "10", "x0", "é"])
paths = st.lists(names, min_size=1, max_size=4).map(".".join)
keys = st.one_of(
    paths,
    paths.map(exact_pattern),
    paths.map(lambda path: "^" + path),
    paths.map(lambda path: path.replace(".", r"\.")),
    paths.map(lambda path: path.replace("0", "[0-9]").replace("q", "(q|k)")),
    st.sampled_from(
        [".q", "q|q_proj", ".*", r".*layers\.[01]\..*", "(?P<x>l.*)q", "q+", "q{1,2}", "(a)(b", "", "^", "$"]
    ),
)


@given(st.lists(keys, max_size=6, unique=True), paths | paths.map(lambda path: path.replace(".", "X", 1)))
def test_the_first_match_is_the_one_of_peft(written: list[str], path: str) -> None:
    get_pattern_key = pytest.importorskip("peft.utils.other").get_pattern_key
    table = {key: place for place, key in enumerate(written)}
    try:
        want = table.get(get_pattern_key(table, path), "default")
    except re.error:
        with pytest.raises(AdapterError, match="expected a regular expression"):
            Patterns(table).first(path, "default")
    else:
        assert Patterns(table).first(path, "default") == want


@pytest.mark.parametrize("key", ["(a+)+$", "(a|a)*b", "(.*)*x", "(.*.*.*.*.*.*.*.*)b", "((a*)*)*b"])
def test_backtracking_is_no_matter(key: str) -> None:
    assert Patterns({key: 1}).first("a" * 999 + "c", 0) == 0


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"(?=q)q": 1}, "lookaround"),
        ({r"(q)\1": 1}, "back references"),
        ({"(q": 1}, "expected a regular expression"),
        ({"((q{100}){100}){100}": 1}, "repetition"),
        ({"(" * 900 + ")" * 900: 1}, "expected"),
        ({"[qk]" * 300: 1}, "characters"),
        ({f"[qk]{i}": i for i in range(MOST_EXPRESSIONS + 1)}, "at most 256"),
        ({r"\w": 1}, "name the module"),
    ],
)
def test_refusals(table: dict[str, int], words: str) -> None:
    with pytest.raises(AdapterError, match=words):
        Patterns(table).first("é", 0)


@pytest.mark.parametrize("write", ["[ab]x{}".format, "{}.a".format])
def test_the_work_is_bounded(write: Callable[[object], str], monkeypatch: pytest.MonkeyPatch) -> None:
    table = Patterns({write("x" * i): i for i in range(200)})
    path = "." * 100 + "x.b"
    assert table.first(path, -1) == -1
    monkeypatch.setattr(patterns, "STEPS", table._steps)
    with pytest.raises(AdapterError, match="take too long"):
        table.first(path, -1)


def test_thousands_of_names_are_looked_up() -> None:
    paths = [f"model.layers.{i}.self_attn.q_proj" for i in range(20_000)]
    for write in (exact_pattern, str):
        table = Patterns({write(path): i for i, path in enumerate(paths)})
        assert [table.first(path, -1) for path in paths[::-1]] == list(range(20_000))[::-1]
        assert table._steps <= 10 * len(paths)
