"""Objectives: what one fit minimises beside the module's own loss, such as a penalty or the distance to a teacher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor


class Objective(ABC):
    """(module, batch) -> a scalar that is added to the loss of each minibatch. A frozen dataclass: it is part of the key.

    It is called in training mode, after the module's own step on the batch, and what it draws is a function of (seed, step).
    """

    version: ClassVar[int] = 1

    @abstractmethod
    def __call__(self, module: Any, batch: Any) -> Tensor: ...
