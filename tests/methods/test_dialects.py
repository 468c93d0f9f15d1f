"""Presets: which parameters each dialect sets, and that nothing else is set."""

import pytest

import coremerge_ref as cm
from coremerge_ref.methods.dialects import DIALECTS, preset


@pytest.mark.parametrize("dialect", list(DIALECTS))
def test_every_preset_names_parameters_that_exist(dialect):
    for stage, values in DIALECTS[dialect].items():
        assert set(values) <= set(preset(stage, dialect).parameters[stage])


def test_paper_is_the_default_where_its_answer_is_defined():
    for method in ("ties", "trim", "dare", "tsv", "cart", "iso_cts"):
        assert preset(method, "paper") == cm.Pipeline.parse(method)


def test_dare_replaces_trimming_in_peft():
    assert preset("dare+ties", "peft").parameters["ties"]["density"] == 1.0
    assert preset("ties", "peft").parameters["ties"]["density"] == 0.2


def test_own_parameters_win():
    assert preset("ties", "peft", {"ties": {"keep": "threshold"}}).parameters["ties"]["keep"] == "threshold"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ties", "huggingface"), "dialect: expected one of paper"),
        (("tiez", "peft"), "expected stages among"),
        (("ties", "peft", {"dare": {"drop": 0.5}}), "parameters for 'dare'"),
        (("ties", "peft", {"ties": {"destiny": 0.5}}), "expected parameters among"),
    ],
)
def test_unknown_names_are_refused(arguments, message):
    with pytest.raises(cm.ParameterError, match=message):
        preset(*arguments)
