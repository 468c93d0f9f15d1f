"""The table of stages: every method of ours is in it, and what register takes and refuses; numbers as parameters."""

import re
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from said import parts

import coremerge_ref as cm
from coremerge_ref.core.registering import register
from coremerge_ref.core.stages import MERGE, SIGNED_PERMUTATION, STAGES, TRANSFORM, Stage

METHODS = Path(cm.__file__).parent / "methods"


@pytest.fixture(autouse=True)
def _table() -> Iterator[None]:
    """The table as it was, whatever a test registers."""
    before = dict(STAGES)
    yield
    STAGES.clear()
    STAGES.update(before)


def test_every_class_of_the_methods_folder_is_in_the_table_and_in_the_package() -> None:
    defined = {stage.__name__ for stage in STAGES.values()}
    written = {
        name
        for file in METHODS.glob("*.py")
        for name in re.findall(r"^class (\w+)\(", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert written
    assert written == defined
    assert all(getattr(cm, stage.__name__) is stage for stage in STAGES.values())
    assert all(name == stage.name for name, stage in STAGES.items())


def test_what_is_no_method_is_no_attribute_of_the_package() -> None:
    @register
    @dataclass(frozen=True)
    class Mine(Stage):
        name: ClassVar[str] = "mine"
        kind: ClassVar[str] = MERGE

    for name in ("Mine", "Tsw"):
        with pytest.raises(AttributeError, match=f"module 'coremerge_ref' has no attribute '{name}'"):
            getattr(cm, name)


def test_a_registered_class_is_used_by_name() -> None:
    @cm.register
    @dataclass(frozen=True)
    class Doubled(cm.Stage):
        factor: float = 2.0
        name: ClassVar[str] = "doubled"
        kind: ClassVar[str] = TRANSFORM
        commutes_with: ClassVar[str] = SIGNED_PERMUTATION  # full space then computes with the entries themselves

        def apply(self, item: Any) -> Any:
            return item.with_entries(self.factor * item.M)

    assert cm.Pipeline.parse("doubled+ta", {"doubled": {"factor": 3.0}}).stages == (Doubled(3.0), cm.Ta())
    updates = [(np.ones((2, 1)), np.ones((1, 3)))] * 2
    assert np.array_equal(cm.merge(updates, "doubled", "full").to_dense(), np.full((2, 3), 4.0))
    first = Doubled

    @cm.register
    @dataclass(frozen=True)
    class Doubled(cm.Stage):  # type: ignore[no-redef]  # run again, as in a notebook
        name: ClassVar[str] = "doubled"
        kind: ClassVar[str] = TRANSFORM

    assert STAGES["doubled"] is Doubled is not first


@dataclass(frozen=True)
class Fine(Stage):
    name: ClassVar[str] = "fine"
    kind: ClassVar[str] = MERGE


@dataclass
class Thawed(Stage):
    name: ClassVar[str] = "thawed"
    kind: ClassVar[str] = MERGE


class Bare(Stage):
    name: ClassVar[str] = "bare"
    kind: ClassVar[str] = MERGE


@dataclass(frozen=True)
class Needy(Stage):
    power: float
    name: ClassVar[str] = "needy"
    kind: ClassVar[str] = MERGE


def _changed(**attributes: Any) -> type:
    return dataclass(frozen=True)(type("Changed", (Fine,), attributes))


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (dict, "register: expected a dataclass that derives from Stage, got dict"),
        (3, "register: expected a dataclass that derives from Stage, got 3"),
        (Fine(), "register: expected a dataclass that derives from Stage, got Fine()"),
        (Bare, "register: expected a dataclass that derives from Stage, got Bare"),
        (Thawed, "register: expected Thawed to be a frozen dataclass; write @dataclass(frozen=True)"),
        (_changed(name="a+b"), "register: expected Changed.name to be a word such as 'ties', got 'a+b'"),
        (_changed(name=None), "register: expected Changed.name to be a word such as 'ties', got None"),
        (_changed(kind="merger"), "expected Changed.kind to be one of transform, merge, post, got 'merger'"),
        (
            _changed(commutes_with="all"),
            "expected Changed.commutes_with to be one of orthogonal, signed-permutation, unknown, got 'all'",
        ),
        (
            _changed(name="ties"),
            "expected Changed.name to be one that no other stage or space has, got 'ties', which is "
            "coremerge_ref.methods.ties.Ties",
        ),
        (_changed(name="core"), "no other stage or space has, got 'core', which is coremerge_ref.core.spaces.Core"),
        (Needy, "register: expected a default for every parameter of Needy, got none for power"),
    ],
)
def test_classes_refused(cls: Any, message: str) -> None:
    before = dict(STAGES)
    with pytest.raises(cm.ParameterError) as error:
        register(cls)
    assert str(error.value).startswith("register: expected ")
    assert str(error.value).endswith(message)
    assert before == STAGES


def test_more_classes_refused_and_taken() -> None:
    """What has no kind, and a name that is a word in another module; a default that is made is one."""
    for attributes, said in (
        ({"kind": None}, "Changed.kind to be one of transform, merge, post, got None"),
        ({"name": ""}, "Changed.name to be a word such as 'ties', got ''"),
        ({"commutes_with": None}, "one of orthogonal, signed-permutation, unknown, got None"),
    ):
        with pytest.raises(cm.ParameterError, match=re.escape(said) + "$"):
            register(_changed(**attributes))

    class Nameless(Stage):
        kind: ClassVar[str] = MERGE

    class Kindless(Stage):
        name: ClassVar[str] = "kindless"

    for lacking, said in ((Nameless, "name to be a word such as 'ties'"), (Kindless, "kind to be … merge, post")):
        with pytest.raises(cm.ParameterError, match=parts(f"{said}, got None") + "$"):
            register(dataclass(frozen=True)(lacking))

    @dataclass(frozen=True)
    class Listed(Stage):
        sizes: list[int] = field(default_factory=list)
        power: float | None = None
        name: ClassVar[str] = "listed"
        kind: ClassVar[str] = MERGE

    assert register(Listed) is STAGES["listed"] is Listed
    other = dataclass(frozen=True)(type("Listed", (Stage,), {"name": "listed", "kind": MERGE}))
    for change in ({"__module__": "elsewhere"}, {"__qualname__": "Listed"}):
        for name, value in change.items():
            setattr(other, name, value)
        with pytest.raises(cm.ParameterError, match="one that no other stage or space has, got 'listed'"):
            register(other)


class Bent(Stage):
    """A stage of the strongest kind that says nothing of itself."""

    name: ClassVar[str] = "bent"
    kind: ClassVar[str] = MERGE


def test_what_a_stage_is_that_says_nothing_of_itself() -> None:
    bent = Bent()
    assert (bent.equivariance, bent.whole_model, bent.differentiable, bent.linear) == ("orthogonal", False, True, False)
    assert (dict(bent.expected_failures), bent.sees(3)) == ({}, ())
    assert bent.carry(None, None, None) is NotImplemented
    for call, said in (
        (lambda: bent.coefficients((1.0,)), "stage Bent: is not linear"),
        (lambda: bent([1]), "stage Bent: defines neither apply nor __call__"),
    ):
        with pytest.raises(cm.ParameterError) as error:
            call()
        assert str(error.value) == said
    for weaker in (SIGNED_PERMUTATION, "unknown"):
        changed = type("Weaker", (Bent,), {"commutes_with": weaker})()
        assert (changed.equivariance, changed.sees(1)) == (weaker, ("left", "right"))


def test_stages_act_item_by_item() -> None:
    """Results, and errors for `explain`, one for each item."""

    class Each(Bent):
        def apply(self, item: Any) -> Any:
            return 2 * item

        def carry(self, errors: Any, before: Any, after: Any) -> Any:
            return (errors, before, after)

    assert Each()([1, 3]) == [2, 6]
    assert Each().propagate(["e", "f"], ["b", "c"], ["a", "d"]) == [("e", "b", "a"), ("f", "c", "d")]
    with pytest.raises(ValueError, match="zip"):
        Each().propagate(["e", "f"], ["b", "c"], ["a"])


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (cm.Tsv(k=np.int64(3)), cm.Tsv(k=3)),
        (cm.Trim(density=np.float32(0.25)), cm.Trim(density=0.25)),
        (cm.Trim(density=1), cm.Trim(density=1.0)),
        (cm.Dare(drop=Fraction(1, 2), seed=np.uint8(7)), cm.Dare(drop=0.5, seed=7)),
        (cm.Cart(coefficient=np.float16(0.5)), cm.Cart(coefficient=0.5)),
        (cm.Drm(drop=np.float64(0.5), rank_cut=0), cm.Drm(drop=0.5, rank_cut=0.0)),
    ],
)
def test_numbers_of_any_type_become_pythons_own(given: Stage, plain: Stage) -> None:
    assert given == plain
    assert {k: type(v) for k, v in given.parameters.items()} == {k: type(v) for k, v in plain.parameters.items()}
    with pytest.raises(FrozenInstanceError):
        given.name = "x"  # type: ignore[misc]


@pytest.mark.parametrize("value", [True, "1", None, 1 + 0j, [0.5], np.array([0.5]), float("nan")])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(cm.ParameterError, match=parts("trim.density: expected … number … 0 … 1 … got ")):
        cm.Trim(density=value)
