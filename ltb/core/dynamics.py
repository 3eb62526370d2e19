"""Dynamics: how the mask changes during one fit, as a pure function of what stands at a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from ltb.core.masks import Masks
from ltb.core.points import Point
from ltb.core.step import Clock


class Dynamics(ABC):
    """A frozen dataclass: it is part of the key. None ships yet, and `ltb.Training` refuses a fit that has one."""

    version: ClassVar[int] = 1

    @abstractmethod
    def steps(self, start: int, stop: int, clock: Clock) -> Sequence[int]:
        """Return the iterations after which the mask changes, rising."""

    @abstractmethod
    def __call__(self, step: int, point: Point, masks: Masks, seed: int) -> Masks:
        """Return the masks from iteration `step` on."""
