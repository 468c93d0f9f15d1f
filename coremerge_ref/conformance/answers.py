"""One call of the function under test: what it is given, what it may return, what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .questions import Case
from .text import message_of, traceback_of

Function = Callable[[Case], Any]
ANSWERED, CHANGED, UNSUPPORTED, BROKEN = "answered", "changed", "unsupported", "broken"


@dataclass
class Answer:
    """``kind``: answered (``array``, whatever its shape), changed (the inputs were written into), unsupported or
    broken (``message``, ``traceback``; ``numeric`` for arithmetic that failed). ``printed``: what the function wrote
    to its terminal, where it ran in a process of its own."""

    kind: str
    array: np.ndarray[Any, Any] | None = None
    message: str = ""
    traceback: str = ""
    numeric: bool = False
    printed: str = ""


def fresh(case: Case) -> Case:
    """A case whose arrays are the implementation's own copies, without the expected value and what goes with it."""
    updates = [(b.copy(), a.copy(), s) for b, a, s in case.updates]
    params = {k: {n: list(x) if isinstance(x, list) else x for n, x in p.items()} for k, p in case.params.items()}
    masks = None if case.masks is None else case.masks.copy()
    return replace(
        case, updates=updates, params=params, masks=masks, expected=None, undecided=None, bound=0, scale=0, possible=(),
        elsewhere={},
    )  # fmt: skip


def changed(given: Case, case: Case) -> bool:
    """Whether the implementation wrote into its inputs, or put other things in their place."""
    try:
        return not _same(given, case)
    except (TypeError, ValueError, AttributeError, IndexError):
        return True


def _same(given: Case, case: Case) -> bool:
    same = all(
        x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
        for new, old in zip(given.updates, case.updates, strict=False)
        for x, y in zip(new[:2], old[:2], strict=True)
    )
    masks = case.masks is None or (given.masks is not None and np.array_equal(given.masks, case.masks))
    return same and masks and len(given.updates) == len(case.updates)


def host(answer: Any) -> np.ndarray[Any, Any]:
    """The (…, m, n) array that was meant, as NumPy's: an array of NumPy, torch, CuPy, JAX or array-api-strict, nested
    lists, a tuple of factors (B, A) or (B, A, scale), or an object with ``to_dense()`` or with ``B``, ``A`` and
    ``scale``. TypeError for what is no array of numbers."""
    if isinstance(answer, tuple) and len(answer) in (2, 3):
        return product(*answer)
    if hasattr(answer, "detach"):
        answer = answer.detach().cpu().resolve_conj().resolve_neg()
        if "sparse" in str(answer.layout):
            answer = answer.to_dense()
        if str(answer.dtype) == "torch.bfloat16":
            import ml_dtypes

            return np.asarray(answer.float().numpy()).astype(ml_dtypes.bfloat16)
        return np.asarray(answer.numpy())
    if hasattr(answer, "to_dense"):
        return host(answer.to_dense())
    if hasattr(answer, "B") and hasattr(answer, "A"):
        return product(answer.B, answer.A, getattr(answer, "scale", 1.0))
    if hasattr(answer, "get") and hasattr(answer, "__cuda_array_interface__"):
        answer = answer.get()
    if hasattr(answer, "__dlpack__") and not hasattr(answer, "__array__"):
        answer = np.from_dlpack(answer)
    array = np.asarray(answer)
    if array.dtype.kind not in "biufc" and not (array.dtype.kind == "V" and np.can_cast(array.dtype, np.float64)):
        what = f"dtype {array.dtype}" if isinstance(answer, np.ndarray) else type(answer).__name__
        raise TypeError(f"expected the merged matrix as an array of numbers, got {what}")
    if array.dtype == np.longdouble:
        with np.errstate(over="ignore", under="ignore"):  # out of range is infinite, and judged so
            return array.astype(np.float64)
    return array


def product(B: Any, A: Any, scale: Any = 1.0) -> np.ndarray[Any, Any]:
    """scale · B A in float64, for factors of any library."""
    left, right = host(B), host(A)  # (…, m, r), (…, r, n)
    if left.ndim < 2 or right.ndim < 2 or left.shape[-1] != right.shape[-2]:
        raise TypeError(f"expected factors B (…, m, r) and A (…, r, n), got shapes {left.shape} and {right.shape}")
    return np.asarray(host(scale) * (left.astype(np.float64) @ right.astype(np.float64)))


def call(fn: Function, case: Case) -> Answer:
    """Ask the function one case in this process. Whatever it raises is its answer, Ctrl-C excepted."""
    given = fresh(case)
    try:
        array = host(fn(given))
    except NotImplementedError as error:
        message = message_of(error).removeprefix("NotImplementedError").removeprefix(": ")
        return Answer(UNSUPPORTED, message=message)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit and GeneratorExit, too
        numeric = isinstance(error, (ArithmeticError, np.linalg.LinAlgError))
        return Answer(BROKEN, message=message_of(error), traceback=traceback_of(error), numeric=numeric)
    return Answer(CHANGED if changed(given, case) else ANSWERED, array)


def fits(array: np.ndarray[Any, Any], case: Case) -> bool:
    """Whether the array has the shape of the answer, or of its transpose."""
    return array.shape in (case.shape, (*case.shape[:-2], case.shape[-1], case.shape[-2]))
