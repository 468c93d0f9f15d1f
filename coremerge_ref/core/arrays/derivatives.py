"""Automatic differentiation: what is constant to it, whether it is asked for, and where there is none."""

import sys
from typing import Any

from array_api_compat import is_torch_array

from coremerge_ref.core.arrays.namespaces import is_tracer
from coremerge_ref.core.arrays.types import AnyArray, Array
from coremerge_ref.errors import ParameterError


def detached(array: AnyArray) -> Array:
    """`array` as a constant to automatic differentiation."""
    if is_torch_array(array):
        return array.detach() if array.requires_grad else array
    constant: Array = sys.modules["jax"].lax.stop_gradient(array) if is_tracer(array) else array
    return constant


def may_differentiate(array: Any) -> bool:
    """Whether derivatives may be asked of `array`: a torch array that requires them, any JAX tracer."""
    return bool(getattr(array, "requires_grad", False)) or is_tracer(array)


def differentiates(array: Any) -> bool:
    """Whether derivatives are asked of `array` here and now: as may_differentiate, but not of a tracer of jit alone."""
    names = {base.__name__ for base in type(array).__mro__}
    return bool(getattr(array, "requires_grad", False)) or bool(names & {"JVPTracer", "LinearizeTracer"})


def without_derivative(array: AnyArray, message: str) -> Array:
    """`array`, of which derivatives are a ParameterError saying `message` (jit is differentiated after it traced)."""
    if not is_tracer(array):
        plain: Array = array
        return plain
    jax = sys.modules["jax"]

    def refuse(_primals: Any, _tangents: Any) -> Any:
        raise ParameterError(message)

    same = jax.custom_jvp(lambda x: x)
    same.defjvp(refuse)
    refusing: Array = same(array)
    return refusing
