"""Imported first by test modules that need torch and PEFT: where these are not installed, the modules are skipped."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")
