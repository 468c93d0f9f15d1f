"""Presets: which parameters each dialect sets, and that nothing else is set."""

import pytest

import coremerge_ref as cm
from coremerge_ref.methods import STAGES
from coremerge_ref.methods.dialects import DIALECTS, preset


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_preset_sets_what_its_method_says(dialect):
    for name, stage in STAGES.items():
        values = stage.dialects.get(dialect, {})
        assert preset(name, dialect).parameters[name] == {**stage().parameters, **values}
        for other, changed in stage.company.get(dialect, {}).items():
            together = preset(f"{name}+{other}", dialect).parameters[other]
            assert together == {**STAGES[other]().parameters, **STAGES[other].dialects.get(dialect, {}), **changed}


def test_methods_know_no_dialect_that_is_not_there():
    named = {dialect for stage in STAGES.values() for dialect in (*stage.dialects, *stage.company)}
    assert named <= {*DIALECTS}
    assert named


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
        (("ties", "peft", {"ties": {"destiny": 0.5}}), "expected a parameter among .*did you mean 'density'"),
    ],
)
def test_unknown_names_are_refused(arguments, message):
    with pytest.raises(cm.ParameterError, match=message):
        preset(*arguments)
