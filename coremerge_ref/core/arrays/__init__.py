"""Array namespaces: the only module that knows how libraries, dtypes and devices differ.

Met here and nowhere else: which library an array belongs to, which dtypes linear algebra runs in, how a dtype is
called, when values can be looked at (they cannot while JAX traces), and how masks drawn on the host reach a device.
Nothing is imported that the caller has not imported already.
"""

from coremerge_ref.core.arrays.derivatives import detached as detached
from coremerge_ref.core.arrays.derivatives import differentiates as differentiates
from coremerge_ref.core.arrays.derivatives import may_differentiate as may_differentiate
from coremerge_ref.core.arrays.derivatives import without_derivative as without_derivative
from coremerge_ref.core.arrays.devices import Function as Function
from coremerge_ref.core.arrays.devices import beside as beside
from coremerge_ref.core.arrays.devices import loops_over_batches as loops_over_batches
from coremerge_ref.core.arrays.devices import stays_beside as stays_beside
from coremerge_ref.core.arrays.devices import to_host as to_host
from coremerge_ref.core.arrays.draws import uniform_numbers as uniform_numbers
from coremerge_ref.core.arrays.dtypes import RANKED as RANKED
from coremerge_ref.core.arrays.dtypes import WORKING as WORKING
from coremerge_ref.core.arrays.dtypes import cast as cast
from coremerge_ref.core.arrays.dtypes import check_real_floating as check_real_floating
from coremerge_ref.core.arrays.dtypes import counting_dtype as counting_dtype
from coremerge_ref.core.arrays.dtypes import dtype_name as dtype_name
from coremerge_ref.core.arrays.dtypes import eps as eps
from coremerge_ref.core.arrays.dtypes import named_dtype as named_dtype
from coremerge_ref.core.arrays.dtypes import promoted as promoted
from coremerge_ref.core.arrays.dtypes import smallest_normal as smallest_normal
from coremerge_ref.core.arrays.dtypes import widened as widened
from coremerge_ref.core.arrays.dtypes import working_dtype as working_dtype
from coremerge_ref.core.arrays.layers import cholesky as cholesky
from coremerge_ref.core.arrays.layers import indices as indices
from coremerge_ref.core.arrays.layers import inverse as inverse
from coremerge_ref.core.arrays.layers import patched as patched
from coremerge_ref.core.arrays.layers import some as some
from coremerge_ref.core.arrays.layers import unproven as unproven
from coremerge_ref.core.arrays.namespaces import array_namespace as array_namespace
from coremerge_ref.core.arrays.namespaces import from_host as from_host
from coremerge_ref.core.arrays.namespaces import is_concrete as is_concrete
from coremerge_ref.core.arrays.namespaces import is_tracer as is_tracer
from coremerge_ref.core.arrays.namespaces import namespace_of as namespace_of
from coremerge_ref.core.arrays.sizes import as_float as as_float
from coremerge_ref.core.arrays.sizes import clipped as clipped
from coremerge_ref.core.arrays.sizes import count as count
from coremerge_ref.core.arrays.sizes import identity as identity
from coremerge_ref.core.arrays.sizes import kth_smallest as kth_smallest
from coremerge_ref.core.arrays.sizes import one_size as one_size
from coremerge_ref.core.arrays.sizes import positions as positions
from coremerge_ref.core.arrays.sizes import rounded as rounded
from coremerge_ref.core.arrays.sizes import scalar as scalar
from coremerge_ref.core.arrays.sizes import sign as sign
from coremerge_ref.core.arrays.sizes import sizes as sizes
from coremerge_ref.core.arrays.sizes import widen as widen
from coremerge_ref.core.arrays.types import AnyArray as AnyArray
from coremerge_ref.core.arrays.types import Array as Array
from coremerge_ref.core.arrays.types import DType as DType
from coremerge_ref.core.arrays.types import Namespace as Namespace
from coremerge_ref.core.arrays.values import are_finite as are_finite
from coremerge_ref.core.arrays.values import check_finite as check_finite
from coremerge_ref.core.arrays.values import check_range as check_range
from coremerge_ref.core.arrays.values import in_range as in_range
from coremerge_ref.core.arrays.values import is_finite as is_finite
from coremerge_ref.core.arrays.values import is_number as is_number
from coremerge_ref.core.arrays.values import look as look
from coremerge_ref.core.arrays.values import out_of_range as out_of_range
from coremerge_ref.core.arrays.values import overflow_checked as overflow_checked
