"""Gradual pruning: the sparsity rises during one training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ltb.common.step import Clock
from ltb.core.dynamics.base import Regular, Standing
from ltb.core.masks import Masks


def ramp(first: float, target: float, progress: float, shape: str) -> float:
    """Return the sparsity between `first` and `target` at `progress` in [0, 1].

    cubic:       target + (first − target) · (1 − progress)³ (Zhu & Gupta 2017, equation 1)
    linear:      first + (target − first) · progress
    exponential: the density falls by equal factors, as in levels of a geometric schedule

    >>> [round(ramp(0.0, 0.8, progress, "cubic"), 3) for progress in (0, 0.5, 1)]
    [0.0, 0.7, 0.8]
    """
    if progress == 1:
        return target
    if shape == "cubic":
        return target + (first - target) * (1 - progress) ** 3
    if shape == "linear":
        return first + (target - first) * progress
    return 1 - (1 - first) ** (1 - progress) * (1 - target) ** progress


@dataclass(frozen=True)
class Ramp(Regular):
    """Dynamics whose sparsity rises from what was pruned (0 where that is the start) to the target, along `shape`, see `ramp`."""

    shape: Literal["cubic", "linear", "exponential"] = "cubic"
    prunes: ClassVar[bool] = True

    def targets(self, first: float, target: float, length: int, clock: Clock) -> tuple[float, ...]:
        changes = len(self.steps(length, clock))
        return tuple(ramp(first, target, index / changes, self.shape) for index in range(1, changes + 1))

    def target(self, now: Standing) -> float:
        """Return the sparsity of the present change."""
        return ramp(now.aim.first, now.aim.target, self.progress(now), self.shape)


@dataclass(frozen=True)
class Gradual(Ramp):
    """Gradual magnitude pruning (Zhu & Gupta 2017), with any criterion: what was pruned once does not come back."""

    def __call__(self, now: Standing) -> Masks:
        return now.pruned(now.masks, self.target(now))
