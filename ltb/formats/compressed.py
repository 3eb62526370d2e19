"""Formats that keep one list of places, compressed by row or column."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import pad

from ltb.common.allowed import Limits, settle
from ltb.formats.format import Format, Parts, index, narrowest


@dataclass(frozen=True)
class CSR(Format):
    """Compressed rows: a · (v + i) + q · (rows + 1) bytes at v bytes a value, i a column and q a pointer; 2a + rows + 1 numbers.

    width: i and q, by default each the narrowest that it needs; torch keeps 8, scipy 4.
    """

    width: int | None = None

    def encode(self, values: Tensor, mask: Tensor) -> Parts:
        pointers, columns = _pointers(mask)
        return {
            "pointers": index(pointers, self.width or narrowest(int(pointers[-1]))),
            "columns": index(columns, self.width or narrowest(mask.shape[1] - 1)),
            "values": values[mask],
        }

    def decode(self, parts: Parts, shape: tuple[int, int]) -> Tensor:
        found = torch.zeros(shape, dtype=parts["values"].dtype)
        found[_rows(parts["pointers"]), parts["columns"].long()] = parts["values"]
        return found

    def formula(self, density: float, shape: tuple[int, int], value: int) -> float:
        kept = density * math.prod(shape)
        pointer, column = self.width or narrowest(math.ceil(kept)), self.width or narrowest(shape[1] - 1)
        return kept * (value + column) + pointer * (shape[0] + 1)


@dataclass(frozen=True)
class CSC(Format):
    """Compressed columns: `CSR` of the transposed matrix; a · (v + i) + q · (columns + 1) bytes, 2a + columns + 1 numbers."""

    width: int | None = None

    def encode(self, values: Tensor, mask: Tensor) -> Parts:
        parts = CSR(self.width).encode(values.T, mask.T)
        return {"pointers": parts["pointers"], "rows": parts["columns"], "values": parts["values"]}

    def decode(self, parts: Parts, shape: tuple[int, int]) -> Tensor:
        turned = {"pointers": parts["pointers"], "columns": parts["rows"], "values": parts["values"]}
        return CSR(self.width).decode(turned, (shape[1], shape[0])).T.contiguous()

    def formula(self, density: float, shape: tuple[int, int], value: int) -> float:
        return CSR(self.width).formula(density, (shape[1], shape[0]), value)


@dataclass(frozen=True)
class BSR(Format):
    """`CSR` of the blocks of `block` × `block` that keep anything, each stored whole; the edge is padded with 0."""

    block: Annotated[int, Limits("1 or more", least=1)] = 4
    width: int | None = None

    def __post_init__(self) -> None:
        settle(self, "format")

    def encode(self, values: Tensor, mask: Tensor) -> Parts:
        stored = self._blocks(torch.where(mask, values, torch.zeros((), dtype=values.dtype)))
        kept = self._blocks(mask).any(dim=3).any(dim=2)
        pointers, columns = _pointers(kept)
        return {
            "pointers": index(pointers, self.width or narrowest(int(pointers[-1]))),
            "columns": index(columns, self.width or narrowest(kept.shape[1] - 1)),
            "values": stored[kept],
        }

    def decode(self, parts: Parts, shape: tuple[int, int]) -> Tensor:
        rows, columns = (-(-size // self.block) for size in shape)
        found = torch.zeros((rows, columns, self.block, self.block), dtype=parts["values"].dtype)
        found[_rows(parts["pointers"]), parts["columns"].long()] = parts["values"]
        whole = found.transpose(1, 2).reshape(rows * self.block, columns * self.block)
        return whole[: shape[0], : shape[1]].contiguous()

    def formula(self, density: float, shape: tuple[int, int], value: int) -> float:
        rows, columns = (-(-size // self.block) for size in shape)
        kept = 1 - (1 - density) ** self.block**2  # of a block, that anything is
        return CSR(self.width).formula(kept, (rows, columns), value * self.block**2)

    def _blocks(self, tensor: Tensor) -> Tensor:
        """(rows, columns) as (block rows, block columns, block, block)."""
        rows, columns = (-size % self.block for size in tensor.shape)
        padded = pad(tensor, (0, columns, 0, rows))
        parted = padded.reshape(padded.shape[0] // self.block, self.block, padded.shape[1] // self.block, self.block)
        return parted.transpose(1, 2)


def _pointers(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return where each row's entries begin, with their number at the end, and the columns of all."""
    rows, columns = mask.nonzero(as_tuple=True)
    return pad(torch.bincount(rows, minlength=mask.shape[0]).cumsum(0), (1, 0)), columns


def _rows(pointers: Tensor) -> Tensor:
    counts = torch.diff(pointers.long())
    return torch.arange(len(counts)).repeat_interleave(counts)
