"""Verdicts, reports, files: what the kit says about right, wrong, missing and undetermined answers."""

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from doubles import Double

from coremerge_ref import conformance
from coremerge_ref.conformance.model import frame, merge
from coremerge_ref.conformance.questions import DATA, input_cases, sha256


def pick(name):
    return next(c for c in conformance.cases() if c.name == name)


def test_a_right_implementation_never_fails():
    report = conformance.run(Double())
    assert report.ok, report.summary()
    assert not report.failures
    assert report.seconds < 20
    assert set(report.counts) == {"pass", "ambiguous"}
    assert report.counts["pass"] > 10 * report.counts["ambiguous"]


@pytest.mark.parametrize("seed", range(3))
def test_whatever_its_signs_and_null_vectors(seed):
    """Random signs of every singular pair, and random rotations of null spaces."""

    class Turned(Double):
        rng = np.random.default_rng(seed)

        def svd(self, x):
            u, s, vt = super().svd(x)
            sign = self.rng.choice([-1.0, 1.0], len(s))
            u, vt = u * sign, vt * sign[:, None]
            dead = np.flatnonzero(s <= 1e-13 * s[0]) if len(s) and s[0] else []
            if len(dead) > 1:
                q = np.linalg.qr(self.rng.standard_normal((len(dead), len(dead))))[0]
                u, vt = u.copy(), vt.copy()
                u[:, dead] = u[:, dead] @ q
            return u, s, vt

    report = conformance.run(Turned())
    assert report.ok, report.summary()


class Permuted(Double):
    """LAPACK's other driver on the transpose with rows and columns in another order: another rounding throughout."""

    rng = np.random.default_rng(3)

    def svd(self, x):
        if 0 in x.shape or not x.any():
            return super().svd(x)
        rows, cols = self.rng.permutation(x.shape[0]), self.rng.permutation(x.shape[1])
        top = np.abs(x).max()
        a, s, bt = scipy.linalg.svd((x / top)[rows][:, cols].T, full_matrices=False, lapack_driver="gesvd")
        u, vt = np.empty_like(bt.T), np.empty_like(a.T)
        u[rows], vt[:, cols] = bt.T, a.T
        return u, s * top, vt


class Reversed(Double):
    """Sums over tasks in the other order."""

    def ta(self, p, stack, level, w):
        return super().ta(p, stack[::-1], level[::-1], w[::-1])

    def mean(self, p, stack, level, w):
        return super().mean(p, stack[::-1], level[::-1], w[::-1])

    def ties(self, p, stack, level, w):
        return super().ties(p, stack[::-1], level[::-1], w[::-1])

    def tsv(self, p, stack, level, w):
        return super().tsv(p, stack[::-1], level[::-1], w[::-1])

    def cart(self, p, stack, level, w):
        return super().cart(p, stack[::-1], level[::-1], w[::-1])


class Elsewhere(Double):
    """Equivariant methods in another basis or space, as equivariance allows."""

    def __init__(self, where):
        super().__init__()
        self.where = where

    def __call__(self, case):
        relative = any(case.params.get(n, {"k": 1})["k"] is None for n in ("tsv", "cart"))
        sized = case.params.get("iso", {}).get("support") == "size"
        free = set(case.method.split("+")) <= {"ta", "mean", "tsv", "cart", "iso"} and not relative and not sized
        self.mistakes = {self.where} if free else set()
        return super().__call__(case)


@pytest.mark.parametrize(
    "right",
    [Permuted(), Reversed(), Elsewhere("Tucker basis for the paper's"), Elsewhere("merged in the full space")],
    ids=["permuted", "reversed", "tucker", "full"],
)
def test_whatever_its_driver_order_and_basis(right):
    report = conformance.run(right)
    assert report.ok, report.summary()


def test_the_model_behind_the_diagnosis_is_right():
    assert conformance.run(merge).ok


def test_verdicts():
    case = pick("ta/core/generic")
    for fn, verdict in (
        (lambda c: case.expected, "pass"),
        (lambda c: case.expected.astype(np.float32), "fail"),
        (lambda c: case.expected + 1, "fail"),
        (lambda c: case.expected.T, "fail"),
        (lambda c: case.expected * np.nan, "fail"),
        (lambda c: case.expected * 1j, "fail"),
        (lambda c: 1 / 0, "error"),
    ):
        assert conformance.run(fn, cases=[case]).results[0].verdict == verdict


def test_float32_results_for_float32_inputs():
    case = pick("ta/core/float32")
    assert conformance.run(lambda c: case.expected.astype(np.float32), cases=[case]).ok


def test_unsupported_is_no_failure_but_no_success_alone():
    def nothing(case):
        raise NotImplementedError("later")

    report = conformance.run(nothing, only="ta/")
    assert not report.ok
    assert set(report.counts) == {"unsupported"}


def test_expected_failures_carry_their_reason():
    report = conformance.run(lambda c: np.zeros(c.shape), only="ta/core/generic", expected_failures={"ta/": "issue 1"})
    assert report.ok
    assert report.results[0].expected_failure == "issue 1"


def test_an_ill_posed_case_holds_what_is_determined():
    case = next(c for c in conformance.cases() if c.undecided is not None and c.space == "core")
    u, _ = frame([s * b for b, _, s in case.updates], [1.0] * len(case.updates), set())
    v, _ = frame([a.T for _, a, _ in case.updates], [1.0] * len(case.updates), set())
    inner = u.T @ case.expected @ v
    free = u @ np.where(case.undecided, 0, inner) @ v.T
    assert conformance.run(lambda c: free, cases=[case]).results[0].verdict == "ambiguous"
    wrong = u @ np.where(case.undecided, inner, 2 * inner) @ v.T
    assert conformance.run(lambda c: wrong, cases=[case]).results[0].verdict == "fail"


def test_inputs_changed_in_place_are_noticed_and_do_no_harm():
    report = conformance.run(Double("inputs scaled in place"), only="ta/core/generic")
    assert "in place" in report.results[0].diagnosis
    assert conformance.run(Double(), only="ta/core/generic").ok


@conformance.parametrize_with_checks(
    Double("DARE not rescaled"), only="dare/core/generic", expected_failures={"dare/": "planted"}
)
def test_parametrized(check):
    check()


def test_data_are_the_ones_generated():
    index = json.loads((DATA / "cases.json").read_text())
    assert index["sha256"] == sha256(DATA / "cases.safetensors")
    assert sum(p.stat().st_size for p in DATA.iterdir()) < 2**20
    assert [c.name for c in input_cases()] == list(index["cases"])


@pytest.mark.parametrize(
    "name", ["ties/core/generic", "tsv/knots/duplicated", "iso/full/denormal", "drm/core/bfloat16"]
)
def test_expected_values_can_be_computed_again(name):
    pytest.importorskip("mpmath")
    from coremerge_ref.conformance.solving import solve

    case = pick(name)
    again, record = solve(replace(case, expected=None))
    assert np.array_equal(again, case.expected)
    assert record["bound"] == pytest.approx(case.bound, rel=1e-9)


def test_inputs_are_rebuilt_as_shipped():
    for shipped, built in zip(conformance.cases(), input_cases(), strict=True):
        for (b, a, s), (y, x, z) in zip(shipped.updates, built.updates, strict=True):
            assert np.array_equal(b, y)
            assert np.array_equal(a, x)
            assert s == z
            assert b.dtype == y.dtype
