"""What an answer may be: any library's array, factors, an update; what is none is that case's error."""

import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref import conformance
from coremerge_ref.conformance.answers import ANSWERED, BROKEN, CHANGED, UNSUPPORTED, call, host

NAME = "ta/core/generic"
CASE = next(c for c in conformance.cases() if c.name == NAME)


def merged(case, kind=cm.LowRankUpdate):
    weights = case.params["ta"]["weights"]
    B = np.hstack([w * s * B for w, (B, _, s) in zip(weights, case.updates, strict=True)])
    return kind(B, np.vstack([A for _, A, _ in case.updates]))


def torch_tensor(x):
    return pytest.importorskip("torch").from_numpy(x)


def torch_with_gradient(x):
    return torch_tensor(x).requires_grad_()


def torch_sparse(x):
    return torch_tensor(x).to_sparse()


def strict_array(x):
    return pytest.importorskip("array_api_strict").asarray(x)


def jax_array(x):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        return jax.numpy.asarray(x)


class Cupy:
    """As much of CuPy's interface as a host needs: no implicit conversion."""

    __cuda_array_interface__ = None

    def __init__(self, x):
        self.x = x

    def __array__(self, *_):
        raise TypeError("implicit conversion to NumPy is not allowed")

    def get(self):
        return self.x


class Plain:
    def __init__(self, B, A):
        self.B, self.A, self.scale = B / 2, A, 2.0


@pytest.mark.parametrize(
    "answer",
    [
        lambda case: merged(case),
        lambda case: merged(case, lambda B, A: (B, A)),
        lambda case: merged(case, lambda B, A: (B / 2, A, 2.0)),
        lambda case: merged(case, Plain),
        lambda case: merged(case, lambda B, A: (torch_tensor(B), torch_tensor(A), 1)),
        lambda case: (merged(case).to_dense()).tolist(),
        lambda case: np.asfortranarray(merged(case).to_dense()),
        lambda case: merged(case).to_dense().astype(np.longdouble),
        *(
            lambda case, kind=kind: kind(merged(case).to_dense())
            for kind in (torch_tensor, torch_with_gradient, torch_sparse, strict_array, jax_array, Cupy)
        ),
    ],
)
def test_arrays_factors_and_updates(answer):
    report = conformance.run(answer, only=NAME)
    assert report.ok, report.summary()
    assert report.counts == {"pass": 1}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_answers_to_half_precision_inputs(dtype):
    def answer(case):
        x = case_of(dtype).expected
        if dtype == "float16":
            return x.astype(np.float16)
        return pytest.importorskip("torch").from_numpy(x.copy()).bfloat16()

    report = conformance.run(answer, only=f"ta/core/{dtype}", repeat=False)
    assert report.counts == {"pass": 1}, report.summary()


def case_of(family):
    return next(c for c in conformance.cases() if c.name == f"ta/core/{family}")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("right", "got str"),
        (None, "got NoneType"),
        ([[1.0], [2.0, 3.0]], "inhomogeneous"),
        (np.array([["x"]]), "dtype <U1"),
        (np.array([[1, None]]), "dtype object"),
        (np.zeros((10, 8), dtype="datetime64[s]"), "dtype datetime64"),
        ((np.zeros((10, 2)), np.zeros((3, 8))), "shapes (10, 2) and (3, 8)"),
        ((1.0, 2.0), "shapes () and ()"),
        ({"B": 1}, "got dict"),
        (lambda: None, "got function"),
    ],
)
def test_what_is_no_array_is_the_error_of_its_case_alone(answer, said):
    report = conformance.run(lambda case: answer if case.name == NAME else case_of("hetero").expected,
                             only=[NAME, "ta/core/hetero"])  # fmt: skip
    assert [r.verdict for r in report.results] == ["error", "pass"]
    assert said in report.results[0].diagnosis


def test_a_list_of_layers_is_a_batch_and_a_tuple_factors():
    x = np.arange(12.0).reshape(2, 2, 3)
    assert host(list(x)).shape == (2, 2, 3)
    assert np.array_equal(host((np.ones((2, 1)), np.ones((1, 3)), 2)), np.full((2, 3), 2.0))


def test_numbers_beyond_float64_are_infinite_or_zero_without_a_warning():
    if np.finfo(np.longdouble).maxexp == np.finfo(np.float64).maxexp:
        pytest.skip("no wider numbers here")
    wide = np.longdouble(10) ** np.array([400, -400, 2], dtype=np.longdouble)
    with np.errstate(all="raise"):
        found = host(-wide)
    assert found.dtype == np.float64
    assert found.tolist() == [-np.inf, 0, -100]


def test_the_entries_of_the_transpose_are_named():
    report = conformance.run(
        lambda case: np.ravel(case_of("generic").expected, order="F").reshape(case.shape), only=NAME
    )
    assert report.results[0].verdict == "fail"
    assert report.results[0].diagnosis.startswith("column-major")


def test_the_function_gets_copies_without_what_is_expected():
    def curious(case):
        assert case.expected is None
        assert case.undecided is None
        assert case.bound == case.scale == 0
        for b, a, _ in case.updates:
            b[:], a[:] = 0, 0
        return np.zeros(case.shape)

    report = conformance.run(curious, only=NAME)
    assert report.results[0].diagnosis == "the inputs were changed in place"
    assert CASE.updates[0][0].any()


class Nameless(type):
    """Exceptions whose class has no name."""

    @property
    def __name__(cls):
        raise ValueError


class Strange(Exception, metaclass=Nameless):
    """One of them."""


class Silent:
    """An object that answers no question."""

    def __getattr__(self, name):
        raise RuntimeError(name)


class Anything:
    """An object that is everything."""

    def __getattr__(self, name):
        return self

    def __call__(self, *args, **kwargs):
        return self


def raises(error):
    raise error


@pytest.mark.parametrize(
    ("function", "verdict"),
    [
        (lambda case: raises(Strange()), "error"),
        (lambda case: raises(ExceptionGroup("several", [ValueError("one")])), "error"),
        (lambda case: Silent(), "error"),
        (lambda case: Anything(), "error"),
        (lambda case: (i for i in range(3)), "error"),
        (lambda case: np.zeros((10**9, 10**9)), "error"),
        (lambda case: np.full(case.shape, 10**400, dtype=object), "error"),
        (lambda case: (case.updates.__setitem__(0, None), CASE.expected)[1], "fail"),
        (lambda case: (case.updates.append(3), CASE.expected)[1], "fail"),
        (lambda case: case.updates.clear(), "error"),
        (lambda case: CASE.expected * np.longdouble(10) ** 400, "fail"),
    ],
)
def test_the_report_is_written_whatever_comes(function, verdict):
    report = conformance.run(function, only=[NAME, "mean/core/generic"])
    assert {r.verdict for r in report.results} == {verdict}
    for text in (report.to_json(), report.summary(), report.table(every=True), conformance.to_junit(report)):
        assert text


# ---- one call ----------------------------------------------------------------------------------------------------
def deeper(case):
    raise ValueError("here") from KeyError("before")


def test_an_error_is_told_with_its_traceback_from_the_function_on():
    answer = call(lambda case: deeper(case), CASE)
    assert (answer.kind, answer.array, answer.message) == (BROKEN, None, "ValueError: here")
    assert answer.traceback.rstrip().endswith("ValueError: here")
    for told in ('test_answers.py", line', "in deeper", "KeyError: 'before'"):
        assert told in answer.traceback
    assert "answers.py" not in answer.traceback.replace("test_answers.py", "")  # who called it


@pytest.mark.parametrize(
    "answer", [np.zeros((2, 3), [("re", float), ("im", float)]), np.zeros((2, 3), "V8"), np.zeros((2, 3), "m8[s]")]
)
def test_what_is_no_array_of_numbers_is_named(answer):
    with pytest.raises(TypeError, match="array of numbers, got dtype") as caught:
        host(answer)
    assert str(answer.dtype) in str(caught.value)


def test_an_error_of_what_was_returned_has_no_traceback():
    answer = call(lambda case: "right", CASE)
    assert (answer.kind, answer.traceback) == (BROKEN, "")
    assert answer.message.startswith("TypeError: ")


@pytest.mark.parametrize(
    ("error", "numeric"),
    [
        (np.linalg.LinAlgError("SVD did not converge"), True),
        (ZeroDivisionError(), True),
        (FloatingPointError("underflow"), True),
        (OverflowError(), True),
        (ValueError("3"), False),
        (SystemExit(0), False),
    ],
    ids=repr,
)
def test_arithmetic_that_fails_is_told_from_other_errors(error, numeric):
    answer = call(lambda case: raises(error), CASE)
    assert (answer.kind, answer.numeric) == (BROKEN, numeric)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NotImplementedError("later"), "later"),
        (NotImplementedError(), ""),
        (NotImplementedError("NotImplementedError: twice"), "NotImplementedError: twice"),
    ],
    ids=repr,
)
def test_what_is_not_implemented_is_unsupported_and_why_is_kept(error, said):
    answer = call(lambda case: raises(error), CASE)
    assert (answer.kind, answer.message, answer.traceback, answer.numeric) == (UNSUPPORTED, said, "", False)


def test_ctrl_c_ends_the_run():
    with pytest.raises(KeyboardInterrupt):
        call(lambda case: raises(KeyboardInterrupt()), CASE)


@pytest.mark.parametrize(
    ("write", "kind"),
    [
        (lambda case: None, ANSWERED),
        (lambda case: case.updates[1][0].__setitem__((0, 0), 7), CHANGED),
        (lambda case: case.updates.pop(), CHANGED),
        (lambda case: case.updates.__setitem__(0, case.updates[1]), CHANGED),
    ],
)
def test_an_answer_by_whoever_wrote_into_the_inputs_is_told_apart(write, kind):
    answer = call(lambda case: (write(case), np.ones(case.shape))[1], CASE)
    assert answer.kind == kind
    assert np.array_equal(answer.array, np.ones(CASE.shape))


def test_a_declaration_that_cannot_be_read_is_refused():
    class Hidden:
        def __call__(self, case):
            return CASE.expected

        @property
        def supports(self):
            raise RuntimeError("not now")

    with pytest.raises(ValueError, match="not now"):
        conformance.run(Hidden(), only=NAME)
