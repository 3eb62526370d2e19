"""Codes: what weights on a grid take, each as a code of few bits, with the scales or the table that codes are read by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import get_args

import torch
from torch import Tensor

from ltb.core.grid import Group, grouped, integers
from ltb.formats.compressed import CSR
from ltb.formats.coordinates import Bitmask
from ltb.formats.format import Dense, Format
from ltb.formats.huffman import RelativeHuffman, code_lengths

TABLE = 256  # values at most
FORMATS: Mapping[str, Format] = {"dense": Dense(), "bitmask": Bitmask(), "csr": CSR()}


@dataclass(frozen=True, eq=False)
class Codes:
    """A code for each weight of a matrix, int16, and what they are read by.

    values: the weights that the codes stand for.
    bits:   of a code of a kept weight; `dense_bits` where pruned weights, which are 0, have one too.
    key:    the bytes of the scales, or of the table.
    """

    codes: Tensor
    values: Tensor
    bits: int
    dense_bits: int
    key: int

    def size(self, storage: str, kept: Tensor) -> int:
        """Return the bytes in a storage format of `FORMATS`, with the codes packed without gaps."""
        parts = FORMATS[storage].encode(self.codes, kept)
        places = sum(part.numel() * part.element_size() for name, part in parts.items() if name != "values")
        return (
            places
            + ceil(parts["values"].numel() * (self.dense_bits if storage == "dense" else self.bits) / 8)
            + self.key
        )

    def huffman(self, kept: Tensor, bits: int) -> int:
        """Return the bytes with distances of `bits` bits and codes in a Huffman code each: all of Deep Compression."""
        parts = RelativeHuffman(bits).encode(self.codes, kept)
        stored = parts["values"].long()
        counts = torch.bincount(stored - int(stored.min()) if len(stored) else stored)
        coded = sum(length * int(count) for length, count in zip(code_lengths(counts.tolist()), counts, strict=True))
        return len(parts["lengths"]) + len(parts["code"]) + ceil(coded / 8) + 2**self.bits + self.key


def codes_of(values: Tensor, kept: Tensor) -> Codes | None:
    """Return the codes of a matrix in the fewest bytes, None where it is on no grid.

    Grids are whole numbers of 8 bits with a scale a row, of 4 bits with a scale for each 16 to 256 weights of a row (scales of 4
    bytes), and tables of up to 256 values. They are found in the weights, to the bit: what ``execution=int8``, ``int4`` and
    ``shared`` make is on one.
    """
    found = (_whole(values, 8, None), *(_whole(values, 4, group) for group in get_args(Group)), _table(values, kept))
    there = [one for one in found if one is not None]
    return min(there, key=lambda one: one.size("dense", kept), default=None)


def _whole(values: Tensor, bits: int, group: int | None) -> Codes | None:
    if values.dtype not in (torch.float32, torch.float64) or not values.isfinite().all():
        return None
    numbers, scales = integers(grouped(values, group), bits)
    columns = values.shape[1]
    made = (numbers * scales).flatten(1)[:, :columns]
    if not torch.equal(made, values):
        return None
    codes = numbers.flatten(1)[:, :columns].to(torch.int16)
    return Codes(codes, made, bits, bits, 4 * scales.numel())


def _table(values: Tensor, kept: Tensor) -> Codes | None:
    distinct = values[kept].unique()
    if not 0 < len(distinct) <= TABLE or not distinct.isfinite().all():
        return None
    codes = torch.zeros(values.shape, dtype=torch.int16)  # 0 for what is pruned
    codes[kept] = torch.searchsorted(distinct, values[kept]).to(torch.int16) + 1
    made = torch.cat([torch.zeros(1, dtype=distinct.dtype), distinct])[codes.long()]
    bits, dense = (
        max(1, (count - 1).bit_length()) for count in (len(distinct), len(distinct) + (not bool(kept.all())))
    )
    return Codes(codes, made, bits, dense, len(distinct) * distinct.element_size())
