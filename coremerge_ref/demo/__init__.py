"""The demo: eight really trained adapters, merged by every method in every space, with NumPy alone."""

from coremerge_ref.demo.run import run

__all__ = ["run"]
