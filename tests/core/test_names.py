"""Names that other projects use are answered with ours, from what the methods say of themselves."""

import inspect
from dataclasses import dataclass
from typing import ClassVar, get_args, get_type_hints

import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.core.arguments import explains_arguments
from coremerge_ref.core.names import called_elsewhere, unknown_parameter, unknown_stage
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.methods import STAGES
from coremerge_ref.methods.base import Stage, register
from coremerge_ref.methods.dialects import DIALECTS

UPDATES = [(np.ones((3, 1)), np.ones((1, 2)))] * 2
ROWS = [
    (dialect, theirs, pipeline)
    for stage in STAGES.values()
    for dialect, names in stage.called.items()
    for theirs, pipeline in names.items()
]


@pytest.mark.parametrize(("dialect", "theirs", "pipeline"), ROWS)
def test_each_row_names_a_dialect_and_a_pipeline_and_is_what_the_error_says(
    dialect: str, theirs: str, pipeline: str
) -> None:
    assert dialect in DIALECTS
    assert theirs not in STAGES
    assert Pipeline.parse(pipeline)
    for written in (theirs, theirs.upper(), theirs.replace("_", "-")):
        with pytest.raises(cm.ParameterError) as caught:
            cm.merge(UPDATES, written)
        assert repr(written) in str(caught.value)
        assert repr(pipeline) in str(caught.value)
        assert dialect in str(caught.value)


def test_all_of_pefts_combinations_are_ours_or_answered() -> None:
    lora = pytest.importorskip("peft.tuners.lora", exc_type=ImportError)
    hints = inspect.signature(lora.LoraModel.add_weighted_adapter).parameters["combination_type"].annotation
    if isinstance(hints, str):
        hints = get_type_hints(lora.LoraModel.add_weighted_adapter)["combination_type"]
    names = get_args(hints)
    assert len(names) > 8
    ours = {name for name in names if name in STAGES}
    answered = {name for name in names for dialects in called_elsewhere(name).values() if "peft" in dialects}
    assert ours | answered == {*names}


def test_methods_of_others_answer_with_their_own_rows() -> None:
    @register
    @dataclass(frozen=True)
    class Median(Stage):
        size: float = 1.0
        name: ClassVar[str] = "median"
        kind: ClassVar[str] = "merge"
        called: ClassVar = {"mergekit": {"middle": "median"}}
        spelled: ClassVar = {"bulk": "size"}

    try:
        with pytest.raises(cm.ParameterError, match=r"'middle', which stands for 'median' in mergekit"):
            cm.merge(UPDATES, "middle")
        with pytest.raises(cm.ParameterError, match=r"got 'bulk'; write size"):
            Pipeline.parse("median", {"median": {"bulk": 1}})
    finally:
        del STAGES["median"]


def test_one_name_for_several_things_is_answered_with_all_of_them() -> None:
    """Two projects mean the same by it, and a third something else; the first one's settings are offered."""

    @register
    @dataclass(frozen=True)
    class Median(Stage):
        name: ClassVar[str] = "median"
        kind: ClassVar[str] = "merge"
        called: ClassVar = {
            "mergekit": {"middle_one": "median"},
            "peft": {"middle_one": "median", "other": "median"},
            "fusionbench": {"middle_one": "median+iso"},
        }

    said = (
        "method: expected a name of this package, got {!r}, which stands for 'median' in mergekit and peft and "
        "'median+iso' in fusionbench; write 'median', or cm.preset('median', 'mergekit') to compute as mergekit does"
    )
    try:
        assert called_elsewhere(" MIDDLE-ONE ") == {"median": ["mergekit", "peft"], "median+iso": ["fusionbench"]}
        assert called_elsewhere("middle") == called_elsewhere("median") == {}
        for written in ("middle_one", "Middle-One"):
            assert str(unknown_stage(written)) == said.format(written)
    finally:
        del STAGES["median"]


def test_names_that_no_project_has_are_answered_with_all_there_are() -> None:
    said = f"method: expected stages among {', '.join(sorted(STAGES))}, got "
    assert str(unknown_stage("qqqqqq")) == said + "'qqqqqq'"
    assert str(unknown_stage("tsw")) == said + "'tsw'; did you mean 'tsv'?"


def test_parameters_that_a_stage_does_not_have() -> None:
    class Spelled:
        spelled: ClassVar = {"bulk": "size"}

    known = {"size": 1, "other": 2}
    said = "expected a parameter among size, other, got "
    assert unknown_parameter(Spelled, "bulk", known) == said + "'bulk'; write size"
    for stage in (Spelled, object):
        assert unknown_parameter(stage, "sice", known) == said + "'sice'; did you mean 'size'?"
        assert unknown_parameter(stage, "qqqqqq", known) == said + "'qqqqqq'"
    assert unknown_parameter(object, "bulk", {}) == "expected a parameter among none, got 'bulk'"


def test_a_spelling_that_is_near_is_asked_back() -> None:
    with pytest.raises(cm.ParameterError, match=r"got 'TSV'; did you mean 'tsv'\?"):
        cm.merge(UPDATES, "TSV")
    with pytest.raises(cm.ParameterError, match=r"got 'cor'; did you mean 'core'\?"):
        cm.merge(UPDATES, space="cor")


@pytest.mark.parametrize(
    ("keyword", "says"), [("rank", "truncate"), ("alpha", "scale"), ("density", "cm.Ties(density=…)"), ("k", "cm.Tsv")]
)
def test_arguments_that_are_none_say_what_to_write(keyword: str, says: str) -> None:
    for call in (
        cm.merge,
        lambda u, **kw: cm.merge_adapters({"q": u}, **kw),
        lambda u, **kw: cm.prepare(u).merge(**kw),
    ):
        with pytest.raises(cm.ParameterError) as caught:
            call(UPDATES, **{keyword: 0.5})
        assert repr(keyword) in str(caught.value)
        assert says in str(caught.value)


INSTEAD = {
    "rank": "cut the result, with .truncate(rank)",
    "alpha": "α of the merged update is scale; alpha / r of an input is the scale of its LowRankUpdate",
    "lambda_": "write scale",
    "weight": "write weights",
    "dtype": "write out_dtype, or compute_dtype for the arithmetic",
    "combination_type": "write method",
    "basis": "write space=cm.Core(basis=…)",
    "secnd": "did you mean 'second'?",
    "coefficient": "parameters go with their method, cm.Cart(coefficient=…)",
}


def test_a_function_says_what_arguments_it_has() -> None:
    """A function of ours, decorated here: those of the package were when it was imported."""

    @explains_arguments
    def blend(self: int, first: int, second: int = 2) -> tuple[int, ...]:
        return (self, first, second)

    assert (blend(1, 0), blend(1, first=3, second=4)) == ((1, 0, 2), (1, 3, 4))
    said = "blend: expected arguments among first, second, got {!r}; {}"
    for name, instead in INSTEAD.items():
        with pytest.raises(cm.ParameterError) as caught:
            blend(1, 2, **{name: 3})
        assert str(caught.value) == said.format(name, instead)
    with pytest.raises(cm.ParameterError, match=r"got 'qqqqqq'$"):
        blend(1, 2, qqqqqq=3)
    with pytest.raises(cm.ParameterError, match=r"method, cm\.\w+\(density=…\), cm\.\w+\(density=…\)"):
        blend(1, 2, density=3)
