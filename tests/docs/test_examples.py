"""Every public name has an example in its docstring, and what the example shows is what happens."""

import doctest
import inspect

import numpy as np
import pytest

import coremerge_ref as cm

NEEDS = {"add_merged_adapter": "peft", "certify": "flint", "search": "optuna"}  # what is not always there


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")  # PEFT calling transformers
@pytest.mark.parametrize("name", sorted({*cm.__all__} - {"__version__"}))
def test_the_example_of_a_public_name_runs(name: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    text = inspect.getdoc(inspect.unwrap(getattr(cm, name)))
    test = doctest.DocTestParser().get_doctest(text or "", {"np": np, "cm": cm}, name, None, None)
    assert test.examples, f"{name} has no example"
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert result.failed == 0, "".join(said)


def test_the_example_of_the_package_shows_its_version() -> None:
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(cm) or "", {}, "coremerge_ref", None, None)
    assert any("__version__" in example.source for example in test.examples)
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0
