"""Dynamics: how the masks change during one fit, as a pure function of what stands at a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from torch import Tensor

from ltb.common.allowed import Limits, settle
from ltb.common.step import Clock, Step
from ltb.core.allocation import Allocation
from ltb.core.criteria import Criterion, Evidence
from ltb.core.masks import Masks
from ltb.core.tensors import Weights

START, HUNDRED = Step(0), Step(100)


@dataclass(frozen=True, eq=False)
class Aim:
    """What a fit whose masks change is to come to: a level's `target` sparsity, as `criterion` and `allocation` have it.

    first: the target sparsity of what was pruned, in [0, target); `outer` are its masks: what is pruned is chosen among them, and
           what is regrown may lie outside.
    start: the weights at the rewind step, and `seed` the run's: evidence, as for any criterion.
    source: the weights of what is pruned, as they are scored.
    """

    criterion: Criterion
    allocation: Allocation
    first: float
    target: float
    outer: Masks
    start: Weights
    seed: int
    source: Weights = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Moment:
    """A moment of a fit: `step` iterations into `length`. `clock` is the fit's."""

    step: int
    length: int
    clock: Clock


@dataclass(frozen=True, eq=False)
class Standing(Moment):
    """What stands when the masks are to change, of the prunable parameters.

    sums:     what `Dynamics.summed` came to, by parameter.
    gathered: what a probe gathers from the network as it stands, in the minibatch that comes next; nothing of None.
    """

    weights: Weights
    masks: Masks
    aim: Aim
    sums: Weights = field(default_factory=dict)
    gathered: Callable[[Any], Mapping[str, Weights]] = lambda probe: {}

    def pruned(self, masks: Masks, target: float) -> Masks:
        """Return the masks of a target sparsity among `masks`, by the level's criterion and allocation."""
        return self.allocated(self.aim.criterion(self.weights, self._evidence(self.aim.criterion.probe)), masks, target)

    def allocated(self, scores: Mapping[str, Tensor], masks: Masks, target: float) -> Masks:
        """Return the masks of a target sparsity among `masks`, by scores and the level's allocation."""
        return self.aim.allocation(scores, masks, target, self._evidence(self.aim.allocation.probe))

    def _evidence(self, probe: Any) -> Evidence:
        return Evidence(self.aim.seed, self.aim.start, self.gathered(probe))


class Dynamics(ABC):
    """(standing) -> masks, before the minibatch of each of `steps`. A frozen dataclass without state: it is part of the key.

    What becomes unmasked begins at 0, with an optimizer state of 0 (its entries; a count of steps, as Adam has one, goes on).

    probe:   gathers what it looks at beside weights, as a criterion's does.
    prunes:  whether it brings what was pruned last to the target on its way; else a fit begins at the target.
    ranks:   whether it ranks weights by itself, so that the level's criterion is not asked.
    signed:  where it ranks, whether its scores may be below 0.
    regrows: whether weights come back one by one, which keeps no pattern of several.
    sums:    whether something is summed over the steps of the fit, see `summed`.
    version: raised when the same settings come to give other masks.
    """

    probe: ClassVar[Any] = None
    prunes: ClassVar[bool] = False
    ranks: ClassVar[bool] = False
    signed: ClassVar[bool] = True
    regrows: ClassVar[bool] = False
    sums: ClassVar[bool] = False
    version: ClassVar[int] = 1

    @abstractmethod
    def steps(self, length: int, clock: Clock) -> tuple[int, ...]:
        """Return how many iterations into a fit of `length` the masks change: rising, from 0 to below `length`."""

    @abstractmethod
    def __call__(self, now: Standing) -> Masks: ...

    def summed(self, total: Tensor, weight: Tensor, gradient: Tensor, at: Moment) -> Tensor:
        """Return what is added to a parameter's sum before each step of the optimizer: same shape, on the same device.

        `total` is the sum so far, 0 at first; `gradient` is the one that the optimizer takes: that of what is kept, clipped if
        the module clips.
        """
        raise NotImplementedError

    def targets(self, first: float, target: float, length: int, clock: Clock) -> tuple[float, ...]:
        """Return the sparsities that the allocation is asked for on the way from `first` to `target`, once for each time it is."""
        return (target,) * len(self.steps(length, clock)) if self.prunes else ()

    def check(self, length: int, clock: Clock) -> None:
        """Raise ValueError where the masks would not change in a fit of `length` iterations, or not as they are to."""
        if not self.steps(length, clock):
            raise ValueError(f"dynamics={self!r}: the masks would never change in a fit of {length} iterations")


@dataclass(frozen=True)
class Regular(Dynamics):
    """Dynamics at regular steps: `every`, counted from `first`, up to `last`, which None puts at three quarters of the fit.

    All three count from where the fit begins. The first change is at first + every. A clock that is stretched puts `first` and
    `last` as much later, and leaves `every` as it is.
    """

    every: Annotated[Step, Limits("at least one iteration", least=1)] = HUNDRED
    first: Step = START
    last: Step | None = None

    def __post_init__(self) -> None:
        settle(self, "dynamics")

    def steps(self, length: int, clock: Clock) -> tuple[int, ...]:
        last = self.end(length, clock)
        first, every = clock.at(self.first), clock.span(self.every)
        return tuple(range(first + every, min(last, length - 1) + 1, every))

    def end(self, length: int, clock: Clock) -> int:
        """Return how many iterations into the fit `last` is."""
        return 3 * length // 4 if self.last is None else clock.at(self.last)

    def check(self, length: int, clock: Clock) -> None:
        for name in ("every", "first", "last"):
            try:
                at = clock.at(getattr(self, name) or START)
            except ValueError as error:
                raise ValueError(f"dynamics.{name}: {error}") from None
            if at > length:
                raise ValueError(f"dynamics.{name}={getattr(self, name)}: a level is trained for {length} iterations")
        super().check(length, clock)

    def progress(self, now: Moment) -> float:
        """Return how much of the changes is done with the present one, in (0, 1]: 1 at the last."""
        steps = self.steps(now.length, now.clock)
        return (steps.index(now.step) + 1) / len(steps)
