"""Decompositions and norms, by whatever way the library at hand does them well.

Decompositions are constants to automatic differentiation, since the derivative of an SVD does not exist where singular
values coincide, although that of what is made of it does: `polar_factors` and `triplets` add it. `zero` says what
counts as zero. `orthonormal`, `newton` and `jacobi` find frames, polar factors and SVDs by products, proven on the
spot; `mending` leaves to the library what did not prove itself.
"""

from coremerge_ref.core.linalg.norms import column_norms as column_norms
from coremerge_ref.core.linalg.norms import largest as largest
from coremerge_ref.core.linalg.norms import norm as norm
from coremerge_ref.core.linalg.polar_factors import polar as polar
from coremerge_ref.core.linalg.polar_factors import polar_above as polar_above
from coremerge_ref.core.linalg.polar_factors import polars as polars
from coremerge_ref.core.linalg.polar_factors import spread as spread
from coremerge_ref.core.linalg.svds import product_svd as product_svd
from coremerge_ref.core.linalg.svds import svd as svd
from coremerge_ref.core.linalg.triplets import Triplets as Triplets
from coremerge_ref.core.linalg.triplets import leading as leading
from coremerge_ref.core.linalg.zero import at_most_half_precision as at_most_half_precision
from coremerge_ref.core.linalg.zero import first as first
from coremerge_ref.core.linalg.zero import masked as masked
from coremerge_ref.core.linalg.zero import rounding_level as rounding_level
from coremerge_ref.core.linalg.zero import shares as shares
from coremerge_ref.core.linalg.zero import thresholds as thresholds
