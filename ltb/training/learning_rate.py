"""The learning rate as a pure function of the step, so that a rewound clock has the rate of the dense run there."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ltb.common.allowed import Fraction, NotNegative, Positive, settle
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


def _done(step: int, clock: Clock, warmup: int) -> float:
    """Return the fraction of [warm-up, T) that is done."""
    return (step - warmup) / (clock.length - warmup)


@dataclass(frozen=True, kw_only=True)
class Decaying(LearningRateSchedule):
    """A schedule that falls from `base` to `final`, 0 ≤ final ≤ base, between the end of warm-up and T."""

    final: NotNegative = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.final > self.base:
            raise ValueError(f"lr.final={self.final}: between 0 and lr.base={self.base}")


@dataclass(frozen=True, kw_only=True)
class Cosine(Decaying):
    """Half a cosine from `base` to `final` between the end of warm-up and T (Loshchilov & Hutter 2017, no restart)."""

    def shape(self, step: int, clock: Clock) -> float:
        done = _done(step, clock, clock.at(self.warmup))
        return self.final + (self.base - self.final) * (1 + math.cos(math.pi * done)) / 2


@dataclass(frozen=True, kw_only=True)
class Linear(Decaying):
    """A straight line from `base` to `final` between the end of warm-up and T."""

    def shape(self, step: int, clock: Clock) -> float:
        return self.final + (self.base - self.final) * (1 - _done(step, clock, clock.at(self.warmup)))


@dataclass(frozen=True, kw_only=True)
class Polynomial(Decaying):
    """A line's `power`: final + (base − final) · (1 − done)^power; 0.9 is the "poly" policy of Chen et al. 2017."""

    power: Positive = 0.9

    def shape(self, step: int, clock: Clock) -> float:
        return self.final + (self.base - self.final) * (1 - _done(step, clock, clock.at(self.warmup))) ** self.power


@dataclass(frozen=True, kw_only=True)
class OneCycle(LearningRateSchedule):
    """One cycle (Smith & Topin 2018) as in torch's OneCycleLR with cosines, of the rate alone: momentum stays as it is.

    It rises from base / `div_factor` to `base` over the fraction `rise` of T, then falls to base / (`div_factor` ·
    `final_div_factor`) at T − 1. It rises by itself, so that `warmup` must be 0.
    """

    rise: Fraction = 0.3
    div_factor: Positive = 25.0
    final_div_factor: Positive = 1e4

    def check(self, clock: Clock) -> None:
        super().check(clock)
        if self.warmup.count:
            raise ValueError(
                f"lr.warmup={self.warmup}: 0it, for one cycle rises by itself, over lr.rise={self.rise} of the run"
            )

    def shape(self, step: int, clock: Clock) -> float:
        low, last = self.base / self.div_factor, clock.length - 1
        top = max(self.rise * clock.length - 1, 0.0)  # torch's: the step, not always a whole one, of the highest rate
        if step <= top:
            return _between(low, self.base, step / top if top else 1.0)
        return _between(self.base, low / self.final_div_factor, (step - top) / (last - top))


def _between(first: float, then: float, done: float) -> float:
    return then + (first - then) * (1 + math.cos(math.pi * done)) / 2
