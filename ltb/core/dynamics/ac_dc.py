"""Alternating compressed and decompressed training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ltb.common.step import Clock
from ltb.core.dynamics.base import Regular, Standing
from ltb.core.masks import Masks


@dataclass(frozen=True)
class ACDC(Regular):
    """AC/DC (Peste et al. 2021, algorithm 1): a dense warm-up, then phases of `every`, compressed and decompressed in turn.

    A compressed phase trains under the masks that the level's criterion and allocation give at its beginning (theirs: global
    magnitude), a decompressed one under none but those of what was pruned last. The first phase is compressed and begins at
    first + every; the last is compressed too, begins at `last` or before, and lasts to the end.
    """

    prunes: ClassVar[bool] = True

    def steps(self, length: int, clock: Clock) -> tuple[int, ...]:
        found = super().steps(length, clock)
        return found[: len(found) - 1 + len(found) % 2]  # an odd number: it ends compressed

    def targets(self, first: float, target: float, length: int, clock: Clock) -> tuple[float, ...]:
        return (target,) * len(self.steps(length, clock)[::2])

    def __call__(self, now: Standing) -> Masks:
        compressed = self.steps(now.length, now.clock).index(now.step) % 2 == 0
        return now.pruned(now.aim.outer, now.aim.target) if compressed else now.aim.outer
