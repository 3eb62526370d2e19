"""Formats that say for each kept entry where it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ltb.common.allowed import Limits, settle
from ltb.core.masks import pack, unpack
from ltb.formats.format import Format, Parts, index, narrowest


@dataclass(frozen=True)
class COO(Format):
    """Row, column and value of each kept entry, a of them: a · (v + 2i) bytes at v bytes a value and i an index; 3a numbers.

    width: i, by default the narrowest that the larger dimension needs; torch keeps 8, scipy 4.
    """

    width: int | None = None

    def encode(self, values: Tensor, mask: Tensor) -> Parts:
        rows, columns = mask.nonzero(as_tuple=True)
        width = self.width or narrowest(max(mask.shape) - 1)
        return {"rows": index(rows, width), "columns": index(columns, width), "values": values[mask]}

    def decode(self, parts: Parts, shape: tuple[int, int]) -> Tensor:
        found = torch.zeros(shape, dtype=parts["values"].dtype)
        found[parts["rows"].long(), parts["columns"].long()] = parts["values"]
        return found

    def formula(self, density: float, shape: tuple[int, int], value: int) -> float:
        return density * math.prod(shape) * (value + 2 * (self.width or narrowest(max(shape) - 1)))


@dataclass(frozen=True)
class Bitmask(Format):
    """A bit for each entry, row by row, and the kept values: a · v + ⌈rows · columns / 8⌉ bytes."""

    def encode(self, values: Tensor, mask: Tensor) -> Parts:
        return {"bits": pack(mask), "values": values[mask]}

    def decode(self, parts: Parts, shape: tuple[int, int]) -> Tensor:
        found = torch.zeros(shape, dtype=parts["values"].dtype)
        found[unpack(parts["bits"], shape)] = parts["values"]
        return found

    def formula(self, density: float, shape: tuple[int, int], value: int) -> float:
        return math.prod(shape) * (density * value + 1 / 8)


@dataclass(frozen=True)
class Relative(Format):
    """The distance of each kept entry from the one before it, row by row, in `bits` bits (Han et al. 2016, figure 2).

    A distance counts the pruned entries in between. One above 2^bits − 1 takes filler entries of value 0, each of which stands
    for 2^bits − 1 pruned entries and itself. The distances are packed without gaps: e · v + ⌈e · bits / 8⌉ bytes for e entries,
    fillers too. The paper has 8 bits for convolutions and 5 for linear layers.
    """

    bits: Annotated[int, Limits("1 to 8", least=1, below=9)] = 5

    def __post_init__(self) -> None:
        settle(self, "format")

    def encode(self, values: Tensor, mask: Tensor) -> Parts:
        distances, stored = self.entries(values, mask)
        shifts = torch.arange(self.bits - 1, -1, -1)
        return {"distances": pack(((distances[:, None] >> shifts) & 1).bool()), "values": stored}

    def decode(self, parts: Parts, shape: tuple[int, int]) -> Tensor:
        stored = parts["values"]
        shifts = torch.arange(self.bits - 1, -1, -1)
        distances = (unpack(parts["distances"], (len(stored), self.bits)).long() << shifts).sum(1)
        return self.placed(distances, stored, shape)

    def formula(self, density: float, shape: tuple[int, int], value: int) -> float:
        return self._entries(density, shape) * (value + self.bits / 8)

    def _entries(self, density: float, shape: tuple[int, int]) -> float:
        """Return how many entries there are on average, fillers too: distances are geometric."""
        filled = (1 - density) ** 2**self.bits  # of a distance, that it takes one filler more
        return density * math.prod(shape) / (1 - filled) if density else 0.0

    def entries(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distances, int64, and the values of all entries, fillers too."""
        places = mask.reshape(-1).nonzero().reshape(-1)
        distances = torch.diff(places, prepend=torch.tensor([-1])) - 1
        step = 2**self.bits
        fillers = distances // step
        ends = torch.arange(len(places)) + fillers.cumsum(0)  # where each kept entry stands among all
        count = len(places) + int(fillers.sum())
        every, stored = torch.full((count,), step - 1), torch.zeros(count, dtype=values.dtype)
        every[ends], stored[ends] = distances % step, values.reshape(-1)[places]
        return every, stored

    def placed(self, distances: Tensor, stored: Tensor, shape: tuple[int, int]) -> Tensor:
        """Return the matrix of `shape` that has these entries."""
        found = torch.zeros(shape, dtype=stored.dtype)
        found.view(-1)[(distances + 1).cumsum(0) - 1] = stored
        return found
