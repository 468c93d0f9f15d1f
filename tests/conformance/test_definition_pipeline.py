"""Methods of the definition by name: which stages they are, and what is said of names that make no method."""

import numpy as np
import pytest
from said import parts

from coremerge_ref.conformance.definition import merged
from coremerge_ref.conformance.definition.pipeline import stages


@pytest.mark.parametrize(
    ("method", "names"),
    [
        ("ties", ["ties"]),
        (" DARE + ties+ISO", ["dare", "ties", "iso"]),
        ("iso-cts", ["iso_cts"]),
        ("trim+dare", ["trim", "dare", "ta"]),
        ("iso", ["ta", "iso"]),
        ("trim+iso", ["trim", "ta", "iso"]),
    ],
)
def test_a_method_is_its_stages_and_task_arithmetic_where_none_merges(method: str, names: list[str]) -> None:
    assert stages(method) == names


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("ta+ties", "'ta+ties' … transforms … merge … posts"),
        ("ties+trim", "'ties+trim' … transforms … merge … posts"),
        ("iso+ta", "'iso+ta' … transforms … merge … posts"),
        ("iso+trim", "'iso+trim' … transforms … merge … posts"),
        ("trim+tis", "'tis' … 'trim+tis'"),
        ("", "'' … ''"),
    ],
)
def test_what_makes_no_method_is_named(method: str, said: str) -> None:
    with pytest.raises(ValueError, match=parts(said)):
        stages(method)
    with pytest.raises(ValueError, match=parts(said)):
        merged([(np.eye(2), np.eye(2))], method)


@pytest.mark.parametrize(("space", "basis"), [("cores", "paper"), ("core", "tuker")])
def test_a_space_that_is_none_is_named(space: str, basis: str) -> None:
    with pytest.raises(ValueError, match=parts(f"{space!r} … {basis!r}")):
        merged([(np.eye(2), np.eye(2))], "ta", space=space, basis=basis)
