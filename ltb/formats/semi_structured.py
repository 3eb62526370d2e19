"""Formats for masks of a fixed pattern, which hardware reads."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from ltb.core.masks import pack, unpack
from ltb.formats.format import Format, Parts

OF, KEPT, BITS = 4, 2, 2


@dataclass(frozen=True)
class TwoOfFour(Format):
    """2:4, as NVIDIA's sparse tensor cores read it: 2 values of each 4 in a row, and the place of each in 2 bits.

    groups · (2 · v + 1/2) bytes at v bytes a value, for rows · ⌈columns / 4⌉ groups, whatever is kept in them: 17/32 of dense in
    float32, 9/16 at 16 bits. Takes masks with at most 2 kept in each group (``allocation=nm``); `holds` says which those are. Where
    fewer are kept, places that are pruned are stored, with 0. (Mishra et al. 2021, "Accelerating sparse deep neural networks".)
    """

    def holds(self, mask: Tensor) -> bool:
        return bool((_groups(mask).sum(2) <= KEPT).all())

    def encode(self, values: Tensor, mask: Tensor) -> Parts:
        if not self.holds(mask):
            raise ValueError("format=2:4: more than 2 of 4 weights in a row are kept; allocation=nm prunes so")
        # A stable sort, kept ones first; then in the order of the row.
        places = _groups(~mask, True).to(torch.uint8).sort(dim=2, stable=True).indices[..., :KEPT].sort(2).values
        stored = _groups(torch.where(mask, values, torch.zeros((), dtype=values.dtype)), 0).gather(2, places)
        bits = torch.stack([places >> 1, places & 1], -1).bool()
        return {"places": pack(bits), "values": stored}

    def decode(self, parts: Parts, shape: tuple[int, int]) -> Tensor:
        stored = parts["values"]
        bits = unpack(parts["places"], (*stored.shape, BITS)).long()
        found = torch.zeros((*stored.shape[:2], OF), dtype=stored.dtype)
        found.scatter_(2, 2 * bits[..., 0] + bits[..., 1], stored)
        return found.flatten(1)[:, : shape[1]].contiguous()

    def formula(self, density: float, shape: tuple[int, int], value: int) -> float:
        return shape[0] * -(-shape[1] // OF) * (KEPT * value + KEPT * BITS / 8)


def _groups(tensor: Tensor, filler: float = 0) -> Tensor:
    """(rows, columns) as (rows, groups, 4), the last group filled up."""
    return pad(tensor, (0, -tensor.shape[1] % OF), value=filler).unflatten(1, (-1, OF))
