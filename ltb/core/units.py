"""Units: the channels and neurons of a network, which weights belong to each, and what is 0 where a unit is pruned.

A unit is what is kept or removed as a whole: rows of the weights that make it, columns of those that read it, and what lives and
dies with it, its biases and the norm's parameters and statistics. Pruned, nothing reads it, so that removing it changes no output.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ltb.core.masks import Masks
from ltb.core.tensors import Weights

MADE, READ = "made/", "read/"


class Structure(ABC):
    """A probe that says which weights make up a unit: a frozen dataclass. It gathers what `gathered` makes of `Group`s."""

    @abstractmethod
    def __call__(self, module: Any, batches: Any) -> Mapping[str, Weights]: ...


@dataclass(frozen=True, eq=False)
class Group:
    """Units of one kind: the channels of a convolution with all that is coupled to them, through norms, sums and flattening.

    name: a weight that makes them; groups are called by it.
    made: for each parameter and buffer with entries of a unit the unit of each index, −1 of none: int64, from 0, in a shape that
          broadcasts to the tensor's. (8, 1, 1, 1) are eight rows of a convolution, (8,) eight biases.
    read: likewise for each weight that reads the units' outputs: (1, 8, 1, 1).
    """

    name: str
    made: Mapping[str, Tensor]
    read: Mapping[str, Tensor]

    @property
    def count(self) -> int:
        """Return how many units there are."""
        return 1 + int(self.made[self.name].max())

    @property
    def weights(self) -> frozenset[str]:
        """The names of its tensors of two or more dimensions: what must be prunable for its units to be."""
        return frozenset(name for name, index in self.sides() if index.ndim > 1)

    def sides(self) -> Iterator[tuple[str, Tensor]]:
        """Yield each name and its index, of what makes units and of what reads them; a name may come twice."""
        yield from self.made.items()
        yield from self.read.items()

    def sums(self, values: Mapping[str, Tensor], sides: Iterable[tuple[str, Tensor]]) -> Tensor:
        """Return the sum of each unit's entries in `values`, over those of `sides` that it has: (units,), float64."""
        total = torch.zeros(self.count + 1, dtype=torch.float64)
        for name, index in sides:
            if name in values:
                total.index_add_(0, index.flatten() + 1, values[name].double().sum_to_size(index.shape).flatten())
        return total[1:]

    def is_read(self, masks: Masks) -> Tensor:
        """Return for each unit whether masks keep a weight that reads it: a bool tensor, (units,)."""
        return self.sums(masks, self.read.items()) > 0

    def entries(self, kept: Tensor, sides: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
        """Yield names and which of their entries stay where `kept` units do: bool tensors that broadcast to the tensors."""
        for name, index in sides:
            yield name, (index < 0) | kept[index.clamp(min=0)]


def gathered(groups: Iterable[Group]) -> dict[str, Weights]:
    """Return groups as what a probe gathers."""
    found: dict[str, Weights] = {}
    for group in groups:
        found |= {f"{MADE}{group.name}": group.made, f"{READ}{group.name}": group.read}
    return found


def groups_of(found: Mapping[str, Weights]) -> tuple[Group, ...]:
    """Return the groups that a `Structure` gathered."""
    names = [name.removeprefix(MADE) for name in found if name.startswith(MADE)]
    return tuple(Group(name, found[f"{MADE}{name}"], found[f"{READ}{name}"]) for name in names)


def by_halves(groups: Sequence[Group], holds: Callable[[Sequence[Group]], bool]) -> tuple[Group, ...]:
    """Return the groups of which something holds: tried all at once, and by halves where it does not."""
    if not groups or holds(groups):
        return tuple(groups)
    middle = len(groups) // 2
    return (*by_halves(groups[:middle], holds), *by_halves(groups[middle:], holds)) if middle else ()


def whole(groups: Iterable[Group], names: Container[str]) -> list[Group]:
    """Return the groups all of whose weights are among `names`, those of what is prunable."""
    return [group for group in groups if all(name in names for name in group.weights)]


def left(groups: Iterable[Group], masks: Masks) -> Iterator[tuple[Group, Tensor]]:
    """Yield each group all of whose weights have masks, and which of its units are left when those that nothing reads are removed.

    What only removed units read is read by nothing. One unit of a group is left, its first, where nothing reads any.
    """
    groups, masks, before = whole(groups, masks), dict(masks), -1
    while before != (before := sum(int(mask.sum()) for mask in masks.values())):
        for group in groups:
            for name, entries in group.entries(group.is_read(masks), group.made.items()):
                if name in masks:
                    masks[name] = masks[name] & entries
    for group in groups:
        kept = group.is_read(masks)
        kept[0] |= not kept.any()
        yield group, kept


def without(groups: Iterable[Group], masks: Masks) -> Iterator[tuple[str, Tensor]]:
    """Yield which entries of tensors are there when only `left` units are: a name, and a bool tensor that broadcasts to its tensor.

    A name may come again, for other units.
    """
    for group, kept in left(groups, masks):
        yield from group.entries(kept, group.sides())


def held(groups: Iterable[Group], masks: Masks) -> dict[str, Tensor]:
    """Return masks with further ones, of what lives and dies with units: their biases, the norms' parameters and statistics."""
    found = dict(masks)
    for name, entries in without(groups, masks):
        if entries.ndim == 1:
            found[name] = found[name] & entries if name in found else entries
    return found
