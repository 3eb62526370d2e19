"""The overlap of the masks of several networks, beside what they have by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, NamedTuple

from torch import Tensor

from ltb.core.contracts import Bench
from ltb.core.masks import Masks
from ltb.core.measure import Measure
from ltb.core.results import Measurement, Number, Result
from ltb.measures.chance import Chance, hypergeometric, sum_of


@dataclass(frozen=True)
class Overlap(Measure):
    """The intersection over union (Jaccard index) of the masks of each two of n >= 2 results, per layer and in all.

    Values for two results, the first three also for each prunable parameter, as in ``iou/fc1.weight``:
    iou:                |A ∩ B| / |A ∪ B| of the weights that the masks keep, in [0, 1]; 1 where both keep none.
    chance_iou:         its expectation for independent masks, uniformly random among those that keep as many weights as
                        A and B do. For the whole network they keep as many in each layer.
    z:                  (|A ∩ B| − its mean by chance) / its standard deviation by chance, in the same model: what it
                        says of the whole network is more than that the layers' densities agree. None where chance
                        leaves no choice.
    uniform_chance_iou: the expectation for masks that keep as many in all, wherever in the network: about
                        ab / (a + b − ab) at densities a and b. What chance_iou has above it is the agreement of
                        the layers' densities.
    For more than two results the pair is in the name, by the places of the two in the order given: ``iou@0-1``,
    ``iou@0-1/fc1.weight``.

    By chance the intersection of a layer is hypergeometric; expectations are summed over its distribution, exactly for
    every size. Of nested masks, such as two levels of one run, the overlap follows from the densities: iou is the
    smaller density over the larger, and z says no more. Raises ValueError for fewer than two results, and where the
    masks differ in their names or shapes.
    """

    joint: ClassVar[bool] = True
    network: ClassVar[bool] = False

    def __call__(self, of: Sequence[Result], bench: Bench) -> Measurement:
        if len(of) < 2:
            raise ValueError(f"measure={self.name}: it compares two results or more, and was given {len(of)}")
        masks = [result.masks for result in of]
        values: dict[str, Number | None] = {}
        for one, other in combinations(range(len(masks)), 2):
            _check_alike(masks[one], masks[other], f"measure={self.name}: results {one} and {other}")
            pair = f"@{one}-{other}" if len(masks) > 2 else ""
            for name, value in overlap(masks[one], masks[other]).items():
                quantity, slash, layer = name.partition("/")
                values[f"{quantity}{pair}{slash}{layer}"] = value
        return Measurement(values)


def overlap(one: Masks, other: Masks) -> dict[str, Number | None]:
    """Return the values of `Overlap` for masks of the same names and shapes."""
    layers = {name: Counts.of(one[name], other[name]) for name in one}
    chances = {name: layer.chance() for name, layer in layers.items()}
    network = Counts(*(sum(column) for column in zip(*layers.values(), strict=True)))
    values: dict[str, Number | None] = _values(network, sum_of(chances.values()))
    values["uniform_chance_iou"] = network.expected_iou(network.chance())
    for name, layer in layers.items():
        values |= {f"{quantity}/{name}": value for quantity, value in _values(layer, chances[name]).items()}
    return values


class Counts(NamedTuple):
    """Return how many weights there are, how many each of two masks keeps, and how many both do."""

    total: int
    one: int
    other: int
    shared: int

    @classmethod
    def of(cls, one: Tensor, other: Tensor) -> Counts:
        """Count two bool tensors of one shape."""
        return cls(one.numel(), int(one.sum()), int(other.sum()), int((one & other).sum()))

    @property
    def iou(self) -> float:
        """Intersection over union; 1 where nothing is kept."""
        union = self.one + self.other - self.shared
        return self.shared / union if union else 1.0

    def chance(self) -> Chance:
        """The distribution of `shared` for uniformly random masks of these counts."""
        return hypergeometric(self.total, self.one, self.other)

    def expected_iou(self, chance: Chance) -> float:
        """Return the expectation of `iou` where `shared` is distributed so."""
        kept = self.one + self.other
        return chance.expectation(lambda shared: shared / (kept - shared)) if kept else 1.0


def _values(counts: Counts, chance: Chance) -> dict[str, Number | None]:
    z = (counts.shared - chance.mean) / math.sqrt(chance.variance) if chance.variance else None
    return {"iou": counts.iou, "chance_iou": counts.expected_iou(chance), "z": z}


def _check_alike(one: Masks, other: Masks, which: str) -> None:
    if one.keys() != other.keys():
        lone = sorted(one.keys() ^ other.keys())
        raise ValueError(f"{which} do not have the same masks; only one of them has {', '.join(lone)}")
    for name, mask in one.items():
        if mask.shape != other[name].shape:
            shapes = f"{tuple(mask.shape)} and {tuple(other[name].shape)}"
            raise ValueError(f"{which} have masks of different shapes for {name}: {shapes}")
