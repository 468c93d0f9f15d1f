"""Every method of the table, with every dialect's parameters, passes the checks that anybody's method has to pass."""

from collections.abc import Callable

from coremerge_ref.core.stages import STAGES
from coremerge_ref.testing import parametrize_method_checks


@parametrize_method_checks(STAGES.values())
def test_methods(check: Callable[[], None]) -> None:
    check()
