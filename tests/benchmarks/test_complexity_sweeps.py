"""The measuring itself: laws fitted, points resumed, pairs timed, tables put into pages."""

import itertools
import math

import needs_scipy  # noqa: F401
import numpy as np
import pytest

import coremerge_ref as cm
from benchmarks import dense, markers
from benchmarks.complexity import fits, projection, sweeps
from benchmarks.complexity.sweeps import Point
from benchmarks.speed import exact, llama
from benchmarks.speed.paired import Paired, paired


def test_a_power_law_is_found_with_its_interval():
    x = [256, 512, 1024, 2048, 4096]
    clean = fits.fit(x, [3e-9 * v**2 for v in x])
    assert clean.exponent == pytest.approx(2)
    assert clean.half == pytest.approx(0, abs=1e-12)
    assert clean.at(100) == pytest.approx(3e-5)
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        noisy = fits.fit(x, [3e-9 * v**2 * math.exp(0.1 * rng.standard_normal()) for v in x])
        inside += abs(noisy.exponent - 2) <= noisy.half
    assert 180 <= inside <= 199  # 95 % of 200
    assert math.isinf(fits.fit([1, 2], [1, 2]).half)


def test_laws_compare_a_line_with_its_counts():
    points = {Point("n", "ta", "full", n, 16, 4): 1e-10 * n**2 for n in (256, 512, 1024, 2048)}
    (line,) = fits.laws(points)
    assert line.measured.exponent == pytest.approx(2)
    assert line.predicted.exponent == pytest.approx(2)
    assert line.x == (256, 512, 1024, 2048)


def test_an_interrupted_sweep_resumes(tmp_path, monkeypatch):
    path = tmp_path / "sweeps.csv"
    wanted = [[Point("n", "ta", algorithm, n, 2, 2) for n in (8, 16, 32)] for algorithm in sweeps.ALGORITHMS]
    monkeypatch.setattr(sweeps, "lines", lambda quick: wanted)
    clock = itertools.count(1)
    timed = []
    monkeypatch.setattr(sweeps, "timed", lambda run, quick: timed.append(run()) or 1e-6 * next(clock))
    first = wanted[0][0]
    sweeps.append(path, first, 7.0e-6)
    done = sweeps.measure(path, quick=True)
    assert done[first] == 7.0e-6
    assert len(timed) == 3 * len(sweeps.ALGORITHMS) - 1
    assert sweeps.read(path) == pytest.approx(done)
    assert sweeps.measure(path, quick=True) == pytest.approx(done)
    assert len(timed) == 3 * len(sweeps.ALGORITHMS) - 1


def test_points_beyond_the_limit_are_left_out(tmp_path, monkeypatch):
    line = [Point("n", "tsv", "full", n, 2, 2) for n in (8, 16, 32)]
    monkeypatch.setattr(sweeps, "lines", lambda quick: [line])
    monkeypatch.setattr(sweeps, "timed", lambda run, quick: 0.3)
    assert list(sweeps.measure(tmp_path / "sweeps.csv", quick=True)) == line[:1]  # the next costs 8 times 0.3 s


def test_tables_and_figures(tmp_path):
    pytest.importorskip("matplotlib")
    from benchmarks.complexity import figures

    points = {
        Point(axis, "tsv", algorithm, **{"n": 64, "r": 4, "T": 4, axis: x}): 1e-6 * x
        for axis in "nrT"
        for algorithm in sweeps.ALGORITHMS
        for x in (8, 16, 32)
    }
    lines = fits.laws(points)
    assert figures.exponents(lines).splitlines()[2].startswith("| `tsv` | ours, factors | 1.00 ± 0.00 (")
    paths = figures.figure("tsv", lines, tmp_path)
    assert [path.suffix for path in paths] == [".png", ".svg"]
    assert all(path.stat().st_size > 1000 for path in paths)
    assert "| core | `tsv` | frames nT²r²; encode nT²r²; merge T⁴r³; decode n²Tr | n²Tr + T⁴r³ |" in figures.table1()


def test_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- x -->\n<!-- /x -->\nb\n")
    for text in ("| 1 |", "| 2 |\n| \\3 |"):
        markers.put(page, "x", text)
        assert page.read_text() == f"a\n<!-- x -->\n{text}\n<!-- /x -->\nb\n"
    with pytest.raises(SystemExit, match="expected markers"):
        markers.put(page, "y", "")


def test_pairs_are_timed_in_turn():
    order = []
    times = paired({name: lambda name=name: order.append(name) for name in "abc"}, rounds=4)
    assert [sorted(order[i : i + 3]) for i in range(0, 15, 3)] == [list("abc")] * 5
    assert len({tuple(order[i : i + 3]) for i in range(3, 15, 3)}) == 3  # not always the same first
    assert all(len(seconds) == 4 for seconds in times.seconds.values())


def test_ratios_of_pairs():
    times = Paired({"slow": [2.0, 4.0, 6.0] * 5, "fast": [1.0, 2.0, 2.0] * 5})
    assert times.median("slow") == 4.0
    assert times.ratio("slow", "fast") == 2.0
    low, high = times.spread("slow", "fast")
    assert low <= 2.0 <= high <= 3.0


@pytest.mark.parametrize("method", ["ta", "iso", "tsv", "ties"])
def test_the_long_double_reference_is_more_exact_than_what_it_measures(method):
    rng = np.random.default_rng(1)
    updates = [(rng.standard_normal((40, 3)), rng.standard_normal((3, 30))) for _ in range(4)]
    right = exact.exact(updates, method)
    ours = cm.merge(updates, method)
    theirs = dense.paper_core(updates, dense.MERGES[method])
    for B, A in ((ours.B, ours.A), theirs):
        assert right.error(B, A) < 1e-12
    assert right.error(*theirs) > 1e-17  # ours of a plain sum is exact
    spoiled = ours.B * (1 + 1e-9)
    assert right.error(spoiled, ours.A) == pytest.approx(1e-9, rel=1e-2)


def test_the_long_double_decompositions():
    X = np.random.default_rng(0).standard_normal((9, 9)).astype(np.longdouble)
    eps = float(np.finfo(np.longdouble).eps)
    P, S, Q = exact.svd(X)
    for Z in (P.T @ P, Q.T @ Q, exact.polar(X).T @ exact.polar(X)):
        assert np.abs(Z - np.eye(9)).max() < 100 * eps
    assert np.abs((P * S) @ Q.T - X).max() < 200 * eps
    H = exact.polar(X).T @ X
    assert np.abs(H - H.T).max() < 200 * eps
    assert np.linalg.eigvalsh(H.astype(float)).min() > 0


def test_projection_adds_up():
    rate = dict.fromkeys(("matmul", "svd", "qr", "cholesky", "inv", "sort", "partition"), 1e9)
    shapes = {"a": (256, 128), "b": (64, 256)}
    once, twice = (projection.projected("tsv", shapes, blocks, 4, 8, rate) for blocks in (1, 2))
    assert twice.total == pytest.approx(2 * once.total)
    assert once.operations == pytest.approx(1e9 * once.total)
    assert once.inputs == 2 * 32 * (256 + 128 + 64 + 256)
    assert twice.at_work == once.at_work
    assert projection.table([once]).count("\n") == 2


def test_made_adapters_are_what_the_package_reads(tmp_path):
    from coremerge_ref.adapters import merge_folders

    folders = list(llama.adapters(tmp_path, 2, 1, 2, "bfloat16", 32))
    again = list(llama.adapters(tmp_path, 2, 1, 2, "bfloat16", 32))
    assert folders == again
    report = merge_folders(folders, tmp_path / "merged", "tsv")
    assert (report.layers, report.adapters, report.ranks) == (4, 2, (4, 4))
