"""A storage format of a masked matrix: its parts, each a tensor, and how many bytes they take."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Parts = Mapping[str, Tensor]

WIDTHS = {1: torch.uint8, 2: torch.uint16, 4: torch.uint32, 8: torch.int64}  # bytes -> what an index is kept as


def narrowest(largest: int) -> int:
    """The bytes of the narrowest unsigned index that can be `largest`.

    >>> [narrowest(255), narrowest(256), narrowest(65_536)]
    [1, 2, 4]
    """
    return next(width for width in WIDTHS if largest < 2 ** (8 * width))


def index(values: Tensor, width: int) -> Tensor:
    """Indices, int64, at `width` bytes each."""
    return values.to(WIDTHS[width])


@dataclass(frozen=True)
class Format(ABC):
    """(matrix, mask) -> parts, and back to the same bits; what the mask prunes comes back as +0.0.

    Kept entries are stored whatever they are, a 0 too: the mask says what is kept.
    """

    @abstractmethod
    def encode(self, values: Tensor, mask: Tensor) -> Parts:
        """Return the parts of a matrix (rows, columns) and its bool mask of the same shape."""

    @abstractmethod
    def decode(self, parts: Parts, shape: tuple[int, int]) -> Tensor:
        """Return the matrix of `shape` that `encode` was given, 0 where it was pruned."""

    @abstractmethod
    def formula(self, density: float, shape: tuple[int, int], value: int) -> float:
        """Return the bytes on average under a uniformly random mask of a density in [0, 1], at `value` bytes a value."""

    def holds(self, mask: Tensor) -> bool:
        """Return whether it can keep a matrix under this mask: by default any."""
        return True

    def size(self, values: Tensor, mask: Tensor) -> int:
        """The bytes of the parts."""
        return sum(part.numel() * part.element_size() for part in self.encode(values, mask).values())


@dataclass(frozen=True)
class Dense(Format):
    """Every entry, zeros too: rows · columns values."""

    def encode(self, values: Tensor, mask: Tensor) -> Parts:
        return {"values": torch.where(mask, values, torch.zeros((), dtype=values.dtype))}

    def decode(self, parts: Parts, shape: tuple[int, int]) -> Tensor:
        return parts["values"].reshape(shape)

    def formula(self, density: float, shape: tuple[int, int], value: int) -> float:
        return math.prod(shape) * value
