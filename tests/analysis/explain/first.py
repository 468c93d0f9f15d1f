"""The simplest merge from outside: a stage without a rule of its own."""

from dataclasses import dataclass
from typing import ClassVar

from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.core.stages import MERGE, Stage


@dataclass(frozen=True)
class First(Stage):
    """The first task."""

    name: ClassVar[str] = "first"
    kind: ClassVar[str] = MERGE

    def apply(self, item: Stack) -> Merged:
        return item.merged(item.M[0, ...])
