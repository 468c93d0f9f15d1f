"""Checks of a method, in the manner of scikit-learn's check_estimator."""

from coremerge_ref.testing.checks import claims, manners, running  # noqa: F401  # they fill CHECKS
from coremerge_ref.testing.checks.checking import (
    check_method,
    method_checks,
    parametrize_method_checks,
    settings_of,
)

__all__ = ["check_method", "method_checks", "parametrize_method_checks", "settings_of"]
