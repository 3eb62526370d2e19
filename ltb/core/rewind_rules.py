"""Rewind rules: which step of the dense run a rewind goes back to, told by the tickets that a level would draw on the way there."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from ltb.common.allowed import Fraction, Limits, settle
from ltb.common.step import Clock, Step
from ltb.core.masks import Masks, distance

EPOCH = Step(1, "ep")


class RewindRule(ABC):
    """Draws a level's ticket at steps of the dense run, one after another, and says at which of them it `holds`: that is k.

    window: how many tickets it looks at, the newest included; before so many are drawn it does not hold.
    """

    window: int

    def __post_init__(self) -> None:
        settle(self, "rewind_rule")

    @property
    def label(self) -> str:
        """The name in words: ``early bird`` for `EarlyBird`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", type(self).__name__).lower()

    @abstractmethod
    def steps(self, clock: Clock) -> Sequence[int]:
        """Return the iterations at which it looks, rising; where it never holds, the last is k.

        Raises ValueError for a run in which it could not hold.
        """

    @abstractmethod
    def look(self, drawn: Sequence[Masks]) -> Mapping[str, float]:
        """Return what it sees in the newest `window` tickets, or the fewer that were drawn, oldest first."""

    @abstractmethod
    def holds(self, seen: Mapping[str, float]) -> bool:
        """Return whether it holds of what it saw."""


@dataclass(frozen=True)
class EarlyBird(RewindRule):
    """The first step at which the tickets stand still: You et al. 2020.

    A ticket is drawn every `every` of the dense run, up to `latest` (None: the last time before the run's end). It holds once the
    normalised Hamming distance of the newest ticket to each of the `window` − 1 before is below `epsilon` (a first-in-first-out
    queue of 5 and 0.1 in the paper). As in `MaskDistance`, the distance is never above twice the density: at a density of 5 % an
    `epsilon` of 0.1 always holds. Deviations: theirs are masks of channels by the scale of batch normalisation, here they are
    what the level prunes; theirs goes on training with the optimizer's state, here `rewind.optimizer_state` says whether.
    """

    every: Annotated[Step, Limits("at least one iteration", least=1)] = EPOCH
    window: Annotated[int, Limits("2 or more", least=2)] = 5
    epsilon: Fraction = 0.1
    latest: Annotated[Step, Limits("at least one iteration", least=1)] | None = None

    def steps(self, clock: Clock) -> Sequence[int]:
        every, end = clock.at(self.every), clock.length
        if self.latest is not None and (end := clock.at(self.latest) + 1) > clock.length:
            raise ValueError(
                f"rewind_rule.latest={self.latest} is iteration {end - 1}, and the run is {clock.length} iterations long; "
                "the rewind step must lie before its end"
            )
        found = range(every, end, every)
        if len(found) < self.window:
            where = f"up to rewind_rule.latest={self.latest}" if self.latest else f"before the end of {end} iterations"
            raise ValueError(
                f"rewind_rule.every={self.every}: {len(found)} tickets are drawn {where}, "
                f"and rewind_rule.window={self.window} takes that many"
            )
        return found

    def look(self, drawn: Sequence[Masks]) -> Mapping[str, float]:
        before = [distance(drawn[-1], other) for other in drawn[:-1]]
        seen = {"distance": before[-1]} if before else {}
        return seen | ({"farthest": max(before)} if len(drawn) == self.window else {})

    def holds(self, seen: Mapping[str, float]) -> bool:
        return seen.get("farthest", math.inf) < self.epsilon
