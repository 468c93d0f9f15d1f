"""Imported first by test modules that need SciPy: where it is not installed, the modules are skipped."""

import pytest

pytest.importorskip("scipy")
