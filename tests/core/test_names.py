"""Names that other projects use are answered with ours, from what the methods say of themselves."""

import inspect
from dataclasses import dataclass
from typing import ClassVar, get_args, get_type_hints

import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.core.names import called_elsewhere
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
