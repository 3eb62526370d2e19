"""Objectives: what one fit minimises beside the module's own loss, such as a penalty or the distance to a teacher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

if TYPE_CHECKING:
    from ltb.core.contracts import Bench
    from ltb.core.results import Result
    from ltb.core.stage import Stage


class Objective(ABC):
    """(module, batch) -> a scalar that is added to the loss of each minibatch. A frozen dataclass: it is part of the key.

    It is called in training mode, after the loss of the batch and before the optimizer's step, and what it draws is a function
    of (seed, step). A stage in its fields, such as a teacher, is a parent of every fit that has the objective.
    """

    version: ClassVar[int] = 1

    def prepared(self, bench: Bench, result: Callable[[Stage], Result]) -> Objective:
        """Return what is called in one fit, made before it begins: by default itself; with a teacher, one that has its network."""
        return self

    def check(self, module: Any, batch: Any) -> None:  # noqa: B027 - most need none
        """Raise ValueError for a module that it cannot do with, where that shows without what it waits for; by default nothing."""

    @property
    def by_unit(self) -> bool:
        """Whether it compares layers unit by unit, so that none may be removed; by default not."""
        return False

    @abstractmethod
    def __call__(self, module: Any, batch: Any) -> Tensor: ...
