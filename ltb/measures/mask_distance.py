"""The distance of the ticket that would be drawn at one moment of the dense run from those drawn before: Early-Bird."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from ltb.common.allowed import Fraction, Limits, settle
from ltb.common.step import Clock, Step
from ltb.core.contracts import Bench
from ltb.core.masks import distance
from ltb.core.measure import Measure
from ltb.core.results import Measurement, Number, Result

EPOCH = Step(1, "ep")


@dataclass(frozen=True)
class MaskDistance(Measure):
    """The distance between masks that a level's criterion and allocation would draw from the dense run at regular steps.

    You et al. 2020, section 3.2: the normalised Hamming distance of two masks is the fraction of the prunable weights of which one
    keeps what the other does not, in [0, 1]; of independent masks of density d it is 2d(1 − d) in expectation, and never above
    2d: at a density of 5 % an `epsilon` of 0.1 says nothing. A ticket is drawn every `every` of the dense run, at its end apart.
    `window` is how many masks, the newest included, must be alike (a first-in-first-out queue of 5 in their code). Deviation:
    theirs are masks of channels by the scale of batch normalisation; here they are what the level prunes, in one go.

    Values of a pruned level, k an iteration of the dense run:
    distance@k:          between the masks at k and one step before.
    farthest@k:          the largest distance of the masks at k to the window − 1 before; from the window-th on.
    distance_to_level@k: between the masks at k and those of the level's own ticket.
    early_bird_step:     the first k at which farthest is below `epsilon`, None where it never is.

    Raises ValueError for a run too short for a window.
    """

    every: Annotated[Step, Limits("at least one iteration", least=1)] = EPOCH
    window: Annotated[int, Limits("2 or more", least=2)] = 5
    epsilon: Fraction = 0.1
    network: ClassVar[bool] = False

    def __post_init__(self) -> None:
        settle(self, f"measure.{self.name}")

    def drawn_at(self, clock: Clock) -> Sequence[int]:
        every = clock.at(self.every)
        steps = range(every, clock.length, every)
        if len(steps) < self.window:
            raise ValueError(
                f"measure.{self.name}.every={self.every}: {len(steps)} tickets are drawn before the end of {clock.length} "
                f"iterations, and measure.{self.name}.window={self.window} takes that many"
            )
        return steps

    def __call__(self, of: Sequence[Result], bench: Bench) -> Measurement:
        level, *drawn = of
        values: dict[str, Number | None] = {"early_bird_step": None}
        for place, result in enumerate(drawn):
            step = result.stop
            before = [distance(result.masks, other.masks) for other in drawn[max(0, place - self.window + 1) : place]]
            values[f"distance_to_level@{step}"] = distance(result.masks, level.masks)
            if before:
                values[f"distance@{step}"] = before[-1]
            if len(before) == self.window - 1:
                values[f"farthest@{step}"] = max(before)
                if values["early_bird_step"] is None and max(before) < self.epsilon:
                    values["early_bird_step"] = step
        return Measurement(values)
