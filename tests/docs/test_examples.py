"""Every public name has an example in its docstring, and what the example shows is what happens."""

import doctest
import inspect

import numpy as np
import pytest

import coremerge_ref as cm

# what an example would need that is not always there: a PeftModel, python-flint, Optuna, a score of one's own
WITHOUT = {"__version__", "add_merged_adapter", "certify", "search", "sweep"}


@pytest.mark.parametrize("name", sorted({*cm.__all__} - WITHOUT))
def test_the_example_of_a_public_name_runs(name: str) -> None:
    text = inspect.getdoc(inspect.unwrap(getattr(cm, name)))
    test = doctest.DocTestParser().get_doctest(text or "", {"np": np, "cm": cm}, name, None, None)
    assert test.examples, f"{name} has no example"
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert result.failed == 0, "".join(said)
