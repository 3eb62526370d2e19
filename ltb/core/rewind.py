"""Rewinds: from which weights, at which step of the clock, a pruned network is trained. (start, source) -> (origin, stop)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from ltb.common.allowed import Limits, settle
from ltb.common.step import Clock, Step
from ltb.core.points import Point

ONE_EPOCH = Step(1, "ep")
Times = Annotated[int, Limits("2 to 1000", least=2, below=1001)]


@dataclass(frozen=True)
class Rewind(ABC):
    """(start: the dense run at step k, source: the network that was pruned, clock) -> (origin, stop).

    `optimizer_state`: ``fresh`` starts the optimizer anew (the published codes of Frankle & Carbin and open_lth);
    ``kept`` takes the state that belongs to the origin's weights (Renda et al. restore their checkpoint's slots),
    set to 0 where the mask is 0.
    """

    optimizer_state: Literal["fresh", "kept"] = "fresh"
    trained_source: ClassVar[bool] = (
        False  # whether the origin's weights are the source's: then it must have been trained
    )

    def __post_init__(self) -> None:
        settle(self, "rewind")

    @property
    def source_state(self) -> bool:
        """Return whether the origin takes the optimizer's state at the end of the source."""
        return self.optimizer_state == "kept" and self.trained_source

    @property
    def start_state(self) -> bool:
        """Return whether the origin takes the optimizer's state at the start."""
        return self.optimizer_state == "kept" and not self.trained_source

    @abstractmethod
    def origin(self, start: Point, source: Point, clock: Clock) -> tuple[Point, int]: ...

    def __call__(self, start: Point, source: Point, clock: Clock) -> tuple[Point, int]:
        """The origin and the iteration to stop at; the state of the optimizer is dropped where it starts fresh."""
        point, stop = self.origin(start, source, clock)
        return (point if self.optimizer_state == "kept" else Point(point.weights, point.step)), stop

    def iterations(self, start: int, clock: Clock) -> int:
        """Return how many iterations a fit takes when the dense run's start is at iteration `start`."""
        return clock.length - start

    def clock(self, clock: Clock) -> Clock:
        """Return the clock that a fit goes by: the run's, unless it is stretched."""
        return clock


@dataclass(frozen=True)
class Weights(Rewind):
    """Weight rewinding: weights and clock go back to step k of the dense run, and training runs to T.

    k = 0 is the lottery-ticket procedure (Frankle & Carbin 2019), k > 0 IMP with rewinding (Frankle et al. 2020).
    """

    def origin(self, start: Point, source: Point, clock: Clock) -> tuple[Point, int]:
        return start, clock.length


@dataclass(frozen=True)
class Extended(Weights):
    """Weight rewinding to a training that is `times` as long as the dense network's: RigL's 5x (Evci et al. 2020, section 4.1).

    The learning rate's warm-up, milestones and end are `times` as late, as are the first and the last change of dynamics, but not
    the interval between changes: what the authors' code multiplies. From step k it begins at `times` · k of `times` · T, at the
    dense run's weights and learning rate of step k; batches and augmentation are those of its own iterations. The dense network
    keeps its length.
    """

    times: Times = 5

    def origin(self, start: Point, source: Point, clock: Clock) -> tuple[Point, int]:
        return replace(start, step=self.times * start.step), self.clock(clock).length

    def iterations(self, start: int, clock: Clock) -> int:
        return self.times * super().iterations(start, clock)

    def clock(self, clock: Clock) -> Clock:
        return clock.stretched(self.times)


@dataclass(frozen=True)
class LearningRate(Rewind):
    """Learning-rate rewinding: the weights stay as trained, the clock goes back to step k (Renda et al. 2020)."""

    trained_source: ClassVar[bool] = True

    def origin(self, start: Point, source: Point, clock: Clock) -> tuple[Point, int]:
        return Point(source.weights, start.step, source.optimizer), clock.length


@dataclass(frozen=True)
class FineTune(Rewind):
    """Fine-tuning: weights and clock stay, and training goes on for `length` (Han et al. 2015).

    Past T the learning rate is the schedule's last one, or what `lr.after` says. With a length of 0 nothing is retrained: each
    level is the source as it was pruned.
    """

    length: Step = ONE_EPOCH
    trained_source: ClassVar[bool] = True

    def origin(self, start: Point, source: Point, clock: Clock) -> tuple[Point, int]:
        return source, source.step + clock.at(self.length)

    def iterations(self, start: int, clock: Clock) -> int:
        return clock.at(self.length)
