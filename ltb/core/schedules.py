"""Schedules: the target sparsity of each level. Level 0 is the dense network, always."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


class Schedule(ABC):
    """A frozen value whose `targets` are the sparsities of levels 0, 1, …: 0 first, then rising, below 1."""

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

    rate: float = 0.2
    levels: int = 15

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise ValueError(f"schedule.rate={self.rate}: a fraction between 0 and 1, both excluded")
        if self.levels < 0:
            raise ValueError(f"schedule.levels={self.levels}: 0 (the dense network alone) or more")

    @property
    def targets(self) -> tuple[float, ...]:
        return tuple(1 - (1 - self.rate) ** level for level in range(self.levels + 1))


@dataclass(frozen=True)
class Explicit(Schedule):
    """The listed sparsities, in rising order, each in [0, 1); the dense level is put first if the list lacks it.

    >>> Explicit((0.5, 0.9)).targets
    (0.0, 0.5, 0.9)
    """

    sparsities: Sequence[float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "sparsities", tuple(self.sparsities))
        if not all(0 <= value < 1 for value in self.sparsities):
            raise ValueError(f"schedule.sparsities={list(self.sparsities)}: each must be in [0, 1)")
        if any(after <= before for before, after in zip(self.sparsities, self.sparsities[1:], strict=False)):
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

    final: float
    levels: int

    def __post_init__(self) -> None:
        if not 0 < self.final < 1:
            raise ValueError(f"schedule.final={self.final}: a fraction between 0 and 1, both excluded")
        if self.levels < 1:
            raise ValueError(f"schedule.levels={self.levels}: 1 or more")

    @property
    def targets(self) -> tuple[float, ...]:
        return tuple(round(self.final * level / self.levels, 12) for level in range(self.levels + 1))
