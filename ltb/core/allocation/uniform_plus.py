"""Uniform sparsity that spares the ends of a network."""

from __future__ import annotations

from dataclasses import dataclass

from ltb.common.allowed import Fraction, settle
from ltb.core.allocation.allocation import Shapes, kept_count, sizes
from ltb.core.allocation.by_layer import ByLayer, apportion


@dataclass(frozen=True)
class UniformPlus(ByLayer):
    """The first layer dense, the last at most `last` sparse, the others alike (Gale et al. 2019, section 4.2: uniform+).

    The others take what is left, so that the total is exact; the last is as sparse as they are until it reaches its limit. First
    and last are those of the prunable parameters in the network's order. Refuses targets that the others cannot take.
    """

    last: Fraction = 0.8

    def __post_init__(self) -> None:
        settle(self, "allocation")

    def counts(self, shapes: Shapes, target: float) -> dict[str, int]:
        most, kept = [*sizes(shapes).values()], self.kept(shapes, target)
        least = [0] * len(most)
        least[-1] = kept_count(most[-1], self.last)
        least[0] = most[0]
        if sum(least) > kept:
            names = list(shapes)
            raise ValueError(
                f"allocation.last={self.last}: {names[0]} dense and {names[-1]} at most {self.last} sparse keep {sum(least)} "
                f"weights, and a sparsity of {target:.6g} keeps {kept}; a sparsity up to {1 - sum(least) / sum(most):.6g}"
            )
        return dict(zip(shapes, apportion(kept, most, least, most), strict=True))
