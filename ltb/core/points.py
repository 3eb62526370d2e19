"""Points on a training trajectory, and the fits that begin from them. A point always has the dense network's names and shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ltb.core import masks as m
from ltb.core.masks import Masks
from ltb.core.tensors import Weights

if TYPE_CHECKING:
    from ltb.common.step import Clock
    from ltb.core.dynamics import Aim, Dynamics
    from ltb.core.execution import Execution
    from ltb.core.objectives import Objective

HOW = ("noise", "dynamics", "aim", "objective", "execution", "clock")  # the fields of a fit that say how it runs


@dataclass(frozen=True, eq=False)
class Point:
    """A place on a training trajectory: weights (buffers included), the iteration, and the optimizer's state if kept."""

    weights: Weights
    step: int
    optimizer: Weights | None = None


@dataclass(frozen=True, eq=False)
class Fit:
    """One training to be done: the masks that it begins with, the masked point it begins from, the iteration it ends at.

    noise:     a number that reseeds batch order, augmentation and dropout alone, so that fits of one origin with other noise
               are the children of an instability analysis (Frankle et al. 2020); None is the run's own.
    dynamics:  how the masks change on the way; None holds them.
    objective: what is minimised beside the module's loss; None for nothing.
    execution: how the masked network is run; None holds masks on the dense one.
    aim:       what masks are to come to that dynamics change, or an execution that prunes; None without either.
    clock:     the clock that learning rate and dynamics go by; None is the run's own.
    """

    masks: Masks
    origin: Point
    stop: int
    noise: int | None = None
    dynamics: Dynamics | None = None
    aim: Aim | None = None
    objective: Objective | None = None
    execution: Execution | None = None
    clock: Clock | None = None

    @classmethod
    def of(cls, masks: Masks, origin: Point, stop: int, **how: Any) -> Fit:
        """A fit whose origin is a masked copy: bit for bit `origin` where the mask is 1; exactly 0 where it is 0, unless the
        execution has something else stand there. One that knows units puts at 0 what lives with those that are pruned, too.
        """
        execution: Execution | None = how.get("execution")
        weights = (
            execution.masked(origin.weights, masks, how.get("aim")) if execution else m.apply(origin.weights, masks)
        )
        return cls(masks, Point(weights, origin.step, origin.optimizer), stop, **how)

    def begun(self, masks: Masks, origin: Point, stop: int) -> Fit:
        """The same kind of fit with other masks, from another origin, to another end."""
        return Fit.of(masks, origin, stop, **{name: getattr(self, name) for name in HOW})
