"""The learning rate as a pure function of the step, so that a rewound clock has the rate of the dense run there."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ltb.common.allowed import NotNegative, Positive, settle
from ltb.common.step import Clock, Step

NO_STEPS = Step(0)


@dataclass(frozen=True, kw_only=True)
class LearningRateSchedule(ABC):
    """A function (step, clock) -> learning rate, for any step >= 0.

    `base` > 0 is the rate after the warm-up, which rises linearly over `warmup`: base · (step + 1) / warmup.
    From T on (fine-tuning) the rate stays what it was at T − 1, or is `after` where that is given: Han et al. 2015
    retrain at a tenth of the rate.
    """

    base: Positive
    warmup: Step = NO_STEPS
    after: Positive | None = None

    def __post_init__(self) -> None:
        settle(self, "lr")

    def check(self, clock: Clock) -> None:
        """Raise ValueError where the schedule does not fit in the run: what lies beyond T would have no effect."""
        if clock.at(self.warmup) > clock.length:
            raise ValueError(f"lr.warmup={self.warmup}: at most the length of the run, {clock.length}it")

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
    factor: Positive = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(before.unit == after.unit and after <= before for before, after in pairwise(self.milestones)):
            raise ValueError(f"lr.milestones={[str(step) for step in self.milestones]}: must rise")

    def check(self, clock: Clock) -> None:
        super().check(clock)
        steps = [clock.at(milestone) for milestone in self.milestones]
        given = [str(milestone) for milestone in self.milestones]
        if any(after <= before for before, after in pairwise(steps)):
            raise ValueError(
                f"lr.milestones={given}: must rise; with epochs of {clock.epoch_length}it they are at {steps}"
            )
        if steps and steps[-1] >= clock.length:
            raise ValueError(f"lr.milestones={given}: before the end of the run, {clock.length}it; [] for none")

    def shape(self, step: int, clock: Clock) -> float:
        return self.base * self.factor ** sum(step >= clock.at(milestone) for milestone in self.milestones)


@dataclass(frozen=True, kw_only=True)
class Cosine(LearningRateSchedule):
    """Half a cosine from `base` to `final` between the end of warm-up and T (Loshchilov & Hutter 2017, no restart)."""

    final: NotNegative = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.final > self.base:
            raise ValueError(f"lr.final={self.final}: between 0 and lr.base={self.base}")

    def shape(self, step: int, clock: Clock) -> float:
        warmup = clock.at(self.warmup)
        done = (step - warmup) / (clock.length - warmup)
        return self.final + (self.base - self.final) * (1 + math.cos(math.pi * done)) / 2
