"""Checks of a method's manners: parameters, errors, names, copies."""

import pickle
from dataclasses import fields, replace
from itertools import product
from typing import Any

import numpy as np

import coremerge_ref
from coremerge_ref.analysis.explain import Explanation
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.registering import register
from coremerge_ref.core.stages import EQUIVARIANCES, KINDS, STAGES, Stage
from coremerge_ref.errors import CoreMergeError
from coremerge_ref.methods.base import ONE_SPACE, Search
from coremerge_ref.methods.dialects import DIALECTS, preset
from coremerge_ref.testing.checks.claims import size_free
from coremerge_ref.testing.checks.samples import apply, matrices, merged, updates
from coremerge_ref.testing.checks.table import check


@check
def check_nothing_is_mutated(stage: Stage) -> None:
    """Inputs may be read-only and are the same afterwards; so is the stage."""
    given, before = updates(), repr(stage)
    copies = [(u.B.copy(), u.A.copy()) for u in given]
    for u in given:
        u.B.flags.writeable = u.A.flags.writeable = False
    merged(stage, given)
    merged(stage, given, space="full")
    for u, (B, A) in zip(given, copies, strict=True):
        np.testing.assert_array_equal(u.B, B)
        np.testing.assert_array_equal(u.A, A)
    assert repr(stage) == before, "merging changes the stage's parameters"
    M = matrices()
    M.flags.writeable = False
    apply(stage, M)


@check
def check_pickles(stage: Stage) -> None:
    """A copy by pickle, as processes are sent, is equal and merges alike; so is one made of the parameters."""
    copy = pickle.loads(pickle.dumps(stage))
    assert copy == stage, "its pickled copy is another stage"
    assert type(stage)(**stage.parameters) == stage, "its parameters make another stage"
    np.testing.assert_array_equal(merged(copy), merged(stage), "its pickled copy merges otherwise")


@check
def check_found_by_name(stage: Stage) -> None:
    """Registered, it is used by its name in pipelines, with its parameters."""
    before = dict(STAGES)
    try:
        register(type(stage))
        pipeline = Pipeline.parse(stage.name, {stage.name: stage.parameters})
    finally:
        STAGES.clear()
        STAGES.update(before)
    assert stage in pipeline.stages, f"its name {stage.name!r} stands for another stage"


@check
def check_documented(stage: Stage) -> None:
    """It has a docstring that names every parameter, a source, a kind and a claim."""
    text = type(stage).__doc__ or ""
    assert text.strip(), "it has no docstring"
    assert not text.startswith(f"{type(stage).__name__}("), "it has no docstring"
    missing = [field.name for field in fields(stage) if field.name not in text]  # type: ignore[arg-type]
    assert not missing, f"its docstring does not say what {', '.join(missing)} is"
    assert stage.source, "source is empty: name the paper or project that defines it"
    assert stage.kind in KINDS, f"kind: expected one of {', '.join(KINDS)}, got {stage.kind!r}"
    assert stage.equivariance in EQUIVARIANCES, f"equivariance: got {stage.equivariance!r}"


BAD: dict[type, tuple[Any, ...]] = {
    float: ("high", float("nan"), float("inf"), None, True, [0.5]),
    int: ("many", 1.5, None, [1]),
    str: ("no such choice", 3, None),
    bool: ("perhaps", None),
}


@check
def check_refuses_bad_parameters(stage: Stage) -> None:
    """Each number and choice refuses what is none in one line that names it, when it is set or at the latest used."""
    for field in fields(stage):  # type: ignore[arg-type]
        for value in BAD.get(type(field.default), ("nonsense",)):
            if field.default is None and value is None:
                continue
            label = f"{stage.name}({field.name}={value!r})"
            try:
                merged(replace(stage, **{field.name: value}))  # type: ignore[type-var]
            except CoreMergeError as error:
                text = str(error)
                assert "\n" not in text, f"{label}: its message has several lines"
                assert field.name in text, f"{label}: its message does not name the parameter: {text}"
                assert "expected" in text, f"{label}: its message does not say what was expected: {text}"
            except Exception as error:
                raise AssertionError(f"{label}: {type(error).__name__} instead of a ParameterError: {error}") from error
            else:
                raise AssertionError(f"{label}: it is accepted; check it in __post_init__")


@check
def check_takes_numbers_of_any_type(stage: Stage) -> None:
    """NumPy's numbers serve as Python's do."""
    for field in fields(stage):  # type: ignore[arg-type]
        value = getattr(stage, field.name)
        if type(value) not in (int, float):
            continue
        numpy_number = np.int64(value) if isinstance(value, int) else np.float32(value)
        copy, plain = (
            replace(stage, **{field.name: number})  # type: ignore[type-var]
            for number in (numpy_number, type(value)(numpy_number))
        )
        assert copy == plain, f"{field.name}={numpy_number!r} is not {value!r}"
        assert type(getattr(copy, field.name)) is type(value), f"{field.name} stays a {type(numpy_number).__name__}"


@check
def check_dialects_and_searches(stage: Stage) -> None:
    """Its rows for dialects and for `compare` name methods, parameters and values that exist."""
    before = dict(STAGES)
    try:
        register(type(stage))
        unknown = {*stage.dialects, *stage.company} - {*DIALECTS}
        assert not unknown, f"dialects: expected names among {', '.join(DIALECTS)}, got {', '.join(sorted(unknown))}"
        for dialect in DIALECTS:
            preset(stage.name, dialect)
            for other in stage.company.get(dialect, {}):
                preset(f"{stage.name}+{other}", dialect)
        for search in stage.searches:
            assert isinstance(search, Search), f"searches: expected Search(…), got {search!r}"
            _check_search(search)
    finally:
        STAGES.clear()
        STAGES.update(before)


def _check_search(search: Search) -> None:
    for grid in (search.grid, {**search.grid, **search.choices}):
        axes = [[(owner, k, v) for v in values] for owner, given in grid.items() for k, values in given.items()]
        for chosen in product(*axes):
            parameters: dict[str, dict[str, Any]] = {owner: {} for owner, _, _ in chosen}
            for owner, name, value in chosen:
                parameters[owner][name] = value
            pipeline = Pipeline.parse(search.method, parameters)
            if search.spaces == ONE_SPACE:
                depends = [str(one) for one in pipeline.stages if not size_free(one)]
                assert not depends, (
                    f"{search.method} is searched in one space, and sizes matter to {', '.join(depends)}"
                )


@check
def check_explained(stage: Stage) -> None:
    """`explain` has a verdict on it, and calls it estimated where it has no error theory."""
    found = coremerge_ref.explain(updates(), Pipeline([stage]))
    assert isinstance(found, Explanation)
    assert found.verdict in ("well-posed", "sensitive", "ill-posed"), f"explain says {found.verdict!r}"
    assert found.bound.relative >= 0, "explain gives no bound"
