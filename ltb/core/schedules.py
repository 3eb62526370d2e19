"""Schedules: the target sparsity of each level. Level 0 is the dense network, always."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from ltb.common.allowed import Fraction, Limits, settle

LEVELS = 200


class Schedule(ABC):
    """A frozen value whose `targets` are the sparsities of levels 0, 1, …: 0 first, then rising, below 1."""

    def __post_init__(self) -> None:
        settle(self, "schedule")
        self.check()

    def check(self) -> None:
        """Raise ValueError for a target that is no sparsity above the one before."""
        targets = self.targets
        if targets[:1] != (0,) or targets[-1] >= 1 or any(after <= before for before, after in pairwise(targets)):
            raise ValueError(
                f"schedule={self!r}: sparsities must start at 0, rise from level to level and stay below 1; "
                f"these are {', '.join(f'{target:.6g}' for target in targets[:20])}"
            )

    @property
    @abstractmethod
    def targets(self) -> tuple[float, ...]: ...


@dataclass(frozen=True)
class Geometric(Schedule):
    """Each level removes the fraction `rate` of what is left: 1 − (1 − rate)^level (Frankle & Carbin 2019).

    `rate` in (0, 1); `levels` >= 0 levels after the dense one.

    >>> [round(target, 3) for target in Geometric(rate=0.2, levels=3).targets]
    [0.0, 0.2, 0.36, 0.488]
    """

    rate: Fraction = 0.2
    levels: Annotated[int, Limits(f"0 (the dense network alone) to {LEVELS}", least=0, below=LEVELS + 1)] = 15

    @property
    def targets(self) -> tuple[float, ...]:
        return tuple(1 - (1 - self.rate) ** level for level in range(self.levels + 1))


@dataclass(frozen=True)
class Explicit(Schedule):
    """The listed sparsities, in rising order, each in [0, 1); the dense level is put first if the list lacks it.

    >>> Explicit((0.5, 0.9)).targets
    (0.0, 0.5, 0.9)
    """

    sparsities: Annotated[
        Sequence[Annotated[float, Limits("each in [0, 1)", least=0, below=1)]],
        Limits(f"at most {LEVELS}", below=LEVELS + 1),
    ]

    def check(self) -> None:
        if any(after <= before for before, after in pairwise(self.sparsities)):
            raise ValueError(f"schedule.sparsities={list(self.sparsities)}: must rise from level to level")

    @property
    def targets(self) -> tuple[float, ...]:
        return tuple(self.sparsities) if self.sparsities[:1] == (0,) else (0.0, *self.sparsities)


@dataclass(frozen=True)
class Linear(Schedule):
    """Equal steps of sparsity from 0 to `final` in (0, 1) over `levels` >= 1 levels.

    >>> Linear(final=0.9, levels=3).targets
    (0.0, 0.3, 0.6, 0.9)
    """

    final: Fraction
    levels: Annotated[int, Limits(f"1 to {LEVELS}", least=1, below=LEVELS + 1)]

    @property
    def targets(self) -> tuple[float, ...]:
        return tuple(round(self.final * level / self.levels, 12) for level in range(self.levels + 1))
