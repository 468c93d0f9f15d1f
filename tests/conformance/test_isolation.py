"""A function in a process of its own: a crash, an exit, a hang, a print is that case's result, and the run goes on."""

import json
import time
from pathlib import Path

import pytest

from coremerge_ref import conformance
from coremerge_ref.conformance import isolate

FILE = str(Path(__file__).parent / "strangers.py")
TWO = "ta/core/[gh]e*"  # generic and hetero


def asked(function, only=TWO, timeout=20.0):
    report = conformance.run(f"{FILE}:{function}", only=only, isolate=True, timeout=timeout)
    json.loads(report.to_json())
    conformance.to_junit(report)
    assert report.summary()
    return report


def test_right_answers_are_the_same_there():
    there = asked("right", "/generic")
    from strangers import right

    here = conformance.run(right, only="/generic")
    assert here.ok
    assert [(r.case.name, r.verdict, r.ratio) for r in there.results] == [
        (r.case.name, r.verdict, r.ratio) for r in here.results
    ]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("exits", "SystemExit: 0"),
        ("ends", "exit code 0"),
        ("crashes", "SIGSEGV"),
        ("leaves_a_child", "exit code 3"),
        ("interrupts", "KeyboardInterrupt"),
        ("generator_exits", "GeneratorExit: now"),
        ("mute", "Mute: (its message cannot be read: RuntimeError)"),
        ("loud", "ValueError: [bold]\\x1b[31m\\x00\\ud800 & <tag> ]]> y"),
        ("text", "array of numbers, got dtype <U1"),
        ("things", "array of numbers, got dtype object"),
        ("nothing", "array of numbers, got NoneType"),
        ("closes", "the function"),
    ],
)
def test_whatever_it_does_is_the_error_of_its_case(function, said):
    report = asked(function)
    assert [r.verdict for r in report.results] == ["error", "error"]
    assert all(said in r.diagnosis for r in report.results), report.results[0].diagnosis
    assert all(len(r.diagnosis) < 1000 for r in report.results)
    assert not report.ok


def test_a_hang_ends_by_the_timeout():
    report = asked("hangs", "ta/core/generic", timeout=0.5)
    assert report.results[0].diagnosis == "no answer within 0.5 s"


def test_a_flood_of_prints_ends(monkeypatch):
    monkeypatch.setattr(isolate, "PRINTED", 10 << 20)
    report = asked("floods", "ta/core/generic")
    assert "printed more than 10 MB" in report.results[0].diagnosis


def test_other_shapes_and_dtypes_fail_without_being_sent():
    report = asked("huge")
    assert {r.verdict for r in report.results} == {"fail"}
    assert "(1000000, 1000000)" in report.results[0].diagnosis
    assert {r.diagnosis for r in asked("complex_numbers").results} == {"a complex array"}


def test_prints_and_tracebacks_are_kept_with_the_case():
    report = asked("prints")
    assert report.ok
    assert all("not" in r.printed and "descriptor" in r.printed for r in report.results)
    assert "\x1b" not in report.to_json() + report.summary()
    crashed = asked("crashes").results[0]
    assert "on my way" in crashed.printed
    assert "strangers.py" in crashed.printed  # where it crashed
    assert 'strangers.py", line' in asked("mute").results[0].traceback


def test_a_process_lost_over_and_over_is_given_up(monkeypatch):
    monkeypatch.setattr(isolate, "DEATHS", 3)
    report = asked("ends", "ta/core/")
    said = [r.diagnosis for r in report.results]
    assert said[:3] == ["the function ended its process with exit code 0"] * 3
    assert len(said) > 3
    assert all(text.startswith("not asked") for text in said[3:])
    assert not report.ok


def test_threads_of_the_function_hold_nothing_up():
    assert asked("from_a_thread").ok


@pytest.mark.parametrize("function", ["looks_it_up", "patches_the_judge"])
def test_it_neither_sees_what_is_expected_nor_reaches_the_judge(function):
    report = asked(function, only="ta/*/generic")
    assert not any(r.verdict in ("pass", "ambiguous") for r in report.results)


def test_no_process_is_left(tmp_path):
    worker = isolate.Worker(f"{FILE}:right")
    process = worker.process
    worker.stop()
    assert process.returncode is not None
    with isolate.Worker(f"{FILE}:right") as worker:
        process = worker.process
    assert process.poll() is not None


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import sys\nsys.exit(0)", "SystemExit: 0"),
        ("import os\nos._exit(0)", "exit code 0"),
        ("import argparse\nargparse.ArgumentParser().parse_args(['--help'])", "SystemExit: 0"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("merge = 3", "expected a function of a case, got int"),
        ("other = 3", "AttributeError"),
        ("def merge(", "SyntaxError"),
        ("import time\ntime.sleep(60)", "no answer within"),
    ],
)
def test_a_module_that_cannot_be_imported_is_no_green_light(source, said, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(source)
    monkeypatch.setattr(isolate, "IMPORTING", 1)
    timeout = 1.0 if "sleep" in source else 20.0
    start = time.monotonic()
    with pytest.raises(ImportError) as caught:
        conformance.run(f"{tmp_path}/mine.py:merge", only=TWO, isolate=True, timeout=timeout)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 60
    if "sleep" in source:
        return
    if said != "exit code 0":  # in this process, too
        with pytest.raises(ImportError, match=said.split(":")[0]):
            conformance.run(f"{tmp_path}/mine.py:merge", only=TWO)


@pytest.mark.parametrize("function", ["exits", "ends", "generator_exits", "mute", "loud", "text", "things", "nothing"])
def test_in_this_process_too(function):
    report = conformance.run(f"{FILE}:{function}", only=TWO)
    assert [r.verdict for r in report.results] == ["error", "error"]
    json.loads(report.to_json())


def test_functions_that_no_new_process_finds_are_refused():
    for function in (lambda case: case, __import__("functools").partial(print)):
        with pytest.raises(ValueError, match="import"):
            conformance.run(function, only=TWO, isolate=True)
    with pytest.raises(ValueError, match="isolate"):
        conformance.run(lambda case: None, only=TWO, timeout=3)
    from strangers import right

    assert conformance.run(right, only=TWO, isolate=True).ok
