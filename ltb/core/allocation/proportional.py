"""Allocations that share a total out among layers in a fixed proportion: ERK, uniform, balanced."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

from ltb.common.allowed import CountFromZero, settle
from ltb.core.allocation.allocation import Shapes, sizes
from ltb.core.allocation.by_layer import ByLayer, apportion
from ltb.core.allocation.overall import check_minimum


@dataclass(frozen=True)
class Proportional(ByLayer):
    """Layers keep weights in the proportion of their `share`, by their own rankings; the total of all layers is exact.

    A layer whose part is more than it has keeps all, and the others share what is left, in the same proportion. Whole numbers
    are made by `apportion`. `min_per_layer` as in `Global`.
    """

    min_per_layer: CountFromZero = 0

    def __post_init__(self) -> None:
        settle(self, "allocation")

    @staticmethod
    @abstractmethod
    def share(shape: tuple[int, ...]) -> int:
        """Return the part of a layer of this shape, relative to others'."""

    def counts(self, shapes: Shapes, target: float) -> dict[str, int]:
        most, kept = [*sizes(shapes).values()], self.kept(shapes, target)
        check_minimum(self.min_per_layer, most, kept, target)
        least = [min(self.min_per_layer, size) for size in most]
        return dict(zip(shapes, apportion(kept, [*map(self.share, shapes.values())], least, most), strict=True))


@dataclass(frozen=True)
class ERK(Proportional):
    """Erdős–Rényi-kernel densities (Evci et al. 2020, section 3.1): ε · Σ dims / Π dims, with one ε for all layers.

    For a linear layer ε · (in + out) / (in · out), the Erdős–Rényi densities of Mocanu et al. 2018.
    """

    @staticmethod
    def share(shape: tuple[int, ...]) -> int:
        return sum(shape)  # density · Π dims / ε


@dataclass(frozen=True)
class Uniform(Proportional):
    """The same density in each layer, and an exact total, where `Layerwise` is exact in each layer."""

    @staticmethod
    def share(shape: tuple[int, ...]) -> int:
        return math.prod(shape)


@dataclass(frozen=True)
class Balanced(Proportional):
    """The same number of weights in each layer; a layer with fewer keeps all it has (Gadhikar et al. 2023, "balanced")."""

    @staticmethod
    def share(shape: tuple[int, ...]) -> int:
        return 1
