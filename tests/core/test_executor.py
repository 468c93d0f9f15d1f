"""merge_adapters on executors: the same results to rounding and the same masks, wherever and however it runs."""

import multiprocessing
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.core import batches
from coremerge_ref.core.stages import STAGES

METHODS = [*sorted(STAGES), "dare+ties+iso"]


def doubled(M):
    return 2 * M.sum(axis=0)


class Recorder(Executor):
    """Runs at once and keeps what was submitted."""

    def __init__(self):
        self.submitted = []

    def submit(self, function, /, *args, **kwargs):
        self.submitted.append((function, args))
        future = Future()
        future.set_result(function(*args, **kwargs))
        return future


@pytest.fixture(scope="module")
def threads():
    with ThreadPoolExecutor(3) as executor:
        yield executor


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.fixture(scope="module")
def dask():
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
        client.get_executor() as executor,
    ):
        yield executor


@pytest.fixture(params=["threads", "processes", "dask"])
def executor(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def small_chunks(monkeypatch):
    """Two layers of the model below in a piece."""
    monkeypatch.setattr(batches, "CHUNK_BYTES", 2 * 8 * 7 * (12 + 10))


def model(tasks=3):
    """Five layers of one shape, two of another, one that a task lacks; ranks and scales differ."""
    rng = np.random.default_rng(7)

    def layer(m, n, missing=None):
        ranks = [2, 3, 2, 1][:tasks]
        made = [
            cm.LowRankUpdate(rng.standard_normal((m, r)), rng.standard_normal((r, n)), 0.5 * (t + 1))
            for t, r in enumerate(ranks)
        ]
        return [None if t == missing else u for t, u in enumerate(made)]

    layers = {f"q{i}": layer(12, 10) for i in range(5)}
    layers |= {f"k{i}": layer(6, 9) for i in range(2)}
    return layers | {"odd": layer(12, 10, missing=1)}


def close(ours, theirs):
    assert list(ours) == list(theirs)
    for name in ours:
        a, b = ours[name].to_dense(), theirs[name].to_dense()
        assert np.linalg.norm(a - b) <= 1e-12 * np.linalg.norm(b), name


@pytest.mark.parametrize("method", METHODS)
def test_results_do_not_depend_on_the_executor(executor, method, small_chunks):
    layers = model()
    ours = cm.merge_adapters(layers, method, executor=executor)
    close(ours, cm.merge_adapters(layers, method))


@pytest.mark.parametrize("space", ["core", "knots", "full"])
def test_in_every_space(executor, space, small_chunks):
    layers = model()
    close(
        cm.merge_adapters(layers, "dare+ties", space, weights=[1, -2, 0.5], executor=executor),
        cm.merge_adapters(layers, "dare+ties", space, weights=[1, -2, 0.5]),
    )


def test_stages_that_look_at_the_whole_model(executor, small_chunks):
    layers, method = model(), cm.Ties(scope="model", density=0.3)
    close(cm.merge_adapters(layers, method, executor=executor), cm.merge_adapters(layers, method))


def test_masks_are_the_same_whatever_the_executor_the_batching_and_the_order(executor, monkeypatch):
    layers, method = model(), cm.Dare(drop=0.5, seed=3)
    expected = {name: cm.merge_adapters({name: u}, method)[name].to_dense() for name, u in layers.items()}
    for chunk_bytes in (1, 10**4, 10**9):
        monkeypatch.setattr(batches, "CHUNK_BYTES", chunk_bytes)
        for order in (list(layers), list(layers)[::-1]):
            merged = cm.merge_adapters({name: layers[name] for name in order}, method, executor=executor)
            assert list(merged) == order
            for name, update in merged.items():
                assert np.linalg.norm(update.to_dense() - expected[name]) <= 1e-12 * np.linalg.norm(expected[name])


def test_each_piece_of_a_group_is_one_task_submitted(small_chunks):
    recorder = Recorder()
    cm.merge_adapters(model(), "tsv", executor=recorder)
    pieces = [args[0] for _, args in recorder.submitted]
    assert pieces == [["q0", "q1"], ["q2", "q3"], ["q4"], ["k0", "k1"], ["odd"]]


def test_frames_are_found_by_the_workers_where_a_stage_looks_at_the_whole_model(small_chunks):
    recorder = Recorder()
    cm.merge_adapters(model(), cm.Ties(scope="model"), executor=recorder)
    assert [args[0] for _, args in recorder.submitted] == [["q0", "q1"], ["q2", "q3"], ["q4"], ["k0", "k1"], ["odd"]]


def test_an_executor_that_is_shut_down_says_so():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        cm.merge_adapters(model(), "ta", executor=executor)


def test_a_piece_is_at_least_one_layer(monkeypatch):
    monkeypatch.setattr(batches, "CHUNK_BYTES", 1)
    recorder = Recorder()
    cm.merge_adapters(model(), "tsv", executor=recorder)
    assert [args[0] for _, args in recorder.submitted] == [
        [name] for name in ["q0", "q1", "q2", "q3", "q4", "k0", "k1", "odd"]
    ]


def test_masks_that_were_passed_in_keep_the_shape_of_their_batch(small_chunks):
    layers = {name: updates for name, updates in model().items() if name.startswith("q")}
    masks = np.random.default_rng(0).random((3, 5, 7, 7)) < 0.5
    recorder = Recorder()
    merged = cm.merge_adapters(layers, cm.Dare(masks=masks), executor=recorder)
    assert len(recorder.submitted) == 1
    close(merged, cm.merge_adapters(layers, cm.Dare(masks=masks)))


def test_functions_at_the_top_level_of_a_module_go_everywhere(executor):
    layers = model()
    close(cm.merge_adapters(layers, doubled, executor=executor), cm.merge_adapters(layers, "ta", scale=2))


def test_functions_that_do_not_pickle_stay_here(threads, processes):
    layers = model()
    by_lambda = cm.merge_adapters(layers, lambda M: 2 * M.sum(axis=0), executor=threads)
    close(by_lambda, cm.merge_adapters(layers, "ta", scale=2))
    with pytest.raises(cm.ParameterError, match=r"ProcessPoolExecutor cannot send method 'custom'.*top level"):
        cm.merge_adapters(layers, lambda M: M.sum(axis=0), executor=processes)


def test_the_errors_of_a_function_are_its_own(threads):
    def broken(M):
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        cm.merge_adapters(model(), broken, executor=threads)


def test_errors_of_workers_arrive(executor):
    with pytest.raises(cm.ShapeError, match=r"dare\.masks"):
        cm.merge_adapters(model(), cm.Dare(masks=np.ones((1, 1), bool)), executor=executor)


def test_mistakes_are_found_before_anything_is_submitted():
    layers, recorder = model(), Recorder()
    layers["q3"][1] = cm.LowRankUpdate(np.full((12, 3), np.nan), np.ones((3, 10)))
    with pytest.raises(cm.NonFiniteError, match="q3"):
        cm.merge_adapters(layers, "tsv", executor=recorder)
    assert not recorder.submitted


def test_no_layers_is_no_work():
    assert cm.merge_adapters({}, "tsv", executor=Recorder()) == {}
