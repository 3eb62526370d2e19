"""A moment in training: a frozen value such as ``500it`` or ``2ep``, and the clock that turns it into iterations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering

LONGEST = 10**8  # iterations
_FORM = re.compile(r"\s*(\d+)\s*(it|ep)\s*")


@total_ordering
@dataclass(frozen=True)
class Step:
    """`count` iterations (``it``: optimizer steps) or epochs (``ep``: passes over the training split); `count` >= 0.

    Steps of one unit are ordered, and 0 is 0 in either; to order across units takes a `Clock`.

    >>> Step.parse("2ep"), str(Step.parse("500it")), Step.parse("3it") < Step.parse("20it")
    (Step(count=2, unit='ep'), '500it', True)
    """

    count: int
    unit: str = "it"

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 0:
            raise ValueError(f"a step counts whole iterations or epochs from 0, not {self.count!r}")
        if self.unit not in ("it", "ep"):
            raise ValueError(f"a step's unit is 'it' (iterations) or 'ep' (epochs), not {self.unit!r}")
        if self.count == 0:
            object.__setattr__(self, "unit", "it")

    @classmethod
    def parse(cls, text: str | int | Step) -> Step:
        """Read ``500it`` or ``2ep``; a bare 0 needs no unit. Raises ValueError for anything else."""
        if isinstance(text, Step):
            return text
        if text in (0, "0") and not isinstance(text, bool):
            return cls(0)
        match = _FORM.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"{text!r} is not a step; write iterations as '500it' or epochs as '2ep'")
        return cls(int(match[1]), match[2])

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"

    def __lt__(self, other: Step) -> bool:
        if not isinstance(other, Step):
            return NotImplemented
        if self.unit != other.unit and self.count and other.count:
            raise ValueError(f"{self} and {other} have different units; compare them on a Clock")
        return self.count < other.count


@dataclass(frozen=True)
class Clock:
    """The clock of one training run: `epoch_length` iterations an epoch, `length` iterations in all (T).

    stretch: how many times as late its moments are as a Step says, see `stretched`.
    """

    epoch_length: int
    length: int
    stretch: int = 1

    def __post_init__(self) -> None:
        for name in ("epoch_length", "length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1 iteration, not {getattr(self, name)}")

    @classmethod
    def of(cls, epoch_length: int, length: str | Step) -> Clock:
        """The clock of a run of `length` (a Step or its text)."""
        return cls(epoch_length, cls(epoch_length, 1).at(length))

    def at(self, step: str | int | Step) -> int:
        """The iteration that a step falls on. Raises ValueError for one beyond `LONGEST`, for which nobody waits."""
        return self._within_reason(step, self.stretch)

    def span(self, step: str | int | Step) -> int:
        """Return how many iterations an interval of `step` has, which no clock stretches. Raises ValueError as `at` does."""
        return self._within_reason(step, 1)

    def stretched(self, times: int) -> Clock:
        """The clock of a training `times` as long, each moment of which is as much later; epochs are as long as before.

        >>> Clock(epoch_length=10, length=100).stretched(5).at("2ep")
        100
        """
        return Clock(self.epoch_length, times * self.length, times * self.stretch)

    def _within_reason(self, step: str | int | Step, stretch: int) -> int:
        step = Step.parse(step)
        iteration = stretch * step.count * (self.epoch_length if step.unit == "ep" else 1)
        if iteration > LONGEST:
            raise ValueError(f"{step} is iteration {iteration:,}, and {LONGEST:,} are the most")
        return iteration

    def epoch(self, iteration: int) -> int:
        """The epoch that an iteration belongs to, from 0."""
        return iteration // self.epoch_length
