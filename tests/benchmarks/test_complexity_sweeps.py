"""The measuring itself: laws fitted, points resumed, pairs timed, tables put into pages."""

import csv
import itertools
import math
from pathlib import Path

import needs_scipy  # noqa: F401
import numpy as np
import pytest

import coremerge_ref as cm
from benchmarks import dense, markers
from benchmarks.complexity import conclusions, fits, peaks, points, projection, replay, sweeps
from benchmarks.complexity.calls import Call
from benchmarks.complexity.conclusions import law
from benchmarks.complexity.points import Point
from benchmarks.speed import exact, llama
from benchmarks.speed.paired import Paired, paired
from benchmarks.speed.shapes import factors
from coremerge_ref.testing import THRESHOLD, ratio

EPS = float(np.finfo(np.float64).eps)
AGAIN = (
    "python -m benchmarks.complexity.replay --results docs/data/sweeps_calls.csv, then benchmarks.complexity.figures"
)


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


def line(points, seconds, calls=None):
    return law(points, dict(zip(points, seconds, strict=True)), calls=calls)


WIDTHS = [2**i for i in range(8, 16)]
DENSE = [Point("n", "tsv", "full", points.SQUARE, n, 4, 4) for n in WIDTHS]  # n³ and little else
CORE = [Point("n", "tsv", "core", points.SQUARE, n, 4, 4) for n in [64, 80, 96, 112, 128, 144, 160, 176]]


def test_a_line_is_judged_by_its_counts_and_its_calls():
    """Times made up: as counted; as counted where that is no power yet; as the calls take; as neither; wild."""
    agrees = line(DENSE, [1e-10 * p.cost() for p in DENSE])
    assert agrees.measured.exponent == pytest.approx(3, abs=0.01)
    assert (agrees.verdict, agrees.over_counts.exponent) == (conclusions.AGREES, pytest.approx(0))
    not_yet = line(CORE, [1e-10 * p.cost() for p in CORE])
    assert (not_yet.verdict, not_yet.limit) == (conclusions.NOT_YET, pytest.approx(2, abs=0.01))
    assert not_yet.counted < 1.85
    faster = [1e-10 * p.cost() / p.n**0.5 for p in DENSE]
    of_calls = dict(zip(DENSE, faster, strict=True))
    rates = line(DENSE, [2 * t for t in faster], of_calls.__getitem__)
    assert (rates.verdict, rates.shares) == (conclusions.RATES, (pytest.approx(0.5), pytest.approx(0.5)))
    beside = line(DENSE, [t * p.n for t, p in zip(faster, DENSE, strict=True)], of_calls.__getitem__)
    assert beside.verdict == conclusions.BESIDE
    fixed = line(DENSE, [1e3 * faster[0] + t for t in faster], of_calls.__getitem__)
    assert fixed.verdict == conclusions.FIXED
    assert fixed.shares[0] < 0.01 < 0.9 < fixed.shares[1]
    noise = [1.0, 9.0] * 4
    noisy = line(DENSE, [t * x for t, x in zip(faster, noise, strict=True)], of_calls.__getitem__)
    assert noisy.verdict == conclusions.UNDECIDED
    assert set(conclusions.VERDICTS) == set(conclusions.MEANINGS)


def test_every_line_has_eight_points_where_counts_hold():
    found = list(points.lines())
    assert len({one[0].line for one in found}) == len(found)
    for one in found:
        assert len({point.at for point in one}) == len(one) == 8
        assert [point.cost() for point in one] == sorted(point.cost() for point in one)
        if one[0].shape != points.BEYOND:
            assert all(sum(ranks) <= min(m, n) for m, n, ranks in (point.sizes for point in one))
        else:
            assert all(sum(point.sizes[2]) > point.n for point in one)


def test_every_method_space_and_axis_has_its_line():
    there = {(one[0].method, one[0].algorithm, one[0].axis) for one in points.lines()}
    wanted = {
        (m, a, x) for m in points.METHODS for a in ("ours, factors", "core", "knots", "full") for x in points.AXES
    }
    wanted |= {(m, "ours, factors", x) for m in points.MORE for x in points.AXES}
    assert wanted <= there
    assert {one[0].shape for one in points.lines()} == set(points.SHAPES)
    assert points.SHAPES[points.UNEQUAL](100, 8, 4) == (100, 100, (4, 8, 12, 4))
    assert points.SHAPES[points.QUARTER](100, 8, 2) == (25, 100, (8, 8))


@pytest.mark.parametrize("algorithm", points.ALGORITHMS)
def test_what_is_timed_is_the_merge(algorithm):
    """Every algorithm as the counts and the name have it; ours, and the dense ones where null vectors do not matter."""
    pytest.importorskip("torch")
    point = Point("n", "ta", algorithm, points.QUARTER, 32, 2, 3)
    result = sweeps.function(point)()
    expected = sum(B.astype(float) @ A for B, A in factors(*point.sizes))
    assert ratio(np.asarray(result), expected, np.linalg.norm(expected), EPS, kappa=50) <= THRESHOLD


def test_an_interrupted_sweep_resumes(tmp_path, monkeypatch):
    path = tmp_path / "sweeps.csv"
    wanted = [[Point("n", "ta", a, points.SQUARE, n, 2, 2) for n in (8, 16, 32)] for a in points.ALGORITHMS]
    clock = itertools.count(1)
    timed = []
    monkeypatch.setattr(sweeps, "function", lambda point: point)
    monkeypatch.setattr(sweeps, "timed", lambda point: timed.append(point) or 1e-6 * point.n)  # settled after LEAST
    monkeypatch.setattr(sweeps.time, "monotonic", lambda: next(clock))
    first = wanted[0][0]
    sweeps.append(path, first, 9e-6)
    half = sweeps.measure(path, wanted, minutes=10 / 60)
    assert 0 < len(timed) < 15
    done = sweeps.measure(path, wanted)
    assert done[first] == [9e-6, 8e-6, 8e-6]
    assert all(half[point] == done[point][: len(half[point])] for point in half)
    assert len(timed) == 3 * sweeps.LEAST * len(points.ALGORITHMS) - 1
    assert sweeps.read(path) == done == sweeps.measure(path, wanted)
    assert len(timed) == 3 * sweeps.LEAST * len(points.ALGORITHMS) - 1
    assert sweeps.least(done)[first] == 8e-6


def test_a_line_is_repeated_until_its_interval_is_narrow_or_a_limit_is_reached():
    one = CORE[:4]
    assert not sweeps.settled(one, {point: [1e-6 * point.n] * (sweeps.LEAST - 1) for point in one})
    assert sweeps.settled(one, {point: [1e-6 * point.n] * sweeps.LEAST for point in one})
    wild = dict(zip(one, (1.0, 9.0, 1.0, 9.0), strict=True))
    assert not sweeps.settled(one, {point: [t] * sweeps.LEAST for point, t in wild.items()})
    assert sweeps.settled(one, {point: [t] * sweeps.MOST for point, t in wild.items()})
    late = {point: [t, 1e-6 * point.n, t] for point, t in wild.items()}  # the least of each counts
    assert sweeps.settled(one, late)


def test_every_kind_of_call_is_made_by_itself():
    pytest.importorskip("torch")
    shapes = {"P": (3, 3), "S": (3,), "Q": (3, 3)}
    call = Call("svd", (5, 3), 2)
    P, S, Q = replay.function(call)()
    assert [tuple(X.shape[1:]) for X in (P, S, Q)] == [(5, 3), shapes["S"], shapes["Q"]]
    assert P.shape[0] == 2
    assert tuple(replay.function(Call("matmul", (2, 3, 4)))().shape) == (2, 4)
    for op in ("cholesky", "inv", "eigh"):
        replay.function(Call(op, (4,)))()
    assert replay.function(Call("qr", (5, 3)))()[0].shape == (5, 3)
    assert replay.function(Call("partition", (9,), 2))().values.shape == (2,)
    assert replay.function(Call("argsort", (9,)))().shape == (9,)
    ops = {call.op for one in points.lines() for point in one for call in point.calls()}
    assert ops <= {"matmul", "svd", "qr", "cholesky", "inv", "eigh", "partition", "argsort"}


def test_calls_are_timed_in_rounds_and_the_least_counts(tmp_path, monkeypatch):
    path, calls = tmp_path / "calls.csv", [Call("matmul", (2, 3, 4)), Call("svd", (5, 3), 2)]
    clock = itertools.count(1)
    monkeypatch.setattr(replay, "function", lambda call: lambda: None)
    monkeypatch.setattr(replay, "timed", lambda run: float(next(clock)))
    replay.append(path, calls[0], 9.0)
    replay.measure(path, calls)
    assert replay.read(path) == {calls[0]: [9.0, 2.0], calls[1]: [1.0, 3.0]}
    assert replay.least(path) == {calls[0]: 2.0, calls[1]: 1.0}
    replay.measure(path, calls)
    assert next(clock) == 4


def test_peaks_are_of_arrays(tmp_path):
    assert 8e6 <= peaks.peak(lambda: np.ones(10**6) + np.ones(10**6).sum()) < 3e7
    point = Point("n", "tsv", "full", points.SQUARE, 40, 2, 3)
    assert peaks.held(point) == 8 * (3 + 1) * 40 * 40
    wanted = [[point]]
    known = peaks.measure(tmp_path / "memory.csv", wanted)
    assert known[point] >= peaks.held(point)
    assert peaks.read(tmp_path / "memory.csv") == known == peaks.measure(tmp_path / "memory.csv", wanted)


def test_tables_and_figures(tmp_path):
    pytest.importorskip("matplotlib")
    from benchmarks.complexity import figures

    made = [
        Point(axis, "ta", "full", points.SQUARE, **{"n": 64, "r": 4, "T": 4, axis: x})
        for axis in "nrT"
        for x in (4, 8, 16)
    ]
    found = [line(made[i : i + 3], [1e-6 * p.at for p in made[i : i + 3]]) for i in (0, 3, 6)]
    table = figures.exponents(found).splitlines()
    assert table[2].startswith("| full | `ta` | n × n | 1.00 ± 0.00 (2.00 → 2.00) ")
    assert figures.verdicts(found) == "2 ✓, 1 ◔"
    assert figures.summary(found).startswith("Of 3 lines 3 have an exponent known to ± 0.15 or better")
    assert len(figures.conclusions(found).splitlines()) == 5
    figures.write_laws(tmp_path / "laws.csv", found)
    assert (tmp_path / "laws.csv").read_text().splitlines()[2].startswith("r,ta,full,n × n,1.000,0.000,1.000,1.000,")
    assert figures.figure("ta", found, tmp_path).stat().st_size > 1000
    assert "| core | `tsv` | frames nT²r²; encode nT²r²; merge T⁴r³; decode n²Tr | n²Tr + T⁴r³ |" in figures.table1()


@pytest.mark.slow
def test_the_page_says_what_the_measurements_say(tmp_path):
    """Every table of the page, and the CSV of fits, computed again from the raw measurements."""
    from benchmarks.complexity import figures

    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "complexity.md").read_text(encoding="utf-8")
    for name, table in figures.tables(docs / "data").items():
        assert f"<!-- {name} -->\n{table}\n<!-- /{name} -->" in page, f"{name}: {AGAIN}"
    found = figures.laws(docs / "data")
    figures.write_laws(tmp_path / "laws.csv", found)
    assert (tmp_path / "laws.csv").read_text(encoding="utf-8") == (docs / "data" / "sweeps_laws.csv").read_text(
        encoding="utf-8"
    )
    assert len(found) == len(list(points.lines()))
    assert len(figures.memory_laws(docs / "data")) == len(list(peaks.lines()))


@pytest.fixture(scope="module")
def rows():
    """(axis, method, algorithm, layer) → the row of docs/data/sweeps_laws.csv."""
    path = Path(__file__).parents[2] / "docs" / "data" / "sweeps_laws.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return {(row["axis"], row["method"], row["algorithm"], row["shape"]): row for row in csv.DictReader(file)}


def chosen(rows, axis, algorithm, methods=None, shape=points.SQUARE):
    wanted = (axis, algorithm, shape)
    return [row for (x, m, a, s), row in rows.items() if (x, a, s) == wanted and (methods is None or m in methods)]


def test_the_pages_words_follow_from_the_fits(rows):
    ours = chosen(rows, "n", points.OURS)
    assert all(row["verdict"] == "agrees" for row in ours if row["method"] != "ta")
    assert all(abs(float(row["exponent"]) - 1) < 0.2 for row in ours if row["method"] != "ta")
    plain = rows["n", "ta", points.OURS, points.SQUARE]
    assert float(plain["over_counts"]) > float(plain["over_counts_half"])
    published = [row for row in rows.values() if row["algorithm"] in points.PUBLISHED and row["axis"] == "n"]
    assert all(abs(float(row["over_calls"])) <= 0.2 for row in published)
    for row in chosen(rows, "n", "knots") + chosen(rows, "n", "full", ("iso", "tsv", "cart")):
        assert 2.6 < float(row["exponent"]) < 3.05
    for row in chosen(rows, "n", points.OURS_DENSE):
        assert float(row["share_first"]) < 0.5 < 0.8 < float(row["share_last"])
    for axis in "rT":
        for row in chosen(rows, axis, points.OURS):
            if row["method"] != "ta":
                assert float(row["exponent"]) < float(row["counts"])
                assert abs(float(row["over_calls"])) < abs(float(row["over_counts"]))
    assert all(
        row["share_first"] < row["share_last"] for row in chosen(rows, "r", points.OURS) if row["method"] != "ta"
    )
    for row in chosen(rows, "T", "knots"):
        assert row["verdict"].startswith("disagrees: larger calls")
        assert float(row["over_counts"]) > 0.45 > 0.2 > float(row["over_calls"])
    assert all(float(row["exponent"]) < 0.5 for row in chosen(rows, "r", "knots"))
    assert all(float(row["exponent"]) < 0.25 for row in chosen(rows, "r", "full") if row["method"] != "ta")
    for row in chosen(rows, "r", points.OURS_FULL):
        assert float(row["exponent"]) < 0.15 < 0.9 < float(row["counts"])
    for axis in "rT":
        assert all(float(row["exponent"]) < 0.7 for row in chosen(rows, axis, points.OURS, shape=points.BEYOND))


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


def test_speeds_are_put_into_tables():
    from benchmarks.speed import report, users

    seconds = {name: [0.1, 0.1, 0.1] for name in users.WHAT} | {"PEFT svd": [0.4, 0.5, 0.6]}
    found = {"width": 8, "T": 2, "r": 1, "versions": {"peft": "1"}, "seconds": seconds}
    table = report.users(found).splitlines()
    assert next(row for row in table if row.startswith("| PEFT svd")).endswith(
        "| 500 ms | 5.0× `ours ta, rank r` | 4.0–6.0 |"
    )
    assert set(users.BESIDE) | set(users.BESIDE.values()) <= set(users.WHAT)
    model = dict.fromkeys(("input", "output", "peak"), 2.0**20) | {
        "layers": 8,
        "seconds": 3.0,
        "wall": 4.0,
        "floor": 2.0,
    }
    line = report.llama(model | {"ratio": 1.5, "low": 1.4, "high": 1.6}).splitlines()[2]
    assert "| 1.50 | 1.40–1.60 | 1.3 ✗ |" in line
    assert line.endswith("| 1.00 | 2.5 ✓ |")
    seconds = {"tsv": {"merge": [2.0, 2.0, 2.0], "explain": [4.0, 3.0, 5.0]}}
    table = report.explaining({"layers": 8, "tasks": 2, "rank": 4, "seconds": seconds}).splitlines()
    assert table[2] == "| `tsv` | 2.00 s | 4.00 s | 2.00 | 1.50–2.50 | 2 ✗ |"


def test_explain_is_timed_beside_the_merge(tmp_path):
    from benchmarks.speed.explaining import measured

    folders = list(llama.adapters(tmp_path, 2, 1, 2, "float32", 32))
    seconds = measured(folders, tmp_path / "merged", "tsv", 1)
    assert {command: len(times) for command, times in seconds.items()} == {"merge": 1, "explain": 1}
    assert (tmp_path / "merged" / "adapter_model.safetensors").exists()


def test_the_floor_writes_as_much_as_a_merge(tmp_path):
    from safetensors.numpy import load_file

    from benchmarks.speed.floor import floor

    folders = list(llama.adapters(tmp_path, 2, 1, 2, "float32", 32))
    floor(folders, tmp_path / "floor")
    written = load_file(tmp_path / "floor" / "adapter_model.safetensors")
    shapes = {name.split(".")[-3]: X.shape for name, X in written.items() if "lora_B" in name}
    assert shapes == {"q_proj": (128, 4), "k_proj": (32, 4), "v_proj": (32, 4), "o_proj": (128, 4)}


@pytest.mark.parametrize("layers", [1, 2])
def test_a_row_of_goals(layers):
    pytest.importorskip("torch")
    from benchmarks.speed import goals

    row = goals.measured(goals.Case(24, 2, 2, "tsv", 1e9, layers), rounds=3)
    assert set(row.seconds) == {"paper", "optimized", "ours, torch", "ours, numpy"}
    assert row.calls > 0
    assert not row.reached
    assert len(list(goals.cells(row))) == 11
    assert bool(row.error) == (layers == 1)
