"""What explain returns, in all its forms, for all that merge takes."""

import io
import json
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from backends import Backend
from first import First
from rich.console import Console

import coremerge_ref as cm
from coremerge_ref.analysis.explain.explanation import LOOSE, Bound, Explanation
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.perturbation.carried import Errors, Margin, Spectrum
from coremerge_ref.testing import Recipe

METHODS = ["ta", "mean", "tsv", "cart", "iso", "iso_cts", "trim", "dare", "ties", "drm", "dare+ties+iso"]


def pairs_of(**kwargs: object) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(s * B, A) for B, A, s in Recipe(**kwargs).build()]


def text_of(shown: object) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(shown)
    return out.getvalue()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("space", ["core", "knots", "full"])
def test_every_method_states_margins_bounds_and_a_reason(method: str, space: str) -> None:
    e = cm.explain(pairs_of(m=9, n=8, ranks=(3, 2)), method, space)
    made = json.loads(json.dumps(e.to_dict(), allow_nan=False))
    assert made["verdict"] == e.verdict
    assert made["bound"]["dtype"] == made["input_bound"]["dtype"] == "float64"
    assert made["live"] == [e.rows, e.cols]
    assert e.margins
    assert all(name in {*method.split("+"), "ta", space, "trim"} for name in (m["stage"] for m in made["margins"]))
    assert e.bound.relative == pytest.approx(e.bound.condition * e.bound.growth * e.bound.eps, rel=1e-9, abs=0)
    text = text_of(e)
    assert e.verdict in text
    assert e.reason.split(";")[0] in text


def test_info_and_live_sizes_are_those_of_merge() -> None:
    pairs = pairs_of(m=9, n=8, ranks=(3, 2), kind="deficient")
    e, update = cm.explain(pairs, "tsv"), cm.merge(pairs, "tsv")
    assert (e.rows, e.cols, e.info["k"]) == (update.info["rows"], update.info["cols"], update.info["k"])


def test_json_holds_all_that_an_explanation_does() -> None:
    bounds = [
        Bound("float64", 2.0**-52, g, 3.0, 4.0 * g, "well-posed", "why", "what to do", "where") for g in (1.0, 0.5)
    ]
    margins = (Margin("ties", "the gap", 0.25, 1, np.inf), Margin("ta", "the sum", np.nan))
    spectra = (Spectrum("core", "[B]", np.array([2.0, 1.0]), 1, 0.5, 0), Spectrum("core", "[A]", np.array([3.0]), 1))
    undecided = np.array([[False, True, False], [True, False, False]])
    e = Explanation("q", "ties", "core", (9, 8), 2, 2, 3, {"k": 2}, *bounds, margins, spectra, undecided, True)
    one = {"dtype": "float64", "eps": 2.0**-52, "condition": 3.0, "verdict": "well-posed", "reason": "why",
           "remedy": "what to do", "discontinuity": "where"}  # fmt: skip
    assert e.to_dict() == {
        "layer": "q", "method": "ties", "space": "core", "verdict": "well-posed", "reason": "why", "shape": [9, 8],
        "tasks": 2, "live": [2, 3], "info": {"k": 2}, "estimated": True, "undecided": [[0, 1], [1, 0]],
        "bound": {**one, "growth": 1.0, "relative": 4.0}, "input_bound": {**one, "growth": 0.5, "relative": 2.0},
        "margins": [
            {"stage": "ties", "what": "the gap", "value": 0.25, "task": 1, "amplifies": None},  # infinite
            {"stage": "ta", "what": "the sum", "value": None, "task": None, "amplifies": 0.0},
        ],
        "spectra": [
            {"stage": "core", "what": "[B]", "values": [2.0, 1.0], "kept": 1, "cut": 0.5, "task": 0},
            {"stage": "core", "what": "[A]", "values": [3.0], "kept": 1, "cut": None, "task": None},
        ],
        "narrower_zeros": {},
    }  # fmt: skip
    assert replace(e, undecided=None).to_dict()["undecided"] is None
    assert replace(e, undecided=undecided & False).to_dict()["undecided"] == []


def nearly_a_copy(seed: int = 0) -> list[Any]:
    """Three tasks of rank 3, 40 × 30, in float32: the columns of the last are 3e-7 off those of the first."""
    rng = np.random.default_rng(seed)
    a, b = ((rng.standard_normal((40, 3)), rng.standard_normal((3, 30))) for _ in range(2))
    c = a[0] * (1 + 3e-7 * rng.standard_normal(a[0].shape)), a[1]
    return [tuple(X.astype(np.float32) for X in pair) for pair in (a, b, c)]


@pytest.mark.parametrize("space", ["core", "knots", cm.Core(basis="paper"), cm.Core(basis="tucker"), "full"])
def test_directions_that_a_frame_takes_for_zero_in_float32_alone_are_counted(space: Any) -> None:
    pairs = nearly_a_copy()
    e = cm.explain(pairs, "iso", space, compute_dtype="float32")
    ((title, count),) = e.narrower_zeros.items()
    assert title.endswith("_1 … B_T], columns of norm 1") or "[ΔW_1" in title
    assert count == 3
    if space != "full":
        live = [cm.merge(pairs, "iso", space, compute_dtype=dtype).info["rows"] for dtype in ("float64", "float32")]
        assert live == [9, 6]
    assert cm.explain(pairs, "iso", space).narrower_zeros == {}


def test_singular_values_that_a_stage_takes_for_zero_in_float32_alone_are_counted() -> None:
    """In full space the frame is an identity where entries are looked at: what is left is iso's own zero."""
    D = np.diag([1.0, 1e-7, 1e-9, 0.0]).astype(np.float32)
    eye, other = np.eye(4, dtype=np.float32), np.diag([1.0, 0.0, 0.0, 0.0]).astype(np.float32)
    pairs = [(eye, D), (eye, other)]
    e = cm.explain(pairs, "ties+iso", "full", compute_dtype="float32")
    assert e.narrower_zeros == {"iso: singular values of the merged matrix": 2}


@pytest.mark.parametrize("method", ["tsv", "iso", "ties+iso", "cart", "drm"])
@pytest.mark.parametrize("space", ["core", "full", "knots"])
def test_rounding_is_no_direction_that_float64_would_keep(method: str, space: str) -> None:
    """Tasks of rank 3 in matrices of 40 × 30, a copy among them: float32 leaves 1e-7 where float64 leaves 1e-16."""
    a, b, _ = nearly_a_copy()
    assert cm.explain([a, b, a], method, space, compute_dtype="float32").narrower_zeros == {}


def test_a_sum_takes_nothing_for_zero() -> None:
    assert cm.explain(nearly_a_copy(), "ta", compute_dtype="float32").narrower_zeros == {}
    found = cm.explain({"a": nearly_a_copy(), "b": nearly_a_copy(1)[:2]}, "tsv", compute_dtype="float32")
    assert [bool(e.narrower_zeros) for e in found.values()] == [True, False]


def test_a_mapping_gives_one_explanation_a_layer_and_the_worst_verdict() -> None:
    good, other = pairs_of(m=9, n=8, ranks=(3, 2)), pairs_of(m=7, n=5, ranks=(2, 2))
    bad = [good[0], (-good[0][0] * (1 + 1e-13), good[0][1])]
    found = cm.explain({"a": good, "b": bad, "c": other, "d": [None, *other[1:]]}, "ta")
    assert list(found) == ["a", "b", "c", "d"]
    assert found.verdict == "sensitive"
    assert found.worst is found["b"]
    assert found.reason.startswith("layer 'b': ")
    assert found["a"].to_dict() == {**cm.explain(good, "ta").to_dict(), "layer": "a"}
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["layers"].keys() == {"a", "b", "c", "d"}
    assert text_of(found).startswith(
        "arithmetic: 3 well-posed, 1 sensitive · your float64 inputs: 3 well-posed, 1 sensitive"
    )


def test_a_batch_is_explained_layer_by_layer() -> None:
    batch = [(B, A) for B, A, _ in Recipe(m=6, n=5, ranks=(2, 2), batch=(2, 3)).build()]
    found = cm.explain(batch, "dare+ties", names=list("abcdef"))
    assert list(found) == list("abcdef")
    one = cm.explain([(B[1, 1], A[1, 1]) for B, A in batch], "dare+ties", names=["e"])
    for mine, alone in zip(found["e"].margins, one.margins, strict=True):
        assert (mine.stage, mine.what, mine.task) == (alone.stage, alone.what, alone.task)
        assert mine.value == pytest.approx(alone.value, rel=1e-6)


@pytest.mark.parametrize("method", ["tsv", "ties", "dare+ta+iso"])
def test_more_layers_of_equal_shape_need_few_more_decompositions(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = {f"l{i}": pairs_of(m=6, n=5, ranks=(2, 2), seed=i) for i in range(12)}
    calls = []
    for name in ("svd", "eigvalsh", "qr", "cholesky", "norm"):
        inner = getattr(np.linalg, name)
        monkeypatch.setattr(np.linalg, name, lambda *a, inner=inner, **k: calls.append(1) or inner(*a, **k))
    counts = []
    for n in (6, 12):
        calls.clear()
        cm.explain({name: layers[name] for name in list(layers)[:n]}, method)
        counts.append(len(calls))
    assert 0 < counts[0]
    assert counts[1] - counts[0] < 3 * 6, counts  # a layer's own are its polar factors, left and right


@pytest.mark.parametrize("method", ["tsv", "ties"])
def test_what_layers_of_equal_shape_share_is_computed_once(method: str) -> None:
    """Calls of functions for each layer more: 2,706 and 3,717 took 29 and 39 s for 20,000 layers."""
    layers = {f"l{i}": pairs_of(m=6, n=5, ranks=(2, 2), seed=i) for i in range(12)}
    cm.explain(layers, method)
    counts = []
    for n in (6, 12):
        calls: list[str] = []
        sys.setprofile(lambda frame, event, _: calls.append(event) if event in ("call", "c_call") else None)  # noqa: B023
        cm.explain({name: layers[name] for name in list(layers)[:n]}, method)
        sys.setprofile(None)
        counts.append(len(calls))
    assert 0 < counts[1] - counts[0] < 2500 * 6, counts


@pytest.mark.parametrize("method", ["tsv", "ties", "iso"])
@pytest.mark.parametrize("space", ["core", "knots", cm.Knots(scaled=False)])
def test_layers_of_several_live_sizes_are_explained_as_each_alone(method: str, space: Any) -> None:
    kinds = ("generic", "deficient", "zero", "duplicated", "deficient", "generic")
    layers = {f"l{i}": pairs_of(m=9, n=8, ranks=(3, 2), kind=kind, seed=i) for i, kind in enumerate(kinds)}
    together = cm.explain(layers, method, space)
    assert len({e.rows for e in together.values()}) > 1
    for name, updates in layers.items():
        alone = cm.explain({name: updates}, method, space)[name]
        for mine, own in ((together[name].bound, alone.bound), (together[name].input_bound, alone.input_bound)):
            assert (mine.verdict, mine.dtype) == (own.verdict, own.dtype)
            assert min(mine.relative, LOOSE) == pytest.approx(min(own.relative, LOOSE), rel=1e-6, abs=0)


def test_thresholds_of_the_whole_model_are_explained_together() -> None:
    layers = {name: pairs_of(m=6, n=5, ranks=(2, 2), seed=i) for i, name in enumerate("ab")}
    method = cm.Ties(scope="model")
    together, alone = cm.explain(layers, method, "full"), cm.explain(layers["a"], method, "full")
    gaps = [next(m.value for m in e.margins if m.stage == "trim") for e in (*together.values(), alone)]
    assert gaps[0] == gaps[1] != gaps[2]


def test_tasks_keep_their_numbers_where_one_lacks_the_layer() -> None:
    pairs = pairs_of(m=9, n=8, ranks=(3, 2))
    e = cm.explain([None, *pairs], cm.Tsv(k=1))
    assert e.tasks == 2
    assert {m.task for m in e.margins if m.task is not None} == {1, 2}


def test_all_array_libraries_are_explained_alike(backend: Backend) -> None:
    factors = Recipe(m=7, n=6, ranks=(2, 3)).build()
    expected = cm.explain(cm_updates(factors), "ties").to_dict()
    found = cm.explain(backend.updates(factors), "ties").to_dict()
    assert found == expected


def cm_updates(factors: list) -> list:
    return [cm.LowRankUpdate(B, A, s) for B, A, s in factors]


def test_nothing_is_written_to_the_inputs() -> None:
    pairs = pairs_of(m=7, n=6, ranks=(2, 3))
    before = [(B.copy(), A.copy()) for B, A in pairs]
    cm.explain(pairs, "dare+ties+iso", cm.Knots(scaled=False))
    assert all(np.array_equal(B, C) and np.array_equal(A, D) for (B, A), (C, D) in zip(pairs, before, strict=True))


def test_a_function_is_probed_and_the_bounds_say_so() -> None:
    pairs = pairs_of(m=7, n=6, ranks=(2, 3))
    e = cm.explain(pairs, lambda M: M[0] - M[1], "full")
    assert e.estimated
    assert e.verdict == "well-posed"
    assert "estimates" in text_of(e)
    assert not cm.explain(pairs, "ta").estimated
    e = cm.explain(pairs, lambda M: np.where(M[0] / M[0] + 1e-16 * np.sign(M[1]) >= M[0] / M[0], M[0], -M[1]), "full")
    assert e.estimated
    assert cm.explain(pairs, lambda M: M[0] * np.where((M[0] * 2.0**60) % 3 < 1, 1, -1), "full").verdict == "ill-posed"


def test_a_new_stage_brings_its_own_rule() -> None:
    pairs = pairs_of(m=7, n=6, ranks=(2, 3))
    e = cm.explain(pairs, First())
    assert e.estimated
    assert "moves the result by about" in e.reason
    assert e.reason.endswith("; no bound is known for this method")

    class Told(First):
        def carry(self, errors: Errors, before: Stack, after: Merged) -> Errors:
            errors.margin(self, "nothing to lose", 1.0)
            return errors.merged(float(errors.delta[0]), errors.entry[0], after.M)

    e = cm.explain(pairs, Told())
    assert not e.estimated
    assert e.bound.condition == pytest.approx(cm.explain([pairs[0], None], "ta").bound.condition, rel=0.3)
    assert "nothing to lose" in text_of(e)


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_spectra_are_drawn_with_their_cuts(ending: str, tmp_path: object) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"spectra.{ending}"
    e = cm.explain(pairs_of(m=9, n=8, ranks=(3, 3)), cm.Tsv(k=2))
    figure = e.plot(path)
    assert path.stat().st_size > 1000
    titles = [axes.get_title() for axes in figure.axes]
    assert "tsv: singular values of M_t" in titles
    panel = figure.axes[titles.index("tsv: singular values of M_t")]
    cuts = [line.get_xdata()[0] for line in panel.get_lines() if line.get_linestyle() == "--"]
    assert cuts == [2.5, 2.5 + len(e.spectra[2].values) + 1]  # after the second value of each task
    cm.explain({"a": pairs_of(), "b": pairs_of(seed=1)}, "iso").plot(tmp_path / f"many.{ending}")
    with pytest.raises(cm.ParameterError, match=r"\.png or \.svg"):
        e.plot(tmp_path / "spectra.nothing")


def test_errors_are_those_of_merge() -> None:
    pairs = pairs_of()
    with pytest.raises(cm.ParameterError, match="stages among"):
        cm.explain(pairs, "nothing")
    with pytest.raises(cm.NonFiniteError, match="task 1"):
        cm.explain([pairs[0], (pairs[1][0] * np.nan, pairs[1][1])])
    with pytest.raises(cm.NonFiniteError, match="layer 'b', task 1, factor B"):
        cm.explain({"a": pairs, "b": [pairs[0], (pairs[1][0] * np.nan, pairs[1][1])], "c": pairs})
    with pytest.raises(cm.ShapeError, match="layer 'q', task 1"):
        cm.explain({"q": [pairs[0], (pairs[1][0][1:], pairs[1][1])]})


@pytest.mark.parametrize("space", [cm.Core(), cm.Knots(scaled=False)])
def test_what_no_merge_can_hold_is_not_explained(space: cm.Core | cm.Knots) -> None:
    B, A = np.zeros((3, 1)), np.zeros((1, 2))
    B[0, 0], A[0, 0] = 1e154, 1.2e154
    with pytest.raises(cm.NonFiniteError, match="the merged update: expected numbers within the range of float64"):
        cm.explain([(B, A)] * 2, [cm.Ties(aggregate="sum", density=1.0), cm.Iso()], space)


@pytest.mark.parametrize(("tiny", "dtype"), [(1e-150, "float64"), (1e-17, "float32")])
@pytest.mark.parametrize("method", ["ta", "mean"])
def test_a_sum_is_explained_beside_a_task_too_small_for_its_digits(tiny: float, dtype: str, method: str) -> None:
    large = np.array([[1.0], [2.0]]), np.array([[1.0, 3.0]])
    updates = [large, (np.full((2, 1), tiny), np.full((1, 2), tiny))]
    merged = cm.merge(updates, method, compute_dtype=dtype).to_dense()
    np.testing.assert_allclose(merged, large[0] @ large[1] / (2 if method == "mean" else 1), rtol=1e-15)
    e = cm.explain(updates, method, compute_dtype=dtype)
    assert e.verdict == "well-posed"
    assert 0 < e.bound.relative < 100 * np.finfo(dtype).eps
    with pytest.raises(cm.NonFiniteError, match="product B A: expected numbers within the range"):
        cm.explain(updates, "tsv", compute_dtype=dtype)  # as merge does
    with pytest.raises(cm.NonFiniteError, match="product B A: expected numbers within the range"):
        cm.explain(updates, method, cm.Compressed(1), compute_dtype=dtype)
