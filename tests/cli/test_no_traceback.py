"""Whatever is given to merge and verify, the answer is a merge or one line; never a traceback."""

import contextlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coremerge_ref.cli.settings import MergeSettings

Run = Callable[..., Any]
quick = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 10**6)
    | st.sampled_from(
        [10**400, -0.0, 1e308, float("inf"), float("nan"), 0.5, "", "a", "(", "q", "ta", "core", "*", "=", "\x1b[2J"]
    )
    | st.text(max_size=6)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["match", "value", "values", "ties", "tsv", "k", "density"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
words = st.sampled_from(
    ["1", "0", "-1", "1,2,3", "nan", "", "(", "q", "head", "a=b", "=", "x" * 300, "\x1b]0;x\x07", "../..", "tsv.k=1"]
)


def one_line_or_done(result: Any) -> None:
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (0, 1, 2), result.output
    assert "Traceback" not in result.output
    assert "\x1b" not in result.output
    if result.exit_code == 2 and result.stderr.startswith("coremerge: error"):
        assert result.stderr.count("\n") == 1


@quick
@given(
    st.dictionaries(
        st.sampled_from([*sorted(set(MergeSettings.model_fields) - {"output"}), "nonsense"]), values, max_size=4
    )
)
def test_settings_of_any_kind(run: Run, adapters: list[str], given: dict[str, Any]) -> None:
    Path("merge.yaml").write_text(yaml.safe_dump({"adapters": adapters, "output": "out", **given}))
    one_line_or_done(run("merge", "--config", "merge.yaml", "--dry-run"))


@quick
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "--include",
                    "--exclude",
                    "--rename",
                    "--others",
                    "--weights",
                    "--scale",
                    "--rank",
                    "--dtype",
                    "--method",
                    "--set",
                    "--space",
                    "--basis",
                    "--backend",
                    "--device",
                    "--base",
                    "--config",
                ]
            ),
            words,
        ),
        max_size=4,
    )
)
def test_options_of_any_kind(run: Run, adapters: list[str], given: list[tuple[str, str]]) -> None:
    one_line_or_done(run("merge", *adapters, "-o", "out", "--dry-run", *[word for pair in given for word in pair]))


@quick
@given(st.data())
def test_records_of_any_kind(run: Run, adapters: list[str], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as place:
        target = Path(place) / "out"
        assert run("merge", *adapters, "-o", target, "--method", "ta").exit_code == 0
        record = json.loads((target / "coremerge.json").read_text())
        for _ in range(data.draw(st.integers(1, 3))):
            at: Any = record
            while True:
                key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
                if isinstance(at[key], dict | list) and at[key] and data.draw(st.booleans()):
                    at = at[key]
                    continue
                at[key] = data.draw(values)
                break
            if not isinstance(record, dict) or not record:
                break
        with contextlib.suppress(ValueError):
            (target / "coremerge.json").write_text(json.dumps(record, allow_nan=False))
        one_line_or_done(run("verify", target))
        one_line_or_done(run("merge", "--config", target / "coremerge.json", "-o", Path(place) / "again", "--dry-run"))


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", "coremerge.json", "README.md"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"[]", b"{}", b'{"inputs": {}, "outputs": []}'])
def test_files_of_any_kind(name: str, content: bytes, run: Run, adapters: list[str]) -> None:
    assert run("merge", *adapters, "-o", "out").exit_code == 0
    (Path("out") / name).write_bytes(content)
    for command in (["verify", "out"], ["inspect", "out"], ["merge", "out", "a", "-o", "two", "--force"]):
        one_line_or_done(run(*command))
