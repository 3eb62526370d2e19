"""The learning rate as a pure function of the step, so that a rewound clock has the rate of the dense run there."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ltb.core.step import Clock, Step

NO_STEPS = Step(0)


@dataclass(frozen=True, kw_only=True)
class LearningRateSchedule(ABC):
    """A function (step, clock) -> learning rate, for any step >= 0.

    `base` > 0 is the rate after the warm-up, which rises linearly over `warmup`: base · (step + 1) / warmup.
    From T on (fine-tuning) the rate stays what it was at T − 1, or is `after` where that is given: Han et al. 2015
    retrain at a tenth of the rate.
    """

    base: float
    warmup: Step = NO_STEPS
    after: float | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.base, (int, float)) and 0 < self.base < math.inf):
            raise ValueError(f"lr.base={self.base}: a number above 0")
        if self.after is not None and not 0 < self.after < math.inf:
            raise ValueError(f"lr.after={self.after}: a number above 0, or null for the last rate of the schedule")
        object.__setattr__(self, "warmup", _step("lr.warmup", self.warmup))

    @abstractmethod
    def shape(self, step: int, clock: Clock) -> float:
        """Return the rate at a step in [warmup, T), without warm-up."""

    def __call__(self, step: int, clock: Clock) -> float:
        if step >= clock.length:
            return self.after if self.after is not None else self(clock.length - 1, clock)
        warmup = clock.at(self.warmup)
        if step < warmup:
            return self.base * (step + 1) / warmup
        return self.shape(step, clock)


@dataclass(frozen=True, kw_only=True)
class Constant(LearningRateSchedule):
    """The rate `base` throughout."""

    def shape(self, step: int, clock: Clock) -> float:
        return self.base


@dataclass(frozen=True, kw_only=True)
class Milestones(LearningRateSchedule):
    """The rate `base`, multiplied by `factor` at each of the rising `milestones` (steps): the usual step decay."""

    milestones: Sequence[Step]
    factor: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        steps = tuple(_step("lr.milestones", step) for step in self.milestones)
        if any(before.unit == after.unit and after <= before for before, after in pairwise(steps)):
            raise ValueError(f"lr.milestones={[str(step) for step in steps]}: must rise")
        if not 0 < self.factor < math.inf:
            raise ValueError(f"lr.factor={self.factor}: a number above 0")
        object.__setattr__(self, "milestones", steps)

    def shape(self, step: int, clock: Clock) -> float:
        return self.base * self.factor ** sum(step >= clock.at(milestone) for milestone in self.milestones)


@dataclass(frozen=True, kw_only=True)
class Cosine(LearningRateSchedule):
    """Half a cosine from `base` to `final` between the end of warm-up and T (Loshchilov & Hutter 2017, no restart)."""

    final: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.final <= self.base:
            raise ValueError(f"lr.final={self.final}: between 0 and lr.base={self.base}")

    def shape(self, step: int, clock: Clock) -> float:
        warmup = clock.at(self.warmup)
        done = (step - warmup) / (clock.length - warmup)
        return self.final + (self.base - self.final) * (1 + math.cos(math.pi * done)) / 2


def _step(key: str, value: Step | str | int) -> Step:
    try:
        return Step.parse(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
