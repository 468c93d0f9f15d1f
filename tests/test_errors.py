"""Every error of the numerical core, held to its parts: what was expected, what came, where, and what to do."""

import re
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from said import parts

import coremerge_ref as cm
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.methods import STAGES
from coremerge_ref.methods.base import Stage

B, A = np.arange(6.0).reshape(3, 2), np.arange(8.0).reshape(2, 4)
BATCH = np.ones((2, 3, 2)), np.ones((2, 2, 4))
WHOLE = np.ones((3, 2), dtype=int)
FLOATS = "expected … float16, bfloat16, float32, float64 … got"
ARGUMENTS = "updates, method, space, scale, weights, compute_dtype, out_dtype, names"
NAN = np.array([[1.0, np.nan], [0.0, 1.0], [2.0, 3.0]])
HUGE = np.full((2, 2), 1e200)
FINITE = "expected finite numbers … got NaN or Inf … where …"


def strict(array: Any, device: str = "CPU_DEVICE") -> Any:
    xp = pytest.importorskip("array_api_strict")
    return xp.asarray(array, device=xp.Device(device))


class Idle(Stage):
    name: ClassVar[str] = "idle"
    kind: ClassVar[str] = "merge"


@dataclass
class Refusing(Executor):
    """Says what executors say that cannot pickle what they are to send."""

    words: str

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        future.set_exception(AttributeError(self.words))
        return future


def merge(*pairs: Any, method: Any = "ta", **options: Any) -> Callable[[], Any]:
    return lambda: cm.merge(list(pairs) or [(B, A), (B, A)], method, **options)


def layers(given: Any, method: Any = "ta", **options: Any) -> Callable[[], Any]:
    return lambda: cm.merge_adapters(given, method, **options)


CASES: dict[str, list[tuple[str, Callable[[], Any]]]] = {
    "ParameterError": [
        ("scale: expected … number … got '2'", merge(scale="2")),
        ("scale: expected … number … got [2.0]", merge(scale=[2.0])),
        (
            "compressed.rank: expected … integer … 1 … rank … result … got 0 … cm.Compressed(16) … compressed.rank=16",
            lambda: cm.Compressed(0),
        ),
        ("compressed.beta: expected … number … 0 … 1 … got 2", lambda: cm.Compressed(4, 2)),
        (
            "expected … sequence … updates … got a mapping … 'a' … list(updates.values()) … merge_adapters …",
            lambda: cm.merge({"a": [(B, A)]}),
        ),
        (
            "expected … sequence … updates … pairs (B, A) … task … got ndarray",
            lambda: cm.merge(np.ones((2, 2))),
        ),
        (
            "expected … sequence … updates … pairs (B, A) … task … got LowRankUpdate … [update] … task",
            lambda: cm.merge(cm.LowRankUpdate(B, A)),
        ),
        ("expected … update … got an empty sequence", lambda: cm.merge([])),
        (
            f"merge: expected arguments … {ARGUMENTS} … got 'rank' … .truncate(rank)",
            merge(rank=8),
        ),
        (
            f"merge: expected arguments … {ARGUMENTS} … got 'metod' … 'method'?",
            merge(metod="ta"),
        ),
        ("expected … mapping … layer names … updates … got list", layers([[(B, A)]])),
        (
            "layer 'k': expected 2 entries … task … layer 'q' … got 1 … None … task …",
            layers({"q": [(B, A), (B, A)], "k": [(B, A)]}),
        ),
        ("executor: expected … concurrent.futures executor … got int", layers({"q": [(B, A)]}, executor=3)),
        ("scale: expected … finite number … got inf", merge(scale=float("inf"))),
        ("compute_dtype: expected … float32, float64 … got 'float16'", merge(compute_dtype="float16")),
        (
            "space: expected … full, knots, core, compressed or a space object … got 'hull' … 'full'?",
            merge(space="hull"),
        ),
        ("Core: basis: expected … paper, tucker … got 'svd'", lambda: cm.Core("svd")),
        (
            "Knots: scaled=False … transposed=False …",
            lambda: cm.Knots(transposed=True, scaled=False),
        ),
        (
            f"method: expected stages … {', '.join(sorted(STAGES))} … got 'tie' … 'ties'?",
            merge(method="tie"),
        ),
        (
            "method: expected … got 'dare_ties' … peft and mergekit … 'dare+ties' … cm.preset('dare+ties', 'peft') …",
            merge(method="dare_ties"),
        ),
        ("method: expected … names … objects … function … got 3", merge(method=3)),
        (
            "method 'ta+ties': expected transforms … merge … posts … got merge, merge",
            merge(method="ta+ties"),
        ),
        (
            "method 'iso+ta+dare': expected transforms … merge … posts … got post, merge, transform",
            merge(method="iso+ta+dare"),
        ),
        (
            "dare: expected … parameter … drop, seed, masks, rescale … got 'p' …",
            lambda: Pipeline.parse("dare+ta", {"dare": {"p": 1, "seed": 2, "q": 3}}),
        ),
        (
            "parameters for 'dare', 'iso': expected stages … 'ta' … none",
            lambda: Pipeline.parse("ta", {"dare": {}, "iso": {}}),
        ),
        ("weights: expected … sequence … 2 numbers … got 'ab'", merge(weights="ab")),
        ("weights: expected … sequence … 2 numbers … got 3", merge(weights=3)),
        ("weights: expected 2 numbers … task … got 3", merge(weights=[1, 2, 3])),
        ("weights: expected finite numbers … got (1.0, nan)", merge(weights=[1, float("nan")])),
        (
            "mean: expected … sum … 0 … got (1.0, -1.0) …",
            merge(method="mean", weights=[1, -1]),
        ),
        ("rank: expected … integer … 0 … got -1", lambda: cm.LowRankUpdate(B, A).truncate(-1)),
        ("rank: expected … integer … 0 … got 1.5", lambda: cm.DenseUpdate(B @ A).truncate(1.5)),
        ("task 1: expected … LowRankUpdate … pair (B, A) … got tuple", merge((B, A), (B, A, 1, 2))),
        ("layer 'q', task 0: expected … LowRankUpdate … pair (B, A) … got int", layers({"q": [3]})),
        ("layer 'q', expected … update … got None for each of 2 tasks", layers({"q": [None, None]})),
        ("stage Idle: … apply … __call__", merge(method=Idle())),
        (
            "merge function: expected … result … shape (3, 4) … shape (2, 3, 4) … got (3,)",
            merge(method=lambda M: M.sum(axis=(0, 2)), space="full"),
        ),
        (
            "merge function: expected … result … shape (3, 4) … shape (2, 3, 4) … got ()",
            merge(method=lambda M: None, space="full"),
        ),
        ("weights: expected finite numbers … got (1.0, inf)", merge(method=cm.Ta(weights=(1, float("inf"))))),
        ("dare.drop: expected … number … 0 … 1 … got 1", lambda: cm.Dare(drop=1)),
        ("dare.drop: expected … number … 0 … 1 … got '0.5'", lambda: cm.Dare(drop="0.5")),
        ("dare.drop: expected … number … 0 … 1 … got -0.1", lambda: cm.Dare(drop=-0.1)),
        ("dare.seed: expected … integer … got 1.0", lambda: cm.Dare(seed=1.0)),
        ("dare.seed: expected … integer … got True", lambda: cm.Dare(seed=True)),
        ("dare.rescale: expected … inverse, l1, none … got 'l2'", lambda: cm.Dare(rescale="l2")),
        ("trim.density: expected … number … 0 … 1 … got 0", lambda: cm.Trim(density=0)),
        ("trim.density: expected … number … 0 … 1 … got 1.1", lambda: cm.Trim(density=1.1)),
        ("trim.density: expected … number … 0 … 1 … got None", lambda: cm.Trim(density=None)),
        ("trim.keep: expected … threshold, exact … got 'most'", lambda: cm.Trim(keep="most")),
        ("trim.scope: expected … tensor, model … got 'row'", lambda: cm.Trim(scope="row")),
        ("ties.density: expected … number … 0 … 1 … got nan", lambda: cm.Ties(density=float("nan"))),
        ("ties.keep: expected … threshold, exact … got 'most'", lambda: cm.Ties(keep="most")),
        ("ties.scope: expected … tensor, model … got 'row'", lambda: cm.Ties(scope="row")),
        ("ties.elect: expected … mass, count … got 'vote'", lambda: cm.Ties(elect="vote")),
        ("ties.zero_sign: expected … majority, positive … got 'none'", lambda: cm.Ties(zero_sign="none")),
        ("ties.aggregate: expected … mean, sum … got 'max'", lambda: cm.Ties(aggregate="max")),
        ("ties.weight_order: expected … after, before … got 'never'", lambda: cm.Ties(weight_order="never")),
        ("ties.divisor: expected … count, weight … got 'T'", lambda: cm.Ties(divisor="T")),
        ("trim.density: expected … number … 0 … 1 … got '0.5'", lambda: cm.Trim(density="0.5")),
        ("dare.drop: expected … number … 0 … 1 … got nan", lambda: cm.Dare(drop=float("nan"))),
        ("dare.seed: expected … integer … got None", lambda: cm.Dare(seed=None)),
        ("iso.support: expected … rank, size … got 'size of'", lambda: cm.Iso("size of")),
        ("cart.k: expected … integer … 1 … None … got -1", lambda: cm.Cart(k=-1)),
        ("tsv.k: expected … integer … 1 … None … got 0", lambda: cm.Tsv(k=0)),
        ("tsv.k: expected … integer … 1 … None … got True", lambda: cm.Tsv(k=True)),
        ("tsv.k: expected … integer … 1 … None … got 2.0", lambda: cm.Tsv(k=2.0)),
        ("cart.k: expected … integer … 1 … None … got 0", lambda: cm.Cart(k=0)),
        ("cart.fraction: expected … number … 0 … 1 … got 2", lambda: cm.Cart(fraction=2)),
        ("cart.rounding: expected … ceil, floor … got 'round'", lambda: cm.Cart(rounding="round")),
        ("cart.coefficient: expected … finite number … got inf", lambda: cm.Cart(coefficient=float("inf"))),
        ("cart.coefficient: expected … finite number … got '1'", lambda: cm.Cart(coefficient="1")),
        (
            "iso_cts.common_fraction: expected … number … 0 … 1 … got 0",
            lambda: cm.IsoCts(common_fraction=0),
        ),
        ("iso_cts.rounding: expected … round, floor … got 'ceil'", lambda: cm.IsoCts(rounding="ceil")),
        ("drm.direction: expected … horizontal, vertical … got 'both'", lambda: cm.Drm(direction="both")),
        ("drm.drop: expected … number … 0 … 1 … got 1", lambda: cm.Drm(drop=1)),
        ("drm.drop: expected … number … 0 … 1 … got -1", lambda: cm.Drm(drop=-1)),
        ("drm.drop: expected … number … 0 … 1 … got ''", lambda: cm.Drm(drop="")),
        ("drm.rank_cut: expected … number … 0 … 1 … got 1", lambda: cm.Drm(rank_cut=1)),
        ("drm.rank_cut: expected … number … 0 … 1 … got -1", lambda: cm.Drm(rank_cut=-1)),
        ("drm.rank_cut: expected … number … 0 … 1 … got ''", lambda: cm.Drm(rank_cut="")),
    ],
    "ShapeError": [
        ("factor B: expected … 2 dimensions … got shape (3,)", lambda: cm.LowRankUpdate(np.ones(3), A)),
        ("factor A: expected … 2 dimensions … got shape ()", lambda: cm.LowRankUpdate(B, np.array(1.0))),
        (
            "expected B (…, m, r) … A (…, r, n) … got B (3, 2) and A (3, 2); … A … B transposed?",
            lambda: cm.LowRankUpdate(B, B),
        ),
        (
            "expected B (…, m, r) … A (…, r, n) … got B (2, 3, 2) and A (2, 4); … A … B transposed?",
            lambda: cm.LowRankUpdate(BATCH[0], A),
        ),
        ("expected … 1 … got B (0, 2) and A (2, 4)", lambda: cm.LowRankUpdate(B[:0], A)),
        ("expected … 1 … got B (3, 2) and A (2, 0)", lambda: cm.LowRankUpdate(B, A[:, :0])),
        ("scale: expected … number … shape (2,) … got shape (3,)", lambda: cm.LowRankUpdate(*BATCH, np.ones(3))),
        ("task 2: expected shape (3, 4) … task 1 … got (3, 3)", merge(None, (B, A), (B, A[:, :3]))),
        (
            "layer 'q', task 1: expected shape (3, 4) … task 0 … got (2, 4)",
            layers({"q": [(B, A), (B[:2], A)]}),
        ),
        ("task 0: factor B: expected … 2 dimensions … got shape (3,)", merge((np.ones(3), A))),
        (
            "layer 'q': expected updates … shape (m, n) … got (2, 3, 4) … layer … batch",
            layers({"q": [None, BATCH]}),
        ),
        (
            "names: expected 2 … layer … batch (2,) … got 'ab'",
            merge(BATCH, names="ab"),
        ),
        ("names: expected 2 … layer … batch (2,) … got ['a']", merge(BATCH, names=["a"])),
        (
            "dare.masks: expected boolean (2, 3, 4), (T, …, p, q) … got (2, 3)",
            merge(method=cm.Dare(masks=np.ones((2, 3), dtype=bool)), space="full"),
        ),
    ],
    "DTypeError": [
        (f"factor B: {FLOATS} int64 … cast …", lambda: cm.LowRankUpdate(WHOLE, A)),
        (f"factor A: {FLOATS} complex128 … cast …", lambda: cm.LowRankUpdate(B, A + 0j)),
        (f"task 1: factor B: {FLOATS} int64 … cast …", merge((B, A), (WHOLE, A))),
        (f"layer 'q', task 0: factor B: {FLOATS} int64 … cast …", layers({"q": [(WHOLE, A)]})),
        ("expected … float16, float32, float64 … got 'float8'", merge(out_dtype="float8")),
        (
            "expected … float32, float64 … got 'float16'",
            lambda: cm.merge([(strict(B), strict(A))], "ta", out_dtype="float16"),
        ),
    ],
    "NonFiniteError": [
        (f"task 0, factor B: {FINITE}", merge((NAN, A))),
        (f"task 1, factor A: {FINITE}", merge((B, A), (B, A + np.inf))),
        (f"layer 'q', task 0, factor B: {FINITE}", layers({"q": [(NAN, A)]})),
        (f"task 1, scale: {FINITE}", merge((B, A), cm.LowRankUpdate(B, A, float("nan")))),
        (
            f"product B A in float64 … range … scale … {FINITE}",
            merge((HUGE, HUGE)),
        ),
    ],
    "NamespaceError": [
        (
            "expected arrays … library … got array_api_strict.Array, numpy.ndarray … convert …",
            lambda: cm.LowRankUpdate(B, strict(A)),
        ),
        (
            "task 1 beside task 0: expected arrays … library … got array_api_strict.Array, numpy.ndarray … convert …",
            lambda: cm.merge([(B, A), (strict(B), strict(A))], "ta"),
        ),
        (
            "layer 'q', task 1 beside task 0: … library … got array_api_strict.Array, numpy.ndarray … convert …",
            lambda: cm.merge_adapters({"q": [(B, A), (strict(B), strict(A))]}, "ta"),
        ),
        (
            "task 0: expected arrays … library … got builtins.list … convert …",
            merge(([[1.0]], [[1.0]])),
        ),
        (
            "expected … device … array_api_strict.Device('CPU_DEVICE'), array_api_strict.Device('device1') … move …",
            lambda: cm.LowRankUpdate(strict(B), strict(A, "device1")),
        ),
    ],
}


@pytest.mark.parametrize("kind", CASES)
def test_errors_say_what_was_expected_what_came_and_where(kind: str) -> None:
    for text, call in CASES[kind]:
        with pytest.raises(getattr(cm, kind)) as caught:
            call()
        assert re.fullmatch(parts(text), str(caught.value)), f"{text}\n{caught.value}"


@pytest.mark.parametrize("words", ["cannot pickle it", "Could not serialize it", "it is a local object"])
def test_executors_that_cannot_send_a_function_say_what_to_do(words: str) -> None:
    with pytest.raises(cm.ParameterError) as caught:
        cm.merge_adapters({"q": [(B, A)]}, lambda M: M.sum(axis=0), executor=Refusing(words))
    cause = str(caught.value.__cause__)
    said = f"executor: Refusing … method 'custom' … {cause} … top level … ThreadPoolExecutor"
    assert re.fullmatch(parts(said), str(caught.value)), str(caught.value)


def test_other_errors_of_workers_stay_what_they_are() -> None:
    with pytest.raises(AttributeError, match=r"^no such thing$"):
        cm.merge_adapters({"q": [(B, A)]}, lambda M: M.sum(axis=0), executor=Refusing("no such thing"))
    with pytest.raises(AttributeError, match=r"^it pickles$"):
        cm.merge_adapters({"q": [(B, A)]}, "ta", executor=Refusing("it pickles"))
